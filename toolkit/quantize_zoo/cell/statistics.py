"""Statistics of activations, taken from an earlier search where that was on the same model and data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import openvino as ov

from quantize_zoo.quantization import (
    ActivationStatistics,
    Request,
    Samples,
    collect_statistics,
    read_statistics,
    requests_text,
    write_statistics,
)


class StatisticsCache:
    """Collects statistics, and keeps them in files that are named by all that they depend on.

    Args:
        folder: where the files are.
        samples: returns the first calibration samples, as many as are asked for.
        depends_on: returns what the statistics of so many samples depend on beside model and requests, given how the
            model was changed before.

    """

    def __init__(
        self, folder: Path, samples: Callable[[int | None], Samples], depends_on: Callable[[int | None, str], list[str]]
    ) -> None:
        self._folder = folder
        self._samples = samples
        self._depends_on = depends_on

    def collect(
        self, model: ov.Model, requests: Iterable[Request], size: int | None, variant: str
    ) -> ActivationStatistics:
        """Collect statistics, or take those that an earlier search has left."""
        requests = list(dict.fromkeys(requests))
        path = self._folder / f"{short_hash([*self._depends_on(size, variant), requests_text(requests)])}.npz"
        known = read_statistics(path, requests)
        if known is not None:
            with suppress(OSError):  # it is somebody else's, and stays as long as that uses it
                path.touch()  # so that prune knows when it was used last
            return known
        collected = collect_statistics(model, requests, self._samples(size))
        try:
            write_statistics(path, collected, requests)
        except OSError as error:
            print(f"statistics are not kept: {error}")  # to the cell's log; the search goes on without
        return collected


def short_hash(value: object) -> str:
    """Return 24 hex digits that tell plain values apart."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]
