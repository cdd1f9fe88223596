"""Rounds of a comparison: both sides compiled anew, then taking turns.

Two sides of one interpreter run in one process. Two of different ones cannot, and a core of one's own would be a bias
larger than what is looked for; so both processes stay on the same cores, and while one runs the other waits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from quantize_zoo.scoring.runtimes import RuntimeProcess, Samples, Side, start_runtime

_ROUND_SECONDS = 0.15
_FEWEST_TURNS, _MOST_TURNS = 8, 200
_TURNS_A_BLOCK = 8  # of two processes; the switch between them costs as much as a small model
_TRIMMED = 0.2  # of the turns, at either end

Times = NDArray[np.float64]


def measure_rounds(baseline: Side, candidate: Side, samples: Samples, *, cores: int = 1) -> Iterator[float]:
    """Start both sides and yield log(candidate time / baseline time) of one round after another, without end.

    Args:
        baseline: one side.
        candidate: the other.
        samples: the inputs of a turn, with the batch size.
        cores: how many cores the models use.

    Raises:
        CellError: see ``start_runtime`` and ``RuntimeProcess``.

    """
    with ExitStack() as stack:
        first = stack.enter_context(start_runtime(baseline.python))
        second = first
        if candidate.python != baseline.python:
            second = stack.enter_context(start_runtime(candidate.python))
            shared = sorted(os.sched_getaffinity(0))[-cores:]
            first.pin(shared)
            second.pin(shared)
        places = ((first, baseline, 0), (second, candidate, 1))
        while True:
            for process, side, slot in places:
                process.load(side, slot)
                process.feed(samples, slot)
            turns = _in_one_process(first) if first is second else _in_two_processes(first, second)
            seconds = float(np.median(turns(_FEWEST_TURNS).sum(axis=1)))
            count = int(np.clip(_ROUND_SECONDS / (2 * seconds), _FEWEST_TURNS, _MOST_TURNS))
            logs = np.log(turns(count))
            yield float(stats.trim_mean(logs[:, 1] - logs[:, 0], _TRIMMED))


def _in_one_process(process: RuntimeProcess) -> Callable[[int], Times]:
    return lambda count: process.turns((0, 1), count)


def _in_two_processes(first: RuntimeProcess, second: RuntimeProcess) -> Callable[[int], Times]:
    def turns(count: int) -> Times:
        """Blocks of a few turns; the side that goes first alternates."""
        blocks = []
        for block in range(max(2, round(count / _TURNS_A_BLOCK))):
            times = np.empty((_TURNS_A_BLOCK, 2))
            for process, slot in ((first, 0), (second, 1)) if block % 2 == 0 else ((second, 1), (first, 0)):
                times[:, slot] = process.turns((slot,), _TURNS_A_BLOCK)[:, 0]
            blocks.append(times)
        return np.concatenate(blocks)

    return turns
