"""False alarms and misses of the latency gate, and of other tools' rules on the same machine.

    python tests/benchmarks/gate/latency_trials.py [--pairs 200] [--slowdown 0.05] [--load] [--cells 1]

A pair is an INT8 model of the embedded zoo as baseline, and as candidate the same model (``--slowdown 0``) or one with
extra work, whose true cost is measured once at length and printed. ``--load`` lets another process use a core half of
the time. The other tools' rules see each side measured once for half a second in a process of its own, as those tools
do it.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import openvino as ov
from scipy import stats

from quantize_zoo.config import GateConfig, load_model_config
from quantize_zoo.gate import check_level, judge_latency
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import AccuracySession, Side, find_checker, measure_rounds, start_runtime

ZOO = Path(__file__).parents[3] / "model_zoo_configs" / "embedded"
PROPERTIES = {"NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": 1}
MARGIN = GateConfig().max_latency_increase / 100


def quantized(name, folder):
    """An INT8 model of the zoo, plainly quantized, and an input."""
    from builders import plain_int8

    config = load_model_config(ZOO / f"{name}.yml")
    model = read_model(config.model)
    samples = AccuracySession(find_checker(), config, model).inputs(range(50))
    save_model(plain_int8(model, samples), folder / f"{name}.xml")
    return folder / f"{name}.xml", samples[0]


def slowed(path, work, folder):
    """The same model with a multiplication of two matrices of ``work`` columns beside it, added times zero."""
    model = ov.Core().read_model(path)
    image = model.inputs[0]
    flat = ops.reshape(image, np.array([1, -1]), False)
    rng = np.random.default_rng(0)
    size = int(np.prod(list(image.get_partial_shape().get_min_shape())))
    first = ops.matmul(flat, ops.constant(rng.normal(size=(size, work)).astype(np.float32)), False, False)
    extra = ops.multiply(ops.reduce_mean(first, np.array([1]), True), ops.constant(np.float32(1e-30)))
    result = model.get_results()[0]
    result.input(0).replace_source_output(ops.add(result.input_value(0), extra).output(0))
    target = folder / f"{path.stem}-{work}.xml"
    save_model(model, target)
    return target


def true_ratio(baseline, candidate, sample, rounds=60):
    found = []
    for observed in measure_rounds(Side(baseline, "CPU", PROPERTIES), Side(candidate, "CPU", PROPERTIES), [sample]):
        found.append(observed)
        if len(found) == rounds:
            return float(np.exp(np.median(found)))
    raise AssertionError("measure_rounds has no end")


def with_slowdown(path, wanted, sample, folder):
    """Search the amount of extra work that costs about this much."""
    low, high = 1, 400
    for _ in range(6):
        middle = (low + high) // 2
        candidate = slowed(path, middle, folder)
        ratio = true_ratio(path, candidate, sample, rounds=8)
        low, high = (middle, high) if ratio < 1 + wanted else (low, middle)
    candidate = slowed(path, (low + high) // 2, folder)
    return candidate, true_ratio(path, candidate, sample)


def busy():
    """Use a core half of the time, in bursts of 0 to 0.4 s."""
    rng = np.random.default_rng()
    while True:
        end = time.perf_counter() + rng.uniform(0, 0.4)
        while time.perf_counter() < end:
            np.linalg.norm(rng.normal(size=10_000))
        time.sleep(rng.uniform(0, 0.4))


def one_run(path, sample, seconds):
    """Times of one side measured alone in a new process."""
    with start_runtime() as process:
        process.load(Side(path, "CPU", PROPERTIES))
        process.feed([sample])
        single = float(np.median(process.turns((0,), 10)))
        return process.turns((0,), max(20, int(seconds / (2 * single))))[:, 0]


def other_rules(baseline, candidate):
    """Whether the rules of other tools raise an alarm (see docs/gate.md)."""
    median = np.median(candidate) / np.median(baseline)
    test = stats.mannwhitneyu(baseline, candidate).pvalue
    return {
        "fixed window 0.915..1.084": not 0.915 <= np.mean(baseline) / np.mean(candidate) <= 1.084,
        "pytest-benchmark median:5%": median > 1.05,
        "pytest-benchmark min:5%": candidate.min() / baseline.min() > 1.05,
        "asv factor 1.1, p < 0.002": median > 1.1 and test < 0.002,
        "t-test p < 0.05 and 3 %": bool(stats.ttest_ind(candidate, baseline).pvalue < 0.05) and median > 1.03,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--slowdown", type=float, default=0.0)
    parser.add_argument("--cells", type=int, default=1, help="cells of the night, for the level of a check")
    parser.add_argument("--model", default="digits-mobilenet")
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--others", action="store_true", help="the other tools' rules too")
    arguments = parser.parse_args()
    level = check_level(GateConfig(), arguments.cells)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        baseline, sample = quantized(arguments.model, folder)
        candidate, ratio = baseline, 1.0
        if arguments.slowdown:
            candidate, ratio = with_slowdown(baseline, arguments.slowdown, sample, folder)
        load = multiprocessing.Process(target=busy, daemon=True)
        if arguments.load:
            load.start()
        statuses, seconds, alarms = [], [], {}
        for _ in range(arguments.pairs):
            started = time.perf_counter()
            verdict = judge_latency(
                lambda: measure_rounds(Side(baseline, "CPU", PROPERTIES), Side(candidate, "CPU", PROPERTIES), [sample]),
                MARGIN,
                level,
            )
            seconds.append(time.perf_counter() - started)
            statuses.append(verdict.status)
            if arguments.others:
                runs = (one_run(path, sample, 0.5) for path in (baseline, candidate))
                for rule, alarm in other_rules(*runs).items():
                    alarms.setdefault(rule, []).append(bool(alarm))
            so_far = {status: statuses.count(status) for status in sorted(set(statuses))}
            print(f"{len(statuses)} pairs at {ratio:.4f}: {so_far}", file=sys.stderr, flush=True)
        if arguments.load:
            load.terminate()
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    print(
        json.dumps(
            {
                "true ratio": round(ratio, 4),
                "pairs": arguments.pairs,
                "level of a check": level,
                "load": arguments.load,
                "verdicts": counts,
                "seconds a pair": {"median": round(statistics.median(seconds), 1), "most": round(max(seconds), 1)},
                "other rules, share of alarms": {rule: float(np.mean(found)) for rule, found in alarms.items()},
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
