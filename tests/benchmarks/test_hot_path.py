"""The hot path, by pytest-benchmark; what is asserted is a ratio of two things measured here, in turns."""

import itertools
import os
import statistics
import subprocess
import sys
import time
import tracemalloc

import nncf
import numpy as np
import openvino as ov
import pytest

from builders import compression, convolution, named, parameter, pipeline
from builders import model as build_model
from large_models import many_convolutions
from quantize_zoo.config import BenchmarkParams, DeviceSpec, load_model_config
from quantize_zoo.graph import read_model, weights_bytes
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.runtime import KERNELS_VARIABLE
from quantize_zoo.quantization import Extremes, collect_statistics, derive_space
from quantize_zoo.scoring import (
    AccuracySession,
    SharedReference,
    compile_again,
    compile_for_accuracy,
    compile_for_latency,
    find_checker,
    measure_in_turns,
)
from quantize_zoo.search import base_choices
from quantize_zoo.search.sampler import TpeSampler

F32 = DeviceSpec(device="CPU", inference_precision="f32")


FULL_SCOPE = {
    "tuning_scope": ["layer", "mode", "range_estimator"],
    "estimator_tuning_scope": ["preset", "type", "aggregator", "outlier_prob"],
}


@pytest.fixture(scope="module")
def cell(mobilenet):
    """The model, its accuracy session, its pipeline with the full scope prepared, and its configuration."""
    model = read_model(mobilenet.model)
    session = AccuracySession(find_checker(), mobilenet, model)
    built = pipeline(model, session.inputs(range(300)), compression(**FULL_SCOPE))
    built.prepare(built.base)
    return model, session, built, mobilenet


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median_ratio(one, other, rounds=5):
    return statistics.median(seconds(one) / seconds(other) for _ in range(rounds))


