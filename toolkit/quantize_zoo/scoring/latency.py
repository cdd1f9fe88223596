"""The benchmark runner: a candidate and the FP32 model measured in turns.

Two measurements minutes apart differ by more than what tuning gains, because the machine's speed drifts. Blocks of
inferences in the order A B B A B A A B see the same drift, so the ratio of neighbouring blocks holds.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import BenchmarkParams
from quantize_zoo.scoring.estimate import Estimate, median_estimate

TARGET_HALF_WIDTH = 0.01
_BLOCK_SECONDS = 0.002
_SMALLEST_BLOCK = 3
_FIRST_LOOK = 12  # pairs of blocks before the interval is looked at, and between looks
_WARM_UP = 5

Block = Callable[[int], float]  # number of inferences -> seconds


@dataclass(frozen=True)
class PairedLatency:
    """Time of one inference of each side, and ``ratio`` = reference / candidate (above 1: the candidate is faster)."""

    reference_us: Estimate
    candidate_us: Estimate
    ratio: Estimate


def measure_in_turns(
    reference: Any, candidate: Any, sample: Mapping[str, NDArray[Any]], benchmark: BenchmarkParams
) -> PairedLatency:
    """Measure two compiled models in turns, until the 95 % interval of the median ratio is within 1 % either side.

    The interval is looked at several times, so its true coverage is a little below 95 %.

    Args:
        reference: compiled FP32 model.
        candidate: compiled candidate.
        sample: the value of each input, with the benchmark's batch size.
        benchmark: api type, and ``duration_seconds`` as the time budget.

    Raises:
        CellError: inference fails.

    """
    try:
        run_reference = _block_runner(reference, sample, benchmark)
        run_candidate = _block_runner(candidate, sample, benchmark)
        count = _block_size(run_reference, run_candidate)
        return _alternate(run_reference, run_candidate, count, benchmark.duration_seconds)
    except RuntimeError as error:
        raise errors.inference_failed("measuring latency", errors.message_of(error)) from error


def _alternate(run_reference: Block, run_candidate: Block, count: int, budget_seconds: float) -> PairedLatency:
    reference: list[float] = []
    candidate: list[float] = []
    deadline = time.perf_counter() + budget_seconds
    collecting = gc.isenabled()
    gc.disable()
    try:
        while True:
            for _ in range(_FIRST_LOOK):
                # The side that goes first alternates, so that neither always runs on what the other left in the cache.
                if len(reference) % 2 == 0:
                    reference.append(run_reference(count))
                    candidate.append(run_candidate(count))
                else:
                    candidate.append(run_candidate(count))
                    reference.append(run_reference(count))
            result = _summary(reference, candidate, count)
            if result.ratio.half_width <= TARGET_HALF_WIDTH or time.perf_counter() >= deadline:
                return result
    finally:
        if collecting:
            gc.enable()


def _summary(reference: list[float], candidate: list[float], count: int) -> PairedLatency:
    first, second = np.asarray(reference), np.asarray(candidate)
    return PairedLatency(
        reference_us=median_estimate(first / count * 1e6, "us"),
        candidate_us=median_estimate(second / count * 1e6, "us"),
        ratio=median_estimate(first / second, "x"),
    )


def _block_size(*runners: Block) -> int:
    """Return how many inferences make a block of about 2 ms on the faster side."""
    for run in runners:
        run(_WARM_UP)
    fastest = min(run(_SMALLEST_BLOCK) / _SMALLEST_BLOCK for run in runners)
    return max(_SMALLEST_BLOCK, int(_BLOCK_SECONDS / fastest))


def _block_runner(compiled: Any, sample: Mapping[str, NDArray[Any]], benchmark: BenchmarkParams) -> Block:
    if benchmark.api_type == "async":
        return _async_runner(compiled, sample, benchmark)
    request = compiled.create_infer_request()
    for name, value in sample.items():
        request.set_tensor(name, ov.Tensor(np.ascontiguousarray(value)))

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            request.infer()
        return time.perf_counter() - start

    return run


def _async_runner(compiled: Any, sample: Mapping[str, NDArray[Any]], benchmark: BenchmarkParams) -> Block:
    queue = ov.AsyncInferQueue(compiled, benchmark.nstreams)
    inputs = dict(sample)

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            queue.start_async(inputs)
        queue.wait_all()
        return time.perf_counter() - start

    return run
