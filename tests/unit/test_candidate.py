"""The model that an option makes."""

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest

from builders import compression, pipeline, residual_model, switched_off
from quantize_zoo.graph import nodes_by_name, read_model, save_model
from quantize_zoo.quantization import derive_space, option_hash, quantization_ratio

LAYER_AND_PRESET = {"tuning_scope": ["layer", "range_estimator"], "estimator_tuning_scope": ["preset"]}


@pytest.fixture(scope="module")
def prepared():
    net = residual_model()
    samples = [{"image": np.random.default_rng(seed).normal(size=(1, 3, 8, 8)).astype(np.float32)} for seed in range(8)]
    return net, pipeline(net, samples, compression(**LAYER_AND_PRESET)), samples


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
    net, built, samples = prepared
    # Without the fully connected layer, whose 8 bit sums overflow on CPUs without VNNI.
    candidate = built.build(switched_off(built.base, "scores"))
    expected, found = infer(net, samples[0]), infer(candidate, samples[0])
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert not np.array_equal(found, expected)


def test_unquantized_operation_has_no_fake_quantize(prepared):
    _, built, _ = prepared
    inputs = quantized_inputs(built.build(switched_off(built.base, "scores")))
    assert ("scores", 1) not in inputs
    assert ("flat", 0) not in inputs


def test_shared_fake_quantize_stays_while_one_consumer_needs_it(prepared):
    _, built, _ = prepared
    inputs = quantized_inputs(built.build(switched_off(built.base, "branch")))
    assert {("branch", 0), ("add", 0)} <= inputs
    assert ("branch", 1) not in inputs
    assert ("branch", 0) not in quantized_inputs(built.build(switched_off(built.base, "branch", "add")))


def test_nothing_quantized_is_the_fp32_model(prepared):
    net, built, samples = prepared
    candidate = built.build(switched_off(built.base, *built.base.operations))
    np.testing.assert_array_equal(infer(candidate, samples[0]), infer(net, samples[0]))


def test_first_convolution_uses_half_of_its_levels(prepared):
    net, built, _ = prepared
    node = nodes_by_name(built.build(built.base))["first"].input_value(1).get_node()
    weights = node.input_value(0).get_node().data
    np.testing.assert_array_equal(2 * weights, nodes_by_name(net)["first"].input_value(1).get_node().data)
    np.testing.assert_array_equal(node.input_value(4).get_node().data, 2 * node.input_value(2).get_node().data)


@pytest.mark.parametrize(
    ("fix", "halved"), [("all", {"first", "branch", "scores"}), ("first_layer", {"first"}), ("no", set())]
)
def test_saturation_fix_halves_the_weights_that_it_names(fix, halved):
    net = residual_model()
    built = pipeline(net, [{"image": np.ones((1, 3, 8, 8), np.float32)}], compression(saturation_fix=fix))
    nodes, originals = nodes_by_name(built.build(built.base)), nodes_by_name(net)
    found = {
        name
        for name in ("first", "branch", "scores")
        if not np.array_equal(
            nodes[name].input_value(1).get_node().input_value(0).get_node().data,
            originals[name].input_value(1).get_node().data,
        )
    }
    assert found == halved


def test_the_model_itself_is_not_changed(prepared):
    net, built, _ = prepared
    built.build(built.base)
    assert quantized_inputs(net) == set()


def test_candidate_survives_save_and_read_bit_identically(prepared, tmp_path):
    _, built, samples = prepared
    candidate = built.build(built.base)
    save_model(candidate, tmp_path / "int8.xml")
    np.testing.assert_array_equal(infer(read_model(tmp_path / "int8.xml"), samples[1]), infer(candidate, samples[1]))


def test_estimators_of_an_unquantized_operation_do_not_count(prepared):
    _, built, samples = prepared
    quantile = pipeline(prepared[0], samples, compression(range_estimator={"preset": "quantile"})).base
    only_scores = {
        name: quantile.operations[name] if name == "scores" else each for name, each in built.base.operations.items()
    }
    changed = replace(built.base, operations=only_scores)
    off = switched_off(built.base, "scores")
    assert option_hash(switched_off(changed, "scores")) == option_hash(off)
    assert option_hash(changed) != option_hash(built.base)
    assert quantization_ratio(off) == 1 - 1 / len(built.base.operations)


def test_batch_mean_is_mean(prepared):
    params = [
        compression(activations={"range_estimator": {"max": {"aggregator": aggregator}}})
        for aggregator in ("mean", "batch_mean", "max")
    ]
    hashes = [option_hash(pipeline(prepared[0], prepared[2], each).base) for each in params]
    assert hashes[0] == hashes[1] != hashes[2]


def test_operation_that_was_best_unquantized_stays_so(prepared):
    _, built, _ = prepared
    off = switched_off(built.base, "scores")
    space = derive_space(built.placement, off, compression(**LAYER_AND_PRESET)).operations
    assert [branch.value for branch in space["scores"].branches] == [False]
    assert space["scores"].reachable == 1
    assert space["first"].reachable == 5