def compiled_for_throughput(model):
    return ov.Core().compile_model(model, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"})


def bare_pass(model, samples):
    compiled = compiled_for_throughput(model)

    def run():
        queue = ov.AsyncInferQueue(compiled)
        for sample in samples:
            queue.start_async(sample)
        queue.wait_all()

    return run


def compiled(model):
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def extremes(built, tail):
    """What the full scope needs of every tensor: extremes of all of it, and of each channel where that is allowed."""
    for point in built.placement.activations:
        yield Extremes(point.tensor, None, tail)
        if any(config.granularity == "perchannel" for config in point.configs):
            yield Extremes(point.tensor, 1, tail)


def test_building_a_candidate(benchmark, cell):
    _, _, built, _ = cell
    candidate = benchmark(built.build, built.base)
    ratio = median_ratio(lambda: built.build(built.base), lambda: compiled(candidate))
    benchmark.extra_info["build / compile"] = ratio
    assert ratio < 0.2


def test_building_a_candidate_with_biases_corrected(benchmark, cell):
    model, session, _, _ = cell
    built = pipeline(model, session.inputs(range(300)), compression(after=["FastBiasCorrection"]))
    candidate = built.build(built.base)
    benchmark(built.build, built.base)
    ratio = median_ratio(lambda: built.build(built.base), lambda: compiled(candidate))
    benchmark.extra_info["build / compile"] = ratio
    assert ratio < 0.3


@pytest.mark.parametrize(("name", "limit"), [("digits-resnet", 1.5), ("digits-mobilenet", 2.5)])
def test_scoring_a_model(benchmark, zoo, name, limit):
    """Against bare inference of the same samples; on small models the checker's own metrics show."""
    config = load_model_config(zoo / "embedded" / f"{name}.yml")
    model = read_model(config.model)
    session = AccuracySession(find_checker(), config, model)
    throughput = compile_for_accuracy(model, F32)
    benchmark.pedantic(session.score, args=(throughput,), rounds=3)
    ratio = median_ratio(lambda: session.score(throughput), bare_pass(model, session.inputs()))
    benchmark.extra_info["score / bare inference"] = ratio
    assert ratio < limit


@pytest.mark.parametrize(("tail", "limit"), [(0.0, 5), (1e-3, 9)], ids=["extremes", "full scope"])
def test_collecting_statistics(benchmark, cell, tail, limit):
    """Against a plain pass over the same samples; each is compiled first."""
    model, session, built, _ = cell
    samples, requests = session.inputs(range(300)), list(extremes(built, tail))
    benchmark.pedantic(collect_statistics, args=(model, requests, samples), rounds=3)
    ratio = median_ratio(
        lambda: collect_statistics(model, requests, samples), lambda: bare_pass(model, samples)(), rounds=5
    )
    benchmark.extra_info["statistics / plain pass"] = ratio
    assert ratio < limit


def test_collecting_statistics_of_lines_of_any_size(benchmark, zoo):
    """Nearly each of 300 lines has a shape that the plugin has not seen, for which it prepares every layer anew.

    Against the same model made static, whose lines all have the size of the largest; what their mean size makes of it
    is told. And against NNCF.
    """
    config = load_model_config(zoo / "embedded" / "lines-crnn.yml")
    model = read_model(config.model)
    session = AccuracySession(find_checker(), config, model)
    samples = session.inputs(range(300))
    requests = list(extremes(pipeline(model, samples[:1], config.compression), 1e-3))
    shapes = np.array([sample["image"].shape for sample in samples])
    assert len(np.unique(shapes, axis=0)) > 250
    dataset = nncf.Dataset([dict(sample) for sample in samples])

    def collect():
        return collect_statistics(model, requests, samples)

    def of_one_size(shape):
        fixed = model.clone()
        fixed.reshape(shape.tolist())
        same = [{"image": np.resize(sample["image"], shape)} for sample in samples]
        return lambda: collect_statistics(fixed, requests, same)

    benchmark.pedantic(collect, rounds=3)
    largest = median_ratio(collect, of_one_size(shapes.max(axis=0)), rounds=3)
    mean = median_ratio(collect, of_one_size(shapes.mean(axis=0).round().astype(int)), rounds=3)
    nncfs = median_ratio(collect, lambda: nncf.quantize(model, dataset, subset_size=300), rounds=1)
    benchmark.extra_info |= {"dynamic / largest": largest, "dynamic / mean size": mean, "dynamic / nncf": nncfs}
    assert largest < 3
    assert nncfs < 1


def test_statistics_of_the_full_scope_against_nncfs_of_one_configuration(benchmark, cell):
    model, session, built, _ = cell
    samples, requests = session.inputs(range(300)), list(extremes(built, 1e-3))
    dataset = nncf.Dataset([dict(sample) for sample in samples])

    def with_nncf():
        return nncf.quantize(model, dataset, subset_size=300, fast_bias_correction=True)

    benchmark.pedantic(collect_statistics, args=(model, requests, samples), rounds=3)
    ratio = median_ratio(lambda: collect_statistics(model, requests, samples), with_nncf, rounds=3)
    benchmark.extra_info["statistics / nncf.quantize"] = ratio
    assert ratio < 1


LINES_TWICE = """
import sys, time
from pathlib import Path
from quantize_zoo.config import DeviceSpec, load_model_config
from quantize_zoo.graph import read_model
from quantize_zoo.graph.runtime import keep_kernels
from quantize_zoo.scoring import AccuracySession, compile_for_accuracy, find_checker

config = load_model_config(Path(sys.argv[1]))
model = read_model(config.model)
session = AccuracySession(find_checker(), config, model)
keep_kernels(session.inputs())
for _ in range(2):
    started = time.process_time()
    session.score(compile_for_accuracy(model, DeviceSpec(device="CPU", inference_precision="f32")))
    print(time.process_time() - started)
"""


def test_kernels_of_lines_of_any_size_are_kept_for_the_next_candidate(zoo):
    """A process of its own, since oneDNN reads how many it keeps once; a limit that the user sets holds."""
    ratios = []
    for limit in ({}, {KERNELS_VARIABLE: "1024"}):
        environment = {name: value for name, value in os.environ.items() if name != KERNELS_VARIABLE} | limit
        command = [sys.executable, "-c", LINES_TWICE, zoo / "embedded" / "lines-crnn.yml"]
        ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        first, second = map(float, ended.stdout.split())
        ratios.append(second / first)
    assert ratios[0] < 0.75 * ratios[1], "the second pass makes them no more"


def test_next_trial_of_a_large_model_compiles_fp32_no_more(benchmark):
    """Against a trial that compiles both sides; process time, since what else runs decides how long turns take.

    The candidate is small, so that FP32 is most of what both do and noise hides nothing of what is saved.
    """
    options = BenchmarkParams(duration_seconds=0.1)
    # Inferences of milliseconds on any CPU: of fewer than eight pairs in a compilation's time FP32 is kept.
    samples = [{"image": np.ones((1, 3, 160, 160), np.float32)}]

    def again(count):
        net = many_convolutions(count, 160)
        return compile_again(compile_for_latency(net, F32, options), net, F32, options)

    candidate, fp32, weights = again(8), again(120), weights_bytes(many_convolutions(120, 160))
    shared = SharedReference(fp32, weights)
    measure_in_turns(shared, candidate, samples, options)

    def used(reference):
        start = time.process_time()
        measure_in_turns(reference, candidate, samples, options)
        return time.process_time() - start

    benchmark.pedantic(measure_in_turns, args=(shared, candidate, samples, options), rounds=3)
    ratio = statistics.median(used(shared) / used(SharedReference(fp32, weights)) for _ in range(5))
    benchmark.extra_info["kept / compiled anew"] = ratio
    assert ratio < 0.6


def test_deriving_the_full_space_of_200_operations(benchmark):
    net = wide_model(200)
    params = compression(**FULL_SCOPE)
    built = pipeline(net, [], params)
    space = benchmark(derive_space, built.placement, built.base, params)
    assert len(space.operations) == 200
    tracemalloc.start()
    derive_space(built.placement, built.base, params)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6
    # Against what it replaces: crossing the options of a single operation, as POT does.
    variable = space.operations["conv0"]
    ratio = median_ratio(lambda: derive_space(built.placement, built.base, params), lambda: crossed(variable), rounds=3)
    benchmark.extra_info["factored, 200 operations / crossed, one operation"] = ratio
    assert ratio < 1


def crossed(variable):
    """All values of a variable, as a list of dictionaries."""
    return [
        {"value": branch.value, **dict(zip((each.name for each in branch.below), combination, strict=True))}
        for branch in variable.branches
        for combination in itertools.product(*(crossed(each) for each in branch.below))
    ]


def wide_model(count):
    image = parameter((1, 4, 4, 4))
    total = image
    for index in range(count):
        total = ops.relu(named(convolution(total, 4, 4, "x"), f"conv{index}"))
    return build_model(total, image)


def test_asking_the_sampler(benchmark, cell):
    model, session, built, config = cell
    space = derive_space(built.placement, built.base, config.compression)
    sampler = TpeSampler(space, (0,))
    sampler.tell(base_choices(space), 1.0)
    losses = itertools.count()

    def ask_and_tell():
        sampler.tell(sampler.ask(), float(next(losses) % 7))

    benchmark.pedantic(ask_and_tell, rounds=20, warmup_rounds=12)
    # The next trial is asked for while one is scored: that must take longer.
    evaluate = compile_for_accuracy(model, F32)
    assert median_ratio(ask_and_tell, lambda: session.score(evaluate)) < 1
