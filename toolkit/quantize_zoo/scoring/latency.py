"""The benchmark runner: a candidate and the FP32 model measured in turns.

Two measurements minutes apart differ by more than what tuning gains, because the machine's speed drifts. So the two
take turns, one inference each: neighbours on the machine disturb single inferences, and what they disturb is trimmed.
Before each timed inference the model runs once untimed, so that it finds its own data in the caches, as it does where
it runs alone; else the smaller model would seem faster than it is. Where the data have several shapes, a turn takes
some samples one after another: going from one shape to the next is part of a dynamic model's time. Pairs are gathered
in batches, and the interval is that of the batches, so that drift from one to the next is part of it.
"""

from __future__ import annotations

import gc
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import BenchmarkParams
from quantize_zoo.scoring.compilation import request_with
from quantize_zoo.scoring.estimate import exponential, two_stage_estimate
from quantize_zoo.scoring.figure import Estimate
from quantize_zoo.scoring.runtimes import ModelProcess, Side

TARGET_HALF_WIDTH = 0.02  # of the 95 % interval of a ratio, relative to it
_WARM_UP, _WARM_UP_SECONDS = 5, 0.025  # turns, of which the first is always made
_SMALL_MODEL = 8  # pairs that a trial's batch has at least, of one that memory moves
_TRIMMED = 0.2  # of a compilation's pairs, at either end
_SHARES = (0.01, *np.arange(1, 20) / 20, 0.99)  # of the inferences, for the distribution
_ASYNC_ROUNDS = 4

Samples = Sequence[Mapping[str, NDArray[Any]]]  # for each sample the value of each input
Compile = Callable[[], Any]  # returns a model compiled anew
Turn = Callable[[], float]  # runs a model and returns the seconds of one inference
_Turns = tuple[Turn, Turn]  # of FP32 and the candidate


@dataclass(frozen=True)
class _Side:
    """A compilation, and its turn."""

    compiled: Any
    turn: Turn


@dataclass(frozen=True)
class _Effort:
    """How many compilations are measured at least, and each for how long."""

    compilations: int
    seconds: float
    pairs: int  # at most


_TRIAL, _FINAL = _Effort(4, 0.02, 32), _Effort(8, 0.1, 160)
_KEPT_BYTES = 256_000_000  # that the compilations of a reference may take which trials share
_COPIES = 2  # of its weights in a compilation: as they were read, and as its kernels want them


@dataclass(frozen=True)
class SharedReference:
    """The reference of many trials on the same samples: what compiles it, and the bytes of its weights.

    Its first compilations, and the requests made of them, serve one trial after the other, where that changes nothing:
    a small model's time depends on the memory that a compilation got, so each trial needs others. Of a model with large
    weights none is kept.
    """

    make: Compile
    weights_bytes: int
    _kept: list[_Side] = field(default_factory=list)

    def compilation(self, number: int, samples: Samples, benchmark: BenchmarkParams) -> _Side:
        """Return a trial's compilation of this number, a kept one if there is one."""
        return self._kept[number] if number < len(self._kept) else _side(self.make, samples, benchmark)

    def keep(self, number: int, made: _Side) -> None:
        """Keep a trial's compilation of this number for the next trials, and none of what inference took of memory."""
        if self._fits and number == len(self._kept) < _TRIAL.compilations:
            self._kept.append(made)
        if number < len(self._kept):
            made.compiled.release_memory()

    @property
    def _fits(self) -> bool:
        return _TRIAL.compilations * _COPIES * self.weights_bytes <= _KEPT_BYTES


@dataclass(frozen=True)
class PairedLatency:
    """Time of one inference of each side, and ``ratio`` = reference / candidate (above 1: the candidate is faster).

    ``compilations`` are the times of both sides (reference, candidate) in microseconds, compilation by compilation,
    where there were several. ``distribution`` tells of the single inferences then: (share, reference, candidate), that
    share of each side's inferences took at most so many microseconds.
    """

    reference_us: Estimate
    candidate_us: Estimate
    ratio: Estimate
    compilations: tuple[tuple[float, float], ...] = ()
    distribution: tuple[tuple[float, float, float], ...] = ()


