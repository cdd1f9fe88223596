"""The hot path, by pytest-benchmark; what is asserted is a ratio of two things measured here, in turns."""

import statistics
import time

import openvino as ov
import pytest

from quantize_zoo.config import BenchmarkParams, DeviceSpec, hardware_path, load_hardware
from quantize_zoo.graph import find_placement, read_model, with_batch
from quantize_zoo.quantization import (
    base_option,
    build_candidate,
    collect_statistics,
    compute_ranges,
    derive_space,
    wanted_statistics,
)
from quantize_zoo.scoring import AccuracySession, compile_pair, find_checker
from quantize_zoo.search import TpeSampler

F32 = DeviceSpec(device="CPU", inference_precision="f32")


@pytest.fixture(scope="module")
def cell(mobilenet):
    model = with_batch(read_model(mobilenet.model), 1)
    placement = find_placement(model, load_hardware(hardware_path("CPU")), "net")
    base = base_option(placement)
    session = AccuracySession(find_checker(), mobilenet, model)
    wanted = wanted_statistics(placement, base, ("default",))
    statistics_found = collect_statistics(model, wanted, session.inputs(300))
    ranges = compute_ranges(model, placement, base, ("default",), statistics_found)
    return model, placement, base, session, wanted, ranges, mobilenet


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median_ratio(one, other, rounds=5):
    return statistics.median(seconds(one) / seconds(other) for _ in range(rounds))


def bare_pass(model, samples):
    compiled = ov.Core().compile_model(
        model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
    )

    def run():
        queue = ov.AsyncInferQueue(compiled)
        for sample in samples:
            queue.start_async(sample)
        queue.wait_all()

    return run


def test_building_a_candidate(benchmark, cell):
    model, placement, base, _, _, ranges, _ = cell
    candidate = benchmark(build_candidate, model, placement, base, ranges)
    ratio = median_ratio(
        lambda: build_candidate(model, placement, base, ranges),
        lambda: ov.Core().compile_model(candidate, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}),
    )
    benchmark.extra_info["build / compile"] = ratio
    assert ratio < 0.5


def test_scoring_a_model(benchmark, cell):
    model, _, _, session, _, _, config = cell
    compiled = compile_pair(model, F32, config.optimizer.params.benchmark).throughput
    benchmark.pedantic(session.score, args=(compiled,), rounds=3)
    bare = bare_pass(model, session.inputs())
    ratio = median_ratio(lambda: session.score(compiled), bare)
    benchmark.extra_info["score / bare inference"] = ratio
    assert ratio < 3


def test_collecting_statistics(benchmark, cell):
    model, _, _, session, wanted, _, _ = cell
    samples = session.inputs(300)
    benchmark.pedantic(collect_statistics, args=(model, wanted, samples), rounds=3)
    ratio = median_ratio(lambda: collect_statistics(model, wanted, samples), bare_pass(model, samples))
    benchmark.extra_info["statistics / bare inference"] = ratio
    assert ratio < 20


def test_asking_the_sampler(benchmark, cell):
    _, _, base, _, _, _, config = cell
    sampler = TpeSampler(derive_space(base, config.compression.tunable), seed=0)
    sampler.observe_base(1.0)
    losses = iter(range(10_000))

    def ask_and_tell():
        ticket, _ = sampler.ask()
        sampler.tell(ticket, float(next(losses) % 7))

    benchmark.pedantic(ask_and_tell, rounds=20, warmup_rounds=12)
    # A trial evaluates at least once; asking must stay small beside that.
    evaluate = compile_pair(cell[0], F32, BenchmarkParams()).throughput
    assert median_ratio(ask_and_tell, lambda: cell[3].score(evaluate)) < 1
