"""Misses of the accuracy gate on a model that really lost accuracy, and false alarms of nights without change.

    python tests/benchmarks/gate/accuracy_trials.py
    python tests/benchmarks/gate/accuracy_trials.py --nights 100

The first takes 1,000 samples of the embedded digits and disturbs 1 % of the weights of a model until it loses 1.5 % on
them; then the gate judges resampled datasets. The second simulates nights of 200 cells: it measures 60 rounds of a
model against itself, and draws every round of every cell from those.
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
from latency_trials import MARGIN, PROPERTIES, quantized

from quantize_zoo.config import DeviceSpec, GateConfig, load_model_config
from quantize_zoo.gate import check_level, judge_accuracy, judge_latency
from quantize_zoo.graph import read_model
from quantize_zoo.scoring import AccuracySession, Side, compile_for_accuracy, find_checker, measure_rounds

ZOO = Path(__file__).parents[3] / "model_zoo_configs" / "embedded"
F32 = DeviceSpec(device="CPU", inference_precision="f32")
SAMPLES, WANTED, DATASETS, CELLS = 1000, 0.015, 500, 200


def disturbed(path, scale, seed):
    """The model with 1 % of its weights moved by ``scale`` standard deviations."""
    model = read_model(path)
    rng = np.random.default_rng(seed)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant" and node.get_element_type() == ov.Type.f32 and node.data.size > 500:
            values = node.data.copy()
            chosen = rng.random(values.shape) < 0.01
            values[chosen] += scale * values.std() * rng.normal(size=int(chosen.sum()))
            constant = ov.op.Constant(values)
            node.output(0).replace(constant.output(0))
    return model


def accuracy():
    config = load_model_config(ZOO / "digits-resnet.yml")
    model = read_model(config.model)
    session = AccuracySession(find_checker(), config, model)
    whole = session.answers(compile_for_accuracy(model, F32), config.metric)
    first = whole.values[:SAMPLES]
    for seed, scale in itertools.product(range(20), np.geomspace(0.2, 8, 24)):
        other = session.answers(compile_for_accuracy(disturbed(config.model, scale, seed), F32), config.metric)
        second = other.values[:SAMPLES]
        loss = (first.mean() - second.mean()) / first.mean()
        if abs(loss - WANTED) < 0.0006:
            break
    rng = np.random.default_rng(0)
    found = {}
    for cells in (1, CELLS):
        level, statuses = check_level(GateConfig(), cells), []
        for _ in range(DATASETS):
            drawn = rng.integers(SAMPLES, size=SAMPLES)
            pair = [(values[drawn].mean(), values[drawn]) for values in (first, second)]
            verdict = judge_accuracy(
                *pair, identical=False, higher_is_better=True, margin=GateConfig().max_accuracy_drop / 100, level=level,
                confidences=(whole.confidences[drawn], other.confidences[drawn]),
            )  # fmt: skip
            statuses.append(verdict.status)
        found[f"{cells} cells"] = {status: statuses.count(status) / DATASETS for status in sorted(set(statuses))}
    lost, won = int((first > second).sum()), int((first < second).sum())
    print(json.dumps({"loss": round(loss, 4), "lost": lost, "won": won, "verdicts": found}, indent=1))


def nights(count):
    with tempfile.TemporaryDirectory() as name:
        path, sample = quantized("digits-mobilenet", Path(name))
        side = Side(path, "CPU", PROPERTIES)
        recorded = np.array(list(itertools.islice(measure_rounds(side, side, [sample]), 60)))
    recorded -= recorded.mean()
    rng = np.random.default_rng(0)
    level = check_level(GateConfig(), CELLS)
    alarms = []
    for _ in range(count):
        night = [
            judge_latency(lambda: (rng.choice(recorded) for _ in itertools.count()), MARGIN, level).status
            for _ in range(2 * CELLS)
        ]
        alarms.append("regressed" in night)
    deviation = float(recorded.std(ddof=1))
    print(json.dumps({"nights": count, "with an alarm": sum(alarms), "deviation of a round": round(deviation, 4)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nights", type=int)
    arguments = parser.parse_args()
    if arguments.nights:
        nights(arguments.nights)
    else:
        accuracy()


if __name__ == "__main__":
    main()