def measure_in_turns(
    reference: SharedReference, candidate: Compile, samples: Samples, benchmark: BenchmarkParams
) -> PairedLatency:
    """Measure compilations of two models in turns, until the 95 % interval of the ratio is within 2 % either side.

    Four compilations at least, then as many more as their spread asks for and the time budget allows (Stein 1945, A
    two-sample test for a linear hypothesis whose power is independent of the variance): the interval's coverage does
    not suffer from looking twice, since its width is that of the first four.

    Args:
        reference: the FP32 model.
        candidate: compiles the candidate once more.
        samples: the inputs of a turn, with the benchmark's batch size; the same whenever the reference is.
        benchmark: api type and streams, and ``duration_seconds`` as the time budget.

    Raises:
        CellError: compiling or inference fails.

    """
    measured = _measure(reference, candidate, samples, benchmark, _TRIAL)
    return replace(measured, distribution=())  # of a fifth of a second it tells little


def measure_finally(
    reference: Compile, candidate: Compile, samples: Samples, benchmark: BenchmarkParams
) -> PairedLatency:
    """Measure what is reported of a finished model: ``measure_in_turns``, eight compilations at least, each longer."""
    unshared = SharedReference(reference, sys.maxsize)
    return _measure(unshared, candidate, samples, benchmark, _FINAL)


def measure_in_process(
    process: ModelProcess,
    sides: tuple[Side, Side],
    samples: Samples,
    benchmark: BenchmarkParams,
    *,
    final: bool = False,
) -> PairedLatency:
    """Do what ``measure_in_turns`` does in a process of its own.

    Args:
        process: where both sides run.
        sides: FP32 and the candidate.
        samples: the inputs of a turn, with the benchmark's batch size.
        benchmark: with ``duration_seconds`` as the time budget.
        final: measure as ``measure_finally`` does.

    Raises:
        CellError: a side cannot be compiled or run, or the process is gone.

    """
    effort = _FINAL if final else _TRIAL
    for slot, side in enumerate(sides):  # what is compiled once is no part of the time budget, as in this process
        process.load_again(side, slot)
    try:
        at_once = benchmark.nstreams if benchmark.api_type == "async" else 0
        found = _measured(_compilations_in(process, sides, samples, effort, at_once), benchmark, effort)
    finally:
        process.free([sides[0].model])
    return found if final else replace(found, distribution=())


def _measure(
    reference: SharedReference, candidate: Compile, samples: Samples, benchmark: BenchmarkParams, effort: _Effort
) -> PairedLatency:
    return _measured(_compilations(reference, candidate, samples, benchmark, effort), benchmark, effort)


def _measured(
    compilations: Iterator[NDArray[np.float64]], benchmark: BenchmarkParams, effort: _Effort
) -> PairedLatency:
    started = time.perf_counter()
    fewest = effort.compilations
    try:
        found = list(islice(compilations, fewest))
        affordable = int(benchmark.duration_seconds * fewest / (time.perf_counter() - started))
        wanted = math.ceil(fewest * (summarize_compilations(found, fewest).ratio.half_width / TARGET_HALF_WIDTH) ** 2)
        found += islice(compilations, max(0, min(wanted, affordable) - fewest))
    except RuntimeError as error:
        raise errors.inference_failed("measuring latency", errors.message_of(error)) from error
    return summarize_compilations(found, fewest)


def _compilations(
    reference: SharedReference, candidate: Compile, samples: Samples, benchmark: BenchmarkParams, effort: _Effort
) -> Iterator[NDArray[np.float64]]:
    """Yield the seconds of one compilation of both sides after another (pairs, 2), without end."""

    def make(side: int, number: int) -> _Side:
        return _side(candidate, samples, benchmark) if side else reference.compilation(number, samples, benchmark)

    held = []
    for number in count():
        made = {side: make(side, number) for side in _order(number)}  # who is first has luck
        batch = _batch((made[0].turn, made[1].turn), effort)
        if len(batch) >= _SMALL_MODEL:
            held.append(made)  # else the next compilations get the same memory
        else:
            reference.keep(number, made[0])
        yield batch


