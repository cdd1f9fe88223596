"""The model that an option makes."""

import numpy as np
import openvino as ov
import pytest

from builders import residual_model
from quantize_zoo.config import hardware_path, load_hardware
from quantize_zoo.config.model import TunableQuantizationParams
from quantize_zoo.graph import find_placement, nodes_by_name, read_model, save_model
from quantize_zoo.quantization import (
    assemble,
    base_option,
    build_candidate,
    collect_statistics,
    compute_ranges,
    derive_space,
    option_hash,
    presets_in_scope,
    quantization_ratio,
    wanted_statistics,
)

LAYER_AND_PRESET = TunableQuantizationParams(
    tuning_scope=("layer", "range_estimator"), estimator_tuning_scope=("preset",)
)
PRESETS = ("default", "quantile")


@pytest.fixture(scope="module")
def prepared():
    net = residual_model()
    placement = find_placement(net, load_hardware(hardware_path("CPU")), "net")
    base = base_option(placement)
    samples = [{"image": np.random.default_rng(seed).normal(size=(1, 3, 8, 8)).astype(np.float32)} for seed in range(8)]
    statistics = collect_statistics(net, wanted_statistics(placement, base, PRESETS), samples)
    return net, placement, base, compute_ranges(net, placement, base, PRESETS, statistics), samples


def infer(net, sample):
    compiled = ov.Core().compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(sample)[0]


def quantized_inputs(candidate):
    return {
        (node.get_friendly_name(), port.get_index())
        for node in nodes_by_name(candidate).values()
        for port in node.inputs()
        if port.get_source_output().get_node().get_type_name() == "FakeQuantize"
    }


def test_quantized_model_is_close_to_fp32(prepared):
    net, placement, base, ranges, samples = prepared
    # Without the fully connected layer, whose 8 bit sums overflow on CPUs without VNNI.
    candidate = build_candidate(net, placement, assemble(base, {"scores": {"quantize": False}}), ranges)
    expected, found = infer(net, samples[0]), infer(candidate, samples[0])
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert not np.array_equal(found, expected)


def test_unquantized_operation_has_no_fake_quantize(prepared):
    net, placement, base, ranges, _ = prepared
    option = assemble(base, {"scores": {"quantize": False}})
    inputs = quantized_inputs(build_candidate(net, placement, option, ranges))
    assert ("scores", 1) not in inputs
    assert ("flat", 0) not in inputs


def test_shared_fake_quantize_stays_while_one_consumer_needs_it(prepared):
    net, placement, base, ranges, _ = prepared
    option = assemble(base, {"branch": {"quantize": False}})
    inputs = quantized_inputs(build_candidate(net, placement, option, ranges))
    assert {("branch", 0), ("add", 0)} <= inputs
    assert ("branch", 1) not in inputs
    both = assemble(base, {"branch": {"quantize": False}, "add": {"quantize": False}})
    assert ("branch", 0) not in quantized_inputs(build_candidate(net, placement, both, ranges))


def test_nothing_quantized_is_the_fp32_model(prepared):
    net, placement, base, ranges, samples = prepared
    option = assemble(base, {name: {"quantize": False} for name in base})
    np.testing.assert_array_equal(
        infer(build_candidate(net, placement, option, ranges), samples[0]), infer(net, samples[0])
    )


def test_first_convolution_uses_half_of_its_levels(prepared):
    net, placement, base, ranges, _ = prepared
    node = nodes_by_name(build_candidate(net, placement, base, ranges))["first"].input_value(1).get_node()
    weights = node.input_value(0).get_node().data
    np.testing.assert_array_equal(2 * weights, nodes_by_name(net)["first"].input_value(1).get_node().data)
    np.testing.assert_array_equal(node.input_value(4).get_node().data, 2 * node.input_value(2).get_node().data)


def test_the_model_itself_is_not_changed(prepared):
    net, placement, base, ranges, _ = prepared
    build_candidate(net, placement, base, ranges)
    assert quantized_inputs(net) == set()


def test_candidate_survives_save_and_read_bit_identically(prepared, tmp_path):
    net, placement, base, ranges, samples = prepared
    candidate = build_candidate(net, placement, base, ranges)
    save_model(candidate, tmp_path / "int8.xml")
    np.testing.assert_array_equal(infer(read_model(tmp_path / "int8.xml"), samples[1]), infer(candidate, samples[1]))


def test_estimators_of_an_unquantized_operation_do_not_count(prepared):
    base = prepared[2]
    off = assemble(base, {"scores": {"quantize": False}})
    quantile = assemble(base, {"scores": {"activations": "quantile"}})
    assert option_hash(assemble(quantile, {"scores": {"quantize": False}})) == option_hash(off)
    assert option_hash(quantile) != option_hash(base)
    assert quantization_ratio(off) == 1 - 1 / len(base)


def test_operation_that_was_best_unquantized_stays_so(prepared):
    off = assemble(prepared[2], {"scores": {"quantize": False}})
    space = {operation.operation: operation for operation in derive_space(off, LAYER_AND_PRESET)}
    assert space["scores"].quantize == (False,)
    assert space["scores"].reachable == 1
    assert space["first"].reachable == 5


def test_only_presets_that_options_can_name_need_statistics(prepared):
    base = prepared[2]
    layer = TunableQuantizationParams(tuning_scope=("layer",))
    assert presets_in_scope(base, layer) == {"default"}
    assert presets_in_scope(base, LAYER_AND_PRESET) == {"default", "quantile"}
    assert presets_in_scope(assemble(base, {"first": {"weights": "quantile"}}), layer) == {"default", "quantile"}
