"""Activations in INT8, weights in INT8 or INT4, and a mixture that is searched, against NNCF's ways, in one run.

    python tests/benchmarks/compare_weights.py [TRIALS]

All models of a network are made of the same calibration samples, and scored on the samples of the search and on the
holdout. Time is that of the process on its core, of one thread, in turns with FP32, each round compiled anew: others on
the machine hardly move it. The mixtures are the best trials of searches over bits and layers with targets of accuracy
and size. Prints a Markdown table, which models no other one beats in accuracy, size and time at once, and how many
choices are not searched since the device does not execute them as such.
"""

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from searching import ZOO

from builders import Alone
from quantize_zoo.cell import Cell
from quantize_zoo.cell.candidates import Candidate
from quantize_zoo.cell.finishing import score_holdout
from quantize_zoo.cell.nncf import nncf_models
from quantize_zoo.cell.session import CellSession
from quantize_zoo.config import CompressionParams, DeviceSpec, WeightCompression, hardware_path, load_model_config
from quantize_zoo.graph import weights_bytes
from quantize_zoo.matrix.paying import what_pays
from quantize_zoo.quantization import derive_space, without_quantization
from quantize_zoo.scoring import Estimate, Execution, PairedLatency, compile_for_latency, request_with
from quantize_zoo.scoring.estimate import exponential, two_stage_estimate
from quantize_zoo.search import StagePlan, Timed, TrialRecorder, best_trial, is_allowed, run_stage

MODELS = ("opinions-encoder", "reviews-transformer", "digits-vit")
TRIALS = int(sys.argv[1]) if len(sys.argv) > 1 else 30
ROUNDS, TURNS, INFERENCES = 6, 5, 20
SMALLER = (3.0, 4.0)  # times than FP32's weights
HEADINGS = (
    "model",
    "made of it",
    "accuracy (tuning) [95 %]",
    "loss on the holdout [95 %], %",
    "weights (KB)",
    "FP32 time / its [95 %]",
    "beaten by",
)
INT8 = WeightCompression(bits=8, mode="asymmetric")
INT4 = WeightCompression(bits=4, mode="symmetric")


@dataclass(frozen=True)
class Row:
    """A model's accuracy and time with their intervals, and the bytes of its weights."""

    name: str
    accuracy: object
    loss: object
    size: int
    ratio: object

    def beats(self, other):
        """Tell whether it is better in one of accuracy, size and time, and not worse in another, beyond intervals."""
        faster, slower = self.ratio.low > other.ratio.high, self.ratio.high < other.ratio.low
        more, less = self.accuracy.value > other.accuracy.value, self.accuracy.value < other.accuracy.value
        smaller, larger = self.size < other.size, self.size > other.size
        return (faster or more or smaller) and not (slower or less or larger)


class OnItsCore:
    """Candidates of a cell whose latency is the time of the process on its core."""

    def __init__(self, work):
        self._work = work
        self.build, self.score = work.build, work.score

    def measure(self, candidate):
        start = time.perf_counter()
        bench = self._work.bench
        samples = bench.timed_samples()
        rounds = [self._round(candidate, samples) for _ in range(ROUNDS)]
        fp32, found = (np.array(side) for side in zip(*rounds, strict=True))
        ratio = exponential(two_stage_estimate(np.log(fp32 / found), ROUNDS, "x"))
        sides = [Estimate(float(np.median(side)), None, None, "us", ROUNDS) for side in (fp32, found)]
        return Timed(PairedLatency(*sides, ratio), Execution("", {}, {}), 0.0, time.perf_counter() - start)

    def _round(self, candidate, samples):
        """Microseconds of FP32 and of the candidate, the means over inferences in turns of one compilation of both."""
        bench = self._work.bench
        sides = (
            compile_for_latency(each, bench.device, bench.benchmark)
            for each in (self._work.fp32.model, candidate.model)
        )
        requests = [[request_with(compiled, sample) for sample in samples] for compiled in sides]
        spent = [0.0, 0.0]
        for turn in range(TURNS):
            for side, requests_of in enumerate(requests):
                before = time.process_time()
                for request in requests_of * INFERENCES:
                    request.infer()
                if turn:  # the first one warms the caches
                    spent[side] += time.process_time() - before
        return [1e6 * each / ((TURNS - 1) * INFERENCES * len(samples)) for each in spent]