def _compilations_in(
    process: ModelProcess, sides: tuple[Side, Side], samples: Samples, effort: _Effort, at_once: int
) -> Iterator[NDArray[np.float64]]:
    """Yield the same of two sides that run in a process; those of small models stay loaded until the last."""
    held = 0
    for number in count():
        slots = (2 * held, 2 * held + 1)
        for side in _order(number):
            process.load_again(sides[side], slots[side])
            process.feed(samples, slots[side], at_once)
        warm = process.turns(slots, 1)
        if _WARM_UP > 1 and warm.sum() < _WARM_UP_SECONDS:
            warm = process.turns(slots, _WARM_UP - 1)
        seconds = float(warm.sum(axis=1).min())
        batch = process.turns(slots, min(effort.pairs, max(1, int(effort.seconds / seconds)))) / len(samples)
        held += len(batch) >= _SMALL_MODEL
        yield batch


def summarize_compilations(found: Sequence[NDArray[np.float64]], fewest: int) -> PairedLatency:
    """Return the latency over compilations: for each its seconds (pairs, 2), FP32 and candidate.

    The first ``fewest`` tell how much compilations differ.
    """
    rows = np.array([_location(batch) for batch in found])
    reference, candidate, ratio = (
        exponential(two_stage_estimate(column, fewest, unit))
        for column, unit in zip(rows.T, ("us", "us", "x"), strict=True)
    )
    quantiles = 1e6 * np.quantile(np.concatenate(found), _SHARES, axis=0)
    return PairedLatency(
        reference,
        candidate,
        ratio,
        compilations=tuple((float(first), float(second)) for first, second in np.exp(rows[:, :2])),
        distribution=tuple(
            (float(share), float(first), float(second))
            for share, (first, second) in zip(_SHARES, quantiles, strict=True)
        ),
    )


def _location(batch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the trimmed means of a compilation's logarithms: microseconds of FP32 and candidate, and their ratio."""
    logs = np.log(1e6 * batch)
    return np.asarray(scipy.stats.trim_mean(np.column_stack([logs, logs[:, 0] - logs[:, 1]]), _TRIMMED, axis=0))


def _batch(turns: _Turns, effort: _Effort) -> NDArray[np.float64]:
    """Return the seconds of one compilation of both sides (pairs, 2)."""
    with _without_collection():
        warm_up_ends, seconds = time.perf_counter() + _WARM_UP_SECONDS, math.inf
        for _ in range(_WARM_UP):
            seconds = min(seconds, sum(_timed(turn) for turn in turns))  # who disturbs one makes the model no larger
            if time.perf_counter() > warm_up_ends:
                break
        times = np.empty((min(effort.pairs, max(1, int(effort.seconds / seconds))), 2))
        for index in range(len(times)):
            for side in _order(index):
                times[index, side] = turns[side]()
    return times


def _order(number: int) -> tuple[int, int]:
    """Return which side goes first: they take turns in that, too."""
    return (0, 1) if number % 2 == 0 else (1, 0)


@contextmanager
def _without_collection() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _timed(turn: Turn) -> float:
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


def _side(compile_anew: Compile, samples: Samples, benchmark: BenchmarkParams) -> _Side:
    compiled = compile_anew()
    return _Side(compiled, _turn(compiled, samples, benchmark))


def _turn(compiled: Any, samples: Samples, benchmark: BenchmarkParams) -> Turn:
    if benchmark.api_type == "async":
        return _async_turn(compiled, samples, benchmark)
    requests = [request_with(compiled, sample) for sample in samples]
    stateful = [request for request in requests if request.query_state()]

    def run() -> None:
        for request in requests:
            request.infer()

    def reset() -> None:
        for request in stateful:  # else a state, and with it the time, may grow from one inference to the next
            request.reset_state()

    def turn() -> float:
        reset()
        run()
        reset()
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) / len(requests)

    return turn


def _async_turn(compiled: Any, samples: Samples, benchmark: BenchmarkParams) -> Turn:
    """A turn of several inferences for each stream, the first ones untimed: time by throughput."""
    import openvino as ov

    queue = ov.AsyncInferQueue(compiled, benchmark.nstreams)
    inputs = [dict(sample) for sample in samples]
    stateful = [request for request in queue if request.query_state()]

    def run(rounds: int) -> None:
        for _ in range(rounds * benchmark.nstreams):
            for each in inputs:
                if stateful:
                    queue[queue.get_idle_request_id()].reset_state()  # the one that is started next
                queue.start_async(each)
        queue.wait_all()

    def turn() -> float:
        run(1)
        start = time.perf_counter()
        run(_ASYNC_ROUNDS)
        return (time.perf_counter() - start) / (_ASYNC_ROUNDS * benchmark.nstreams * len(inputs))

    return turn
