"""What operations, variables, samples and wide images cost: rows for ``growth.py``, or by themselves.

    python tests/benchmarks/growing_models.py [words of a row]

Seconds are the process's own. Rows against NNCF tell the whole call, compiling included.
"""

import multiprocessing
import resource
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from growing import Row, told

from builders import Alone, Scorer, compression, pipeline, trial
from large_models import many_convolutions, text_detector
from quantize_zoo.config import BenchmarkParams, DeviceSpec, OptimizerParams
from quantize_zoo.quantization import Extremes, collect_statistics, derive_space
from quantize_zoo.scoring import compile_for_accuracy, compile_for_latency, compile_from
from quantize_zoo.search import BestSoFar, Built, StagePlan, TrialRecorder, run_stage
from quantize_zoo.search.tpe import Tpe

PRESETS = {"tuning_scope": ["layer", "range_estimator"], "estimator_tuning_scope": ["preset"]}
ESTIMATORS = {
    "tuning_scope": ["layer", "range_estimator"], "estimator_tuning_scope": ["type", "aggregator"],
}  # fmt: skip
TARGETS = OptimizerParams(accuracy_loss=1.0, latency_reduce=1.2)
CPU = DeviceSpec(device="CPU", inference_precision="f32")
_OBSERVED = 60
_REPEATS = 3


def seconds(function):
    """Return the least process time of some calls: nothing makes a call faster than it is."""
    found = []
    for _ in range(_REPEATS):
        started = time.process_time()
        function()
        found.append(time.process_time() - started)
    return min(found)


def searched(operations, scope):
    """The base option of a model of so many convolutions, and the space around it."""
    params = compression(**scope)
    built = pipeline(many_convolutions(operations), [], params)
    return built.base, derive_space(built.placement, built.base, params)


def suggestion_ms(scope, operations):
    """One suggestion of TPE after 60 observations."""
    _, space = searched(operations, scope)
    tpe = Tpe(space, 0.3)
    for number in range(_OBSERVED):
        tpe.observe(tpe.random(number), float(number % 7))
    return 1000 * seconds(lambda: tpe.suggest(1, 24))


class New(Scorer):
    """Takes no time, and finds every option to be another model."""

    def build(self, chosen):
        built, count = super().build(chosen)
        return Built(f"model {len(self.built)}", f"structure {len(self.built)}", built.seconds), count


def search_ms(operations):
    """What a trial costs beside its evaluation: asking, making its option, hashing, telling."""
    base, space = searched(operations, PRESETS)
    count = 30

    def search():
        types = dict.fromkeys(base.operations, "Convolution")
        for _ in run_stage(StagePlan(0, base, space, count, types, {}), TrialRecorder(TARGETS, 1.0), 1, Alone(New())):
            pass

    return 1000 * seconds(search) / count


def best_ms(count):
    """Knowing the best trial after each of so many."""
    rng = np.random.default_rng(0)
    trials = [trial(number, rng.normal(0, 0.01), rng.uniform(1, 2)) for number in range(count)]

    def follow():
        best = BestSoFar(TARGETS)
        for each in trials:
            best.add(each)

    return 1000 * seconds(follow)


def extremes(model, tail):
    """What is asked of the tensors of a model for one configuration (tail 0), or for quantiles up to a probability."""
    return [Extremes(point.tensor, None, tail) for point in pipeline(model, []).placement.activations]


def images(size, count):
    rng = np.random.default_rng(0)
    return [{"image": rng.normal(size=(1, 3, size, size)).astype(np.float32)} for _ in range(count)]


def of_convolutions(tail, operations):
    """Seconds of collecting statistics of 4 samples: nearly all of it is compiling."""
    model = many_convolutions(operations)
    started = time.process_time()
    collect_statistics(model, extremes(model, tail), images(224, 4))
    return time.process_time() - started


def of_samples(count):
    """Seconds of collecting minimum and maximum of so many samples of a small model."""
    model = many_convolutions(4, 32)
    return seconds(partial(collect_statistics, model, extremes(model, 0.0), images(32, 100) * (count // 100)))


def collect(model, tail, samples):
    """Collect statistics; ``tail`` of None by NNCF, of its configuration."""
    if tail is not None:
        return collect_statistics(model, extremes(model, tail), samples)
    import nncf

    parameters = nncf.AdvancedQuantizationParameters(disable_bias_correction=True)
    return nncf.quantize(model, nncf.Dataset(samples), subset_size=len(samples), advanced_parameters=parameters)


def in_process(function, *arguments):
    """Run a function in a process of its own; return its process time and by how many MB it grew."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=answer, args=(theirs, function, arguments))
    process.start()
    found = ours.recv()
    process.join()
    return found


def answer(pipe, function, arguments):
    model, samples = function(arguments[0]), images(arguments[0], arguments[2])
    collect(many_convolutions(2, 32), arguments[1], images(32, 2))  # what is imported does not count
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    collect(model, arguments[1], samples)
    pipe.send((time.process_time() - started, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000))


def against_nncf(tail, part, size):
    """Statistics of 16 images of a text detector, as a share of NNCF's: process time (part 0) or memory (part 1)."""
    ours, nncfs = (in_process(text_detector, size, each, 16)[part] for each in (tail, None))
    return ours / nncfs


def compiling_again(operations):
    """A trial's compilation for latency, as a share of that for accuracy."""
    built = pipeline(many_convolutions(operations), images(224, 2))
    candidate = built.build(built.base)
    benchmark = BenchmarkParams(duration_seconds=1)
    compiled = compile_for_accuracy(candidate, CPU)
    anew = seconds(lambda: compile_for_latency(candidate, CPU, benchmark))
    return seconds(lambda: compile_from(compiled, candidate, CPU, benchmark)()) / anew


OPERATIONS = (30, 150, 500)
ROWS = [
    Row("one suggestion of TPE, operations with a preset each", OPERATIONS, partial(suggestion_ms, PRESETS), "ms"),
    Row("one suggestion of TPE, operations with types and aggregators", OPERATIONS, partial(suggestion_ms, ESTIMATORS),
        "ms"),
    Row("a trial beside its evaluation, operations", OPERATIONS, search_ms, "ms"),
    Row("the best after each trial, trials", (50, 200, 800), best_ms, "ms"),
    Row("statistics for one configuration, operations", OPERATIONS, partial(of_convolutions, 0.0), "s"),
    Row("statistics with quantiles of 0.001, operations", OPERATIONS, partial(of_convolutions, 1e-3), "s"),
    Row("statistics of a small model, samples", (1_000, 10_000, 50_000), of_samples, "s"),
    Row("time of statistics / NNCF's, pixels of a side", (640, 1280), partial(against_nncf, 0.0, 0), "x"),
    Row("memory of statistics / NNCF's, pixels of a side", (640, 1280), partial(against_nncf, 0.0, 1), "x"),
    Row("time with quantiles of 0.001 / NNCF's without, pixels", (640, 1280), partial(against_nncf, 1e-3, 0), "x"),
    Row("a trial's second compilation / the first, operations", (30, 150), compiling_again, "x"),
]  # fmt: skip


if __name__ == "__main__":
    words = " ".join(sys.argv[1:])
    for line in told(each for each in ROWS if words in each.what):
        print(line, flush=True)