def open_cell(name):
    config = load_model_config(ZOO / f"{name}.yml").with_optimizer({"max_trials": TRIALS})
    tunable = config.compression.tunable.model_dump() | {"tuning_scope": ("bits", "layer")}
    algorithm = {"name": "TunableQuantization", "params": tunable}
    compression = CompressionParams.model_validate(
        {"algorithms": [algorithm], "hardware": hardware_path("CPU-weights")}
    )
    folder = Path(tempfile.mkdtemp())
    config = config.model_copy(update={"compression": compression})
    session = CellSession(Cell(config, DeviceSpec(device="CPU")), folder, folder)
    return session, session.prepare(), config


def compressed(prepared, wanted):
    """The option with all weights compressed in a way, or in 8 bits where an operation is not offered that."""
    ways = {each.name: each.compressed_weights for each in prepared.placement.operations}
    operations = {
        name: without_quantization(choice, next((way for way in (wanted, INT8) if way in ways[name]), None))
        for name, choice in prepared.base.operations.items()
    }
    return replace(prepared.base, operations=operations)


def choices(space):
    return sum(len(variable.branches) for variable in space.operations.values())


def searched(session, prepared, config):
    """The option of the best trial of a search, as a cell makes it."""
    calibration = session.calibrate(prepared.base)
    params, compression = config.optimizer.params, config.compression
    for for_size in (False, True):
        paying = what_pays(
            prepared.placement, prepared.base, prepared.base, compression, calibration.executed, for_size=for_size
        )
        space = derive_space(paying.placement, paying.base, compression, paying.idle)
        whole = choices(derive_space(prepared.placement, prepared.base, compression))
        print(f"choices{' with a size target' if for_size else ''}: {choices(space)} of {whole}", file=sys.stderr)
    recorder = TrialRecorder(params, prepared.reference.accuracy.value)
    plan = StagePlan(
        0, paying.base, space, TRIALS, prepared.reference.operation_types, calibration.errors,
        survey=session.survey(paying.base),
    )  # fmt: skip
    for trial in run_stage(plan, recorder, 0, Alone(OnItsCore(session._work))):
        print(trial.number, trial.score, trial.failure, file=sys.stderr)
    best = best_trial(recorder.trials, params)
    print(
        f"best: trial {best.number}{'' if is_allowed(best.score, params) else ', which misses a target'}",
        file=sys.stderr,
    )
    return best.option


def mixture(session, prepared, config, times):
    """Return the best model whose weights are so many times smaller."""
    return session._pipeline.build(searched(session, prepared, config.with_optimizer({"size_reduce": times})))


def rows(session, prepared, config):
    work, build = session._work, session._pipeline.build
    session.calibrate(prepared.base)
    samples = session._calibration_samples(config.compression.tunable.stat_subset_size)
    fp32 = work.fp32.model
    makers = {
        "FP32": lambda: fp32,
        "activations INT8": lambda: build(prepared.base),
        "weights INT8": lambda: build(compressed(prepared, INT8)),
        "weights INT4": lambda: build(compressed(prepared, INT4)),
        **{
            f"the mixture, {times:g} times smaller": partial(mixture, session, prepared, config, times)
            for times in SMALLER
        },
        **nncf_models("nncf", fp32, samples, config.compression),
        **nncf_models("nncf-weights", fp32, samples, config.compression),
    }
    for name, make in makers.items():
        model = make()
        candidate = Candidate(model)
        scored = work.score(candidate)
        holdout = score_holdout(work, model, session._split.holdout)
        ratio = OnItsCore(work).measure(candidate).latency.ratio
        yield Row(name, scored.accuracy, holdout.accuracy_loss, weights_bytes(model), ratio)


def interval(estimate, digits, factor=1.0):
    value, low, high = (f"{factor * each:.{digits}f}" for each in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def main():
    print(f"| {' | '.join(HEADINGS)} |\n|{' --- |' * len(HEADINGS)}")
    for name in MODELS:
        session, prepared, config = open_cell(name)
        found = list(rows(session, prepared, config))
        for row in found:
            beaten = ", ".join(other.name for other in found if other.beats(row))
            cells = [
                name,
                row.name,
                interval(row.accuracy, 4),
                interval(row.loss, 2, 100),
                f"{row.size / 1000:.1f}",
                interval(row.ratio, 3),
                beaten,
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
