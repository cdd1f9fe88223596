"""How often the interval of a trial's latency ratio, and of the final one, holds the truth, which is 1.

    python tests/benchmarks/gate/trial_pairs.py [--pairs 200] [--final] [--models digits-mobilenet ...]

A pair is a quantized model twice, once in FP32's place; what compiles that one is made anew for every tenth pair, as a
session does it for a cell. Prints for each model the coverage, the standard deviation of the ratios beside the one that
the intervals claim, and the seconds of a trial's measurement with the candidate's own compilation.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from scipy import stats

from builders import plain_int8
from quantize_zoo.config import DeviceSpec, load_model_config
from quantize_zoo.graph import read_model, weights_bytes
from quantize_zoo.scoring import (
    AccuracySession,
    SharedReference,
    compile_again,
    compile_for_latency,
    find_checker,
    measure_finally,
    measure_in_turns,
)

ZOO = Path(__file__).parents[3] / "model_zoo_configs" / "embedded"
CPU = DeviceSpec(device="CPU")


def again(model, benchmark):
    return compile_again(compile_for_latency(model, CPU, benchmark), model, CPU, benchmark)


def shared(model, benchmark):
    return SharedReference(again(model, benchmark), weights_bytes(model))


def pairs_of(name, count, final):
    """Yield the ratio's estimate and the seconds of one pair after another."""
    config = load_model_config(ZOO / f"{name}.yml")
    model = read_model(config.model)
    samples = AccuracySession(find_checker(), config, model).inputs(range(50))
    int8 = plain_int8(model, samples)
    twice, benchmark = int8.clone(), config.optimizer.params.benchmark
    first, measure = (again, measure_finally) if final else (shared, measure_in_turns)
    for number in range(count):
        if number % 10 == 0:
            reference = first(int8, benchmark)
        start = time.perf_counter()
        measured = measure(reference, again(twice, benchmark), [samples[0]], benchmark)
        yield measured.ratio, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--final", action="store_true")
    parser.add_argument("--models", nargs="+", default=["digits-mobilenet", "shapes-unet", "digits-resnet"])
    arguments = parser.parse_args()
    for name in arguments.models:
        ratios, seconds = zip(*pairs_of(name, arguments.pairs, arguments.final), strict=True)
        held = sum(ratio.low <= 1 <= ratio.high for ratio in ratios)
        logs = np.log([ratio.value for ratio in ratios])
        low, high = stats.binomtest(held, len(ratios)).proportion_ci(method="wilson")
        print(
            f"{name}: {held} of {len(ratios)} hold 1, {held / len(ratios):.1%} [{low:.1%}, {high:.1%}]; "
            f"mean {np.mean(logs):+.2%}, deviation {np.std(logs):.2%}, "
            f"half width {np.median([ratio.half_width for ratio in ratios]):.2%}, "
            f"compilations {np.mean([ratio.samples for ratio in ratios]):.1f}, "
            f"seconds {np.median(seconds):.3f} (mean {np.mean(seconds):.3f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
