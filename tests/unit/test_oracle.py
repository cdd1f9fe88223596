"""Parity with what POT itself computed (tests/data/oracle)."""

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize_zoo.config import OptimizerParams, hardware_path, load_hardware
from quantize_zoo.config.model import TunableQuantizationParams
from quantize_zoo.graph import find_placement, read_model
from quantize_zoo.quantization import (
    base_option,
    build_candidate,
    collect_statistics,
    compute_ranges,
    derive_space,
    wanted_statistics,
)
from quantize_zoo.search import Score, loss

ORACLE = Path(__file__).parents[1] / "data" / "oracle"
PORTS = ("input_low", "input_high", "output_low", "output_high")
RANGES = json.loads(gzip.decompress((ORACLE / "ranges.json.gz").read_bytes()))


@pytest.fixture(scope="module")
def calibrated():
    model = read_model(ORACLE / "mb.xml")
    placement = find_placement(model, load_hardware(hardware_path("CPU")), "mb")
    base = base_option(placement)
    images = np.load(ORACLE / "calibration.npz")["images"].astype(np.float32)
    samples = [{"x": np.repeat(image[None, None], 3, axis=1)} for image in images]
    presets = ("default", "quantile")
    statistics = collect_statistics(model, wanted_statistics(placement, base, presets), samples)
    return model, placement, base, compute_ranges(model, placement, base, presets, statistics)


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


@pytest.mark.parametrize("preset", ["default", "quantile"])
def test_placement_levels_and_ranges_are_pots(calibrated, preset):
    model, placement, base, ranges = calibrated
    option = {
        name: replace(
            choice,
            activations=replace(choice.activations, range_estimator=preset),
            weights=choice.weights and replace(choice.weights, range_estimator=preset),
        )
        for name, choice in base.items()
    }
    ours = fake_quantizes(build_candidate(model, placement, option, ranges))
    pots = {expected_consumers(name, entry): entry for name, entry in RANGES[f"performance/{preset}"].items()}
    assert ours.keys() == pots.keys()
    for consumers, entry in pots.items():
        node = ours[consumers]
        assert node.get_attributes()["levels"] == entry["levels"]
        for index, port in enumerate(PORTS, start=1):
            values = node.input_value(index).get_node().data.ravel()
            # POT rounds to float32 in other places; a direct computation agrees to 2e-6.
            np.testing.assert_allclose(values, entry[port], rtol=5e-6, err_msg=str(consumers))


@pytest.mark.parametrize(
    ("case", "params"),
    [
        ("performance | layer | -", TunableQuantizationParams(tuning_scope=("layer",))),
        (
            "performance | range_estimator | preset",
            TunableQuantizationParams(tuning_scope=("range_estimator",), estimator_tuning_scope=("preset",)),
        ),
    ],
)
def test_number_of_options_is_pots(calibrated, case, params):
    counts = {space.operation: space.reachable for space in derive_space(calibrated[2], params)}
    # The 2021 converter appended the kind of reduction to this operation's name.
    pots = json.loads((ORACLE / "space.json").read_text())[case]
    assert counts == {name.removesuffix("/reduce"): count for name, count in pots.items()}


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
