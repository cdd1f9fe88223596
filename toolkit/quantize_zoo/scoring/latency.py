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
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from scipy import stats

from quantize_zoo import errors
from quantize_zoo.config import BenchmarkParams
from quantize_zoo.scoring.compilation import request_with
from quantize_zoo.scoring.estimate import Estimate, exponential, location_estimate

TARGET_HALF_WIDTH = 0.01
_BATCH_SECONDS = 0.025
_MOST_PAIRS = 40  # of a batch
_TRIMMED = 0.2  # of a batch's pairs, at either end
_FIRST_LOOK = 12  # batches before the interval is looked at, and between looks
_WARM_UP = 5
_COMPILATIONS = 8
_BATCHES_A_COMPILATION = 4
_SHARES = (0.01, *np.arange(1, 20) / 20, 0.99)  # of the inferences, for the distribution
_ASYNC_ROUNDS = 4

Samples = Sequence[Mapping[str, NDArray[Any]]]  # for each sample the value of each input
Turn = Callable[[], float]  # runs a model and returns the seconds of one inference


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


def measure_in_turns(reference: Any, candidate: Any, samples: Samples, benchmark: BenchmarkParams) -> PairedLatency:
    """Measure two compiled models in turns, until the 95 % interval of the ratio is within 1 % either side.

    The interval is looked at several times, so its true coverage is a little below 95 %.

    Args:
        reference: compiled FP32 model.
        candidate: compiled candidate.
        samples: the inputs of a turn, with the benchmark's batch size.
        benchmark: api type, and ``duration_seconds`` as the time budget.

    Raises:
        CellError: inference fails.

    """
    try:
        sides, pairs = _warmed(reference, candidate, samples, benchmark)
        return _alternate(*sides, pairs, benchmark.duration_seconds)
    except RuntimeError as error:
        raise errors.inference_failed("measuring latency", errors.message_of(error)) from error


def measure_compilations(
    compile_both: Callable[[], tuple[Any, Any]], samples: Samples, benchmark: BenchmarkParams
) -> PairedLatency:
    """Measure eight compilations of both sides in turns, each for a tenth of a second.

    Which memory a compilation gets moves a small model's time by percents, for as long as it is loaded; an interval of
    one compilation does not know of that.

    Args:
        compile_both: compiles the FP32 model and the candidate.
        samples: the inputs of a turn, with the benchmark's batch size.
        benchmark: api type and streams.

    Raises:
        CellError: compiling or inference fails.

    """
    found = []
    for _ in range(_COMPILATIONS):
        both = compile_both()
        try:
            sides, pairs = _warmed(*both, samples, benchmark)
            with _without_collection():
                found.append([_batch(*sides, pairs) for _ in range(_BATCHES_A_COMPILATION)])
        except RuntimeError as error:
            raise errors.inference_failed("measuring latency", errors.message_of(error)) from error
    return summarize_compilations(found)


def _warmed(
    reference: Any, candidate: Any, samples: Samples, benchmark: BenchmarkParams
) -> tuple[tuple[Turn, Turn], int]:
    """Return both sides' turns, warmed up, and how many pairs a batch has."""
    sides = _turn(reference, samples, benchmark), _turn(candidate, samples, benchmark)
    for _ in range(_WARM_UP):
        seconds = sum(_timed(side) for side in sides)
    return sides, min(_MOST_PAIRS, max(1, int(_BATCH_SECONDS / seconds)))


def summarize_compilations(found: Sequence[Sequence[NDArray[np.float64]]]) -> PairedLatency:
    """Return the latency over compilations: for each its batches of seconds (pairs, 2), FP32 and candidate."""
    each = [_summary(batches) for batches in found]
    combined = _summarized(np.log([[one.reference_us.value, one.candidate_us.value, one.ratio.value] for one in each]))
    quantiles = 1e6 * np.quantile(np.concatenate([batch for batches in found for batch in batches]), _SHARES, axis=0)
    return replace(
        combined,
        compilations=tuple((one.reference_us.value, one.candidate_us.value) for one in each),
        distribution=tuple(
            (float(share), float(first), float(second))
            for share, (first, second) in zip(_SHARES, quantiles, strict=True)
        ),
    )


def _alternate(run_reference: Turn, run_candidate: Turn, pairs: int, budget_seconds: float) -> PairedLatency:
    batches: list[NDArray[np.float64]] = []
    deadline = time.perf_counter() + budget_seconds
    with _without_collection():
        while True:
            batches += [_batch(run_reference, run_candidate, pairs) for _ in range(_FIRST_LOOK)]
            result = _summary(batches)
            if result.ratio.half_width <= TARGET_HALF_WIDTH or time.perf_counter() >= deadline:
                return result


@contextmanager
def _without_collection() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _batch(run_reference: Turn, run_candidate: Turn, pairs: int) -> NDArray[np.float64]:
    """Return the seconds of both sides (pairs, 2)."""
    times = np.empty((pairs, 2))
    for index in range(pairs):
        # The side that goes first alternates.
        if index % 2 == 0:
            times[index] = run_reference(), run_candidate()
        else:
            times[index, 1], times[index, 0] = run_candidate(), run_reference()
    return times


def _summary(batches: Sequence[NDArray[np.float64]]) -> PairedLatency:
    """Return the latency of one compilation from its batches, each by the trimmed mean of its logarithms."""
    logs = [np.log(1e6 * batch) for batch in batches]
    with_ratio = (np.column_stack([each, each[:, 0] - each[:, 1]]) for each in logs)
    return _summarized(np.array([stats.trim_mean(each, _TRIMMED, axis=0) for each in with_ratio]))


def _summarized(rows: NDArray[np.float64]) -> PairedLatency:
    """Return the latency from rows of logarithms: microseconds of FP32 and candidate, and their ratio."""
    reference, candidate, ratio = (
        exponential(location_estimate(column, unit)) for column, unit in zip(rows.T, ("us", "us", "x"), strict=True)
    )
    return PairedLatency(reference, candidate, ratio)


def _timed(turn: Turn) -> float:
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


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
