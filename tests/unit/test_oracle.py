"""Parity with what POT itself computed (tests/data/oracle)."""

import csv
import gzip
import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from builders import compression, pipeline
from quantize_zoo.config import CompressionParams, OptimizerParams
from quantize_zoo.graph import constant_value, nodes_by_name, read_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import derive_space
from quantize_zoo.search import Score, loss

ORACLE = Path(__file__).parents[1] / "data" / "oracle"
PORTS = ("input_low", "input_high", "output_low", "output_high")
CASES = json.loads(gzip.decompress((ORACLE / "ranges.json.gz").read_bytes()))
SPACES = json.loads((ORACLE / "space.json").read_text())
ALIGNED = "ActivationChannelAlignment"


@cache
def oracle_model():
    return read_model(ORACLE / "mb.xml")


@cache
def oracle_samples():
    images = np.load(ORACLE / "calibration.npz")["images"].astype(np.float32)
    return [{"x": np.repeat(image[None, None], 3, axis=1)} for image in images]


def candidate(case):
    algorithms = []
    for algorithm in CASES[case]["algorithms"]:
        name = algorithm["name"].replace("MinMaxQuantization", "TunableQuantization")
        params = {key: value for key, value in algorithm["params"].items() if key != "target_device"}
        algorithms.append({"name": name, "params": params})
    params = CompressionParams.model_validate({"algorithms": algorithms})
    built = pipeline(oracle_model(), oracle_samples(), params, compatibility="pot")
    return built.build(built.base)


def entries(case, what):
    """POT's values of a case, those it shares with performance/default included."""
    return {
        name: CASES["performance/default"][what][name] if isinstance(entry, str) else entry
        for name, entry in CASES[case][what].items()
    }


def fake_quantizes(model):
    """FakeQuantize operations by the set of (operation, port) that they feed."""
    found = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            targets = node.output(0).get_target_inputs()
            found[frozenset((t.get_node().get_friendly_name(), t.get_index()) for t in targets)] = node
    return found


def expected_consumers(name, entry):
    # POT put a Reshape of its own behind depthwise weights; its name is a bare number.
    consumers = [consumer.rpartition(":") for consumer in entry["consumers"]]
    if consumers[0][0].isdigit():
        return frozenset({(name.removesuffix("/fq_weights_1"), 1)})
    return frozenset((operation, int(port)) for operation, _, port in consumers)


def bias_port(node):
    return next(port for port in (0, 1) if node.input_value(port).get_node().get_type_name() == "Constant")


@pytest.mark.parametrize("case", CASES)
def test_placement_levels_and_ranges_are_pots(case):
    ours = fake_quantizes(candidate(case))
    pots = {expected_consumers(name, entry): entry for name, entry in entries(case, "fake_quantize").items()}
    assert ours.keys() == pots.keys()
    for consumers, entry in pots.items():
        node = ours[consumers]
        assert node.get_attributes()["levels"] == entry["levels"]
        for index, port in enumerate(PORTS, start=1):
            values = node.input_value(index).get_node().data.ravel()
            # Activations at float32 differ in the last digits between releases of OpenVINO, by about 1e-6 of a tensor's
            # largest channel: a channel that is a hundred times smaller cannot agree to 1e-5 of itself.
            noise = 2e-6 * np.abs(entry[port]).max()
            np.testing.assert_allclose(values, entry[port], rtol=1e-5, atol=noise, err_msg=str(consumers))


@pytest.mark.parametrize("case", CASES)
def test_biases_are_pots(case):
    nodes = nodes_by_name(candidate(case))
    compared = 0
    for name, expected in entries(case, "bias").items():
        if name not in nodes:  # the 2023 converter named two preprocessing operations differently
            continue
        node = nodes[name]
        found = constant_value(node.input_value(bias_port(node))).ravel()
        expected = np.ravel(expected)
        difference = np.abs(np.broadcast_to(found, expected.shape) - expected) / np.abs(expected).max()
        compared += 1
        if ALIGNED in case and "FastBiasCorrection" in case and name == "/11/Conv":
            # Halved weights (saturation fix) put each channel's largest weight exactly between two levels, and the last
            # bit of the aligned weight decides. Channels where it fell alike agree; the outputs are compared below.
            assert np.median(difference) < 1e-5
        else:
            assert difference.max() < 1e-5, name
    assert compared >= 25


@pytest.mark.parametrize("case", [case for case in CASES if ALIGNED in case])
def test_aligned_model_computes_what_pots_does(case):
    ours = candidate(case)
    pots = ours.clone()
    by_consumers = fake_quantizes(pots)
    for name, entry in entries(case, "fake_quantize").items():
        node = by_consumers[expected_consumers(name, entry)]
        for index, port in enumerate(PORTS, start=1):
            shape = node.input_value(index).get_shape()
            set_constant(node.input(index), np.array(entry[port], np.float32).reshape(shape))
    nodes = nodes_by_name(pots)
    for name, expected in entries(case, "bias").items():
        if name in nodes:
            port = nodes[name].input(bias_port(nodes[name]))
            set_constant(port, np.broadcast_to(np.ravel(expected), np.prod(port.get_shape())).reshape(port.get_shape()))
    found, expected = (infer_all(model, oracle_samples()[:50]) for model in (ours, pots))
    # In the norm: a range that differs in its last digit moves single activations to the next level.
    assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)


def set_constant(port, value):
    port.replace_source_output(ops.constant(value.astype(np.float32)).output(0))


def infer_all(model, samples):
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(sample)[0] for sample in samples])


def scopes(case):
    preset, tuning, estimator = (part.strip() for part in case.split("|"))
    return preset, tuning.split("+"), [] if estimator == "-" else estimator.split("+")


def option_counts(case):
    preset, tuning, estimator = scopes(case)
    compressed = compression(preset=preset, tuning_scope=tuning, estimator_tuning_scope=estimator)
    built = pipeline(oracle_model(), [], compressed)
    space = derive_space(built.placement, built.base, compressed)
    return {name: variable.reachable for name, variable in space.operations.items()}


@pytest.mark.parametrize("case", [case for case in SPACES if "mode" not in case or "range_estimator" in case])
def test_number_of_options_is_pots(case):
    # The 2021 converter appended the kind of reduction to this operation's name.
    assert option_counts(case) == {name.removesuffix("/reduce"): count for name, count in SPACES[case].items()}


@pytest.mark.parametrize("preset", ["performance", "accuracy"])
def test_mode_alone_offers_the_other_mode_where_pot_offers_nothing(preset):
    assert set(SPACES[f"{preset} | mode | -"].values()) == {1}
    # 26 operations have weights: two modes for activations times two for weights. 5 have activations only.
    assert Counter(option_counts(f"{preset} | mode | -").values()) == {4: 26, 2: 5}
    assert Counter(option_counts(f"{preset} | layer+mode | -").values()) == {5: 26, 3: 5}


def test_loss_is_pots_to_the_last_digit():
    with (ORACLE / "loss.csv").open() as stream:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
    assert len(rows) == 235
    for row in rows:
        params = OptimizerParams(
            accuracy_loss=row["acc_th"] * 100,
            latency_reduce=row["lat_th"],
            accuracy_weight=row["acc_weight"],
            latency_weight=row["lat_weight"],
            quantization_ratio_weight=row["quant_ratio_weight"],
            expected_quantization_ratio=row["quant_ratio_offset"],
        )
        base = Score(row["base_acc_loss"], row["base_lat_diff"], 1.0)
        score = Score(row["acc_loss"], row["lat_diff"], row["quantization_ratio"])
        assert loss(score, base, params) == row["loss"]
