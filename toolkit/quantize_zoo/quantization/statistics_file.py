"""Collected statistics as a file, so that a second search on the same model and data does not collect again.

Arrays only, never code: the file is read without pickle. One that cannot be read is collected again and replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quantize_zoo.quantization.arrays import arrays_of, write_arrays
from quantize_zoo.quantization.instrumentation import ChannelMean, Extremes, Request
from quantize_zoo.quantization.statistics import ActivationStatistics, ExtremeValues


def requests_text(requests: Iterable[Request]) -> str:
    """Return a text that is equal for equal requests."""
    return json.dumps([[type(request).__name__, asdict(request)] for request in requests])


def write_statistics(path: Path, statistics: ActivationStatistics, requests: Iterable[Request]) -> None:
    """Write the answers to the requests; a process killed meanwhile leaves no half file.

    Raises:
        OSError: the file cannot be written.

    """
    arrays: dict[str, NDArray[Any]] = {}
    for index, request in enumerate(requests):
        if isinstance(request, ChannelMean):
            arrays[f"{index}.means"] = statistics.sample_means(request.tensor, request.channel_axis)
        else:
            values = statistics.extremes(request.tensor, request.channel_axis)
            arrays[f"{index}.smallest"] = values.smallest
            arrays[f"{index}.largest"] = values.largest
            arrays[f"{index}.sizes"] = values.sizes
    write_arrays(path, arrays)


def read_statistics(path: Path, requests: Iterable[Request]) -> ActivationStatistics | None:
    """Return what a file has for the requests; None if there is none that can be read."""
    extremes: dict[Extremes, ExtremeValues] = {}
    means = {}
    try:
        with arrays_of(path) as arrays:
            for index, request in enumerate(requests):
                if isinstance(request, ChannelMean):
                    means[request] = arrays[f"{index}.means"]
                else:
                    smallest, largest = arrays[f"{index}.smallest"], arrays[f"{index}.largest"]
                    extremes[request] = ExtremeValues(smallest, largest, arrays[f"{index}.sizes"])
    except ValueError:
        return None
    return ActivationStatistics(extremes, means)
