"""Rounds of a comparison: both sides compiled anew, then taking turns in short blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.scoring.runtimes import RuntimeProcess, Side, start_runtime

_BLOCKS = 16  # of a round, for each side
_BLOCK_SECONDS = 0.002
_MOST_INFERENCES = 10  # of a block


def measure_rounds(
    baseline: Side, candidate: Side, sample: Mapping[str, NDArray[Any]], batch: int = 1
) -> Iterator[float]:
    """Start both sides and yield log(candidate time / baseline time) of one round after another, without end.

    Raises:
        CellError: see ``start_runtime`` and ``RuntimeProcess``.

    """
    with ExitStack() as stack:
        sides = [stack.enter_context(start_runtime(side)) for side in (baseline, candidate)]
        while True:
            yield _round(sides, sample, batch)


def _round(sides: list[RuntimeProcess], sample: Mapping[str, NDArray[Any]], batch: int) -> float:
    for side in sides:
        side.load(batch)
        side.feed(sample)
    slowest = max(float(np.median(side.time(3))) for side in sides)
    count = min(_MOST_INFERENCES, max(1, int(_BLOCK_SECONDS / slowest)))
    logs = np.empty((_BLOCKS, 2))
    for block in range(_BLOCKS):
        for number in (0, 1) if block % 2 == 0 else (1, 0):  # the side that goes first alternates
            logs[block, number] = np.log(np.median(sides[number].time(count)))
    return float(np.median(logs[:, 1] - logs[:, 0]))
