"""Rounds of a comparison: both sides compiled anew, then taking turns.

Two sides of one interpreter run in one process. Two of different ones cannot, and a core of one's own would be a bias
larger than what is looked for; so both processes stay on the same cores, and while one runs the other waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import scipy
from numpy.typing import NDArray

from quantize_zoo.scoring.profiling import WARM_UP, Profile, Times, executed_times
from quantize_zoo.scoring.runtimes import ModelProcess, Samples, Side, started

_ROUND_SECONDS = 0.15
_FEWEST_TURNS, _MOST_TURNS = 8, 200
_TURNS_A_BLOCK = 8  # of two processes; the switch between them costs as much as a small model
_TRIMMED = 0.2  # of the turns, at either end

_FEWEST_BLOCKS, _MOST_BLOCKS = 2, 25  # of inferences that are profiled
Seconds = NDArray[np.float64]
Place = tuple[ModelProcess, Side, int]  # a side, and where it is loaded


def measure_rounds(baseline: Side, candidate: Side, samples: Samples, *, cores: int = 1) -> Iterator[float]:
    """Start both sides and yield log(candidate time / baseline time) of one round after another, without end.

    Args:
        baseline: one side.
        candidate: the other.
        samples: the inputs of a turn, with the batch size.
        cores: how many cores the models use.

    Raises:
        CellError: see ``start_runtime`` and ``ModelProcess``.

    """
    with _places(baseline, candidate, cores) as places:
        (first, *_), (second, *_) = places
        while True:
            for process, side, slot in places:
                process.load(side, slot)
                process.feed(samples, slot)
            turns = _in_one_process(first) if first is second else _in_two_processes(first, second)
            seconds = float(np.median(turns(_FEWEST_TURNS).sum(axis=1)))
            count = int(np.clip(_ROUND_SECONDS / (2 * seconds), _FEWEST_TURNS, _MOST_TURNS))
            logs = np.log(turns(count))
            yield float(scipy.stats.trim_mean(logs[:, 1] - logs[:, 0], _TRIMMED))


def profile_rounds(
    baseline: Side, candidate: Side, samples: Samples, *, cores: int = 1
) -> Iterator[tuple[Times, Times]]:
    """Yield the times of both sides' layers of one round after another, without end; as ``measure_rounds``.

    Each time is the mean over a round's inferences, which the sides take turns with in blocks of eight: what another
    model leaves in the caches is paid for by the first of a block, which no clock of single layers tells apart.
    """
    one, other = (replace(each, properties={**each.properties, "PERF_COUNT": True}) for each in (baseline, candidate))
    with _places(one, other, cores) as places:
        while True:
            first, second = profile_in_turns(places, samples, _ROUND_SECONDS)
            yield first, second


def profile_in_turns(places: Sequence[Place], samples: Samples, seconds: float) -> list[Times]:
    """Compile all sides anew and let them take turns in blocks of eight; return the times of each one's layers.

    Args:
        places: the sides, compiled with PERF_COUNT.
        samples: the inputs of an inference.
        seconds: to infer for, all of them together.

    Raises:
        CellError: see ``ModelProcess``.

    """
    before = []
    taken = 0.0
    for process, side, slot in places:
        process.load(side, slot)
        process.feed(samples, slot)
        process.run(slot, 1)
        first, _ = process.profile(slot)
        started = time.perf_counter()
        process.run(slot, WARM_UP - 1)
        taken += (time.perf_counter() - started) / (WARM_UP - 1)
        before.append((first, process.profile(slot)[0]))
    blocks = int(np.clip(seconds / (_TURNS_A_BLOCK * taken), _FEWEST_BLOCKS, _MOST_BLOCKS))
    for block in range(blocks):
        for process, _, slot in places if block % 2 == 0 else places[::-1]:
            process.run(slot, _TURNS_A_BLOCK)
    return [
        _times(process, slot, profiles, blocks * _TURNS_A_BLOCK)
        for (process, _, slot), profiles in zip(places, before, strict=True)
    ]


def _times(process: ModelProcess, slot: int, before: tuple[Profile, Profile], count: int) -> Times:
    now, averages = process.profile(slot)
    return executed_times((*before, now), count, averages=averages)


@contextmanager
def _places(baseline: Side, candidate: Side, cores: int) -> Iterator[tuple[Place, Place]]:
    """Start what both sides run in: one process, or two that stay on the same cores."""
    with ExitStack() as stack:
        first = stack.enter_context(started(baseline))
        second = first
        if candidate.python != baseline.python:
            second = stack.enter_context(started(candidate))
            shared = sorted(os.sched_getaffinity(0))[-cores:]
            first.pin(shared)
            second.pin(shared)
        yield (first, baseline, 0), (second, candidate, 1)


def _in_one_process(process: ModelProcess) -> Callable[[int], Seconds]:
    return lambda count: process.turns((0, 1), count)


def _in_two_processes(first: ModelProcess, second: ModelProcess) -> Callable[[int], Seconds]:
    def turns(count: int) -> Seconds:
        """Blocks of a few turns; the side that goes first alternates."""
        blocks = []
        for block in range(max(2, round(count / _TURNS_A_BLOCK))):
            times = np.empty((_TURNS_A_BLOCK, 2))
            for process, slot in ((first, 0), (second, 1)) if block % 2 == 0 else ((second, 1), (first, 0)):
                times[:, slot] = process.turns((slot,), _TURNS_A_BLOCK)[:, 0]
            blocks.append(times)
        return np.concatenate(blocks)

    return turns
