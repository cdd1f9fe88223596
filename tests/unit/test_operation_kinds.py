"""Operations beyond convolutions and matrix multiplications: their weights, their tensors, their choices."""

import numpy as np
import openvino as ov
import pytest

from builders import compression, model, named, parameter, pipeline, residual_model, switched_off
from operation_zoo import HIDDEN, OPERATIONS, axes, constant, dense, operation_samples
from quantize_zoo.config import hardware_path, load_hardware
from quantize_zoo.graph import (
    data_path,
    find_bias,
    find_normalized_bias,
    find_placement,
    nodes_by_name,
    ranges_hash,
    structural_signature,
)
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import derive_space, disassemble
from quantize_zoo.quantization.integers import dequantized
from quantize_zoo.quantization.ranges import Range
from quantize_zoo.search import base_choices, option_of

CPU = load_hardware(hardware_path("CPU"))


def placement(name):
    return find_placement(OPERATIONS[name](), CPU, "net")


def built(name, **params):
    net = OPERATIONS[name]()
    return pipeline(net, operation_samples(net, 4), compression(**params))


# --- recurrent sequences


def test_a_sequence_is_one_operation_with_two_weights():
    found = placement("lstm_sequence")
    assert [operation.name for operation in found.operations] == ["recurrent", "dense"]
    assert [(point.port, point.channel_axes) for point in found.weights if point.operation == "recurrent"] == [
        (4, (0, 1)),
        (5, (0, 1)),
    ]


def test_a_state_that_is_computed_is_quantized_and_a_known_one_is_not():
    assert [point.owner for point in placement("lstm_sequence_both_ways").activations if point.owner] == [
        ("recurrent", 0),
        ("recurrent", 1),
    ]
    assert [point.owner for point in placement("lstm_sequence").activations if point.owner] == [("recurrent", 0)]


def test_a_state_of_a_dynamic_batch_is_quantized_and_of_a_static_one_is_not():
    net = OPERATIONS["lstm_sequences_of_any_batch"]()
    assert ("recurrent_0", 1) in [point.owner for point in find_placement(net, CPU, "net").activations]
    net.reshape([1, 3, 8, 4])
    assert ("recurrent_0", 1) not in [point.owner for point in find_placement(net, CPU, "net").activations]


def test_what_plugins_do_not_run_in_int8_is_left_alone():
    assert [operation.name for operation in placement("gru_sequence_linear_before_reset").operations] == ["dense"]


def read_by_both():
    """A tensor that a sequence and a fully connected layer read."""
    x = parameter((1, 4, 6))
    shared = named(ops.tanh(x), "shared")
    state, lengths = ops.constant(np.zeros((1, 1, HIDDEN), np.float32)), np.array([4], np.int32)
    weights = constant(1, 20, 6), constant(1, 20, HIDDEN, seed=1), constant(1, 20, seed=2)
    sequence = named(ops.lstm_sequence(shared, state, state, lengths, *weights, HIDDEN, "forward"), "recurrent")
    flat = ops.reshape(sequence.output(0), axes(1, 4, HIDDEN), False)
    return model(ops.concat([dense(flat, 6, HIDDEN, "after"), dense(shared, 6, 6, "beside")], 1), x)


def test_a_sequence_has_a_fake_quantize_of_its_own():
    """Its range covers its states as well, and its output is multiplied."""
    net = read_by_both()
    made = pipeline(net, operation_samples(net, 4))
    assert {point.key for point in made.placement.activations if point.tensor == "shared:0"} == {
        "shared:0",
        "shared:0>recurrent:0",
    }
    nodes = nodes_by_name(made.build(made.base))
    assert nodes["recurrent"].input_value(0).get_node().get_friendly_name() == "recurrent/fq_input_0"
    assert nodes["beside"].input_value(0).get_node().get_friendly_name() == "beside/fq_input_0"


@pytest.mark.parametrize("name", ["lstm_sequence", "lstm_sequence_both_ways", "gru_sequence"])
def test_both_weights_have_one_scale(name):
    made = built(name)
    node = nodes_by_name(made.build(made.base))["recurrent"]
    ports = [point.port for point in made.placement.weights if point.operation == "recurrent"]
    scales = [node.input_value(port).get_node().input_value(1).get_node().data for port in ports]
    np.testing.assert_array_equal(*scales)
    if name.startswith("lstm"):
        first, second = scales[0].reshape(len(scales[0]), 4, HIDDEN)[:, :2].transpose(1, 0, 2)
        np.testing.assert_array_equal(first, second)


def test_data_and_state_have_one_scale():
    made = built("lstm_sequence_both_ways")
    node = nodes_by_name(made.build(made.base))["recurrent"]
    data, state = (node.input_value(port).get_node() for port in (0, 1))
    borders = [[each.input_value(port).get_node().data for port in (3, 4)] for each in (data, state)]
    np.testing.assert_array_equal(*borders)


def test_multiplied_data_and_divided_weights_compute_the_same():
    """With so many levels that rounding is out of the question."""
    made = built("lstm_sequence")
    variant = made._variant(made.base)
    found = variant.ranges.activations(made.base)["image:0>recurrent:0"]
    point = next(each for each in made.placement.weights if each.key == ("recurrent", 4))
    weights = variant.ranges.weights(point, made.base.operations["recurrent"].weights)
    assert found.scale != 1
    assert found.scale * weights.scale == 1


# --- embeddings


def test_a_table_has_a_range_for_each_vector():
    found = placement("embedding")
    assert [(operation.name, operation.type) for operation in found.operations] == [("embedded", "Embedding")]
    assert [(point.port, point.channel_axes) for point in found.weights] == [(0, (0,))]
    assert found.activations == ()


def test_a_table_is_quantized_for_what_reads_the_embedding():
    """It has no choice of its own then."""
    found = placement("embedding_of_half_precision")
    assert [operation.name for operation in found.operations] == ["dense"]
    assert [(point.consumers, point.constant) for point in found.activations] == [((("embedded", 0),), True)]


def test_indices_that_are_constant_make_no_embedding():
    assert [operation.name for operation in placement("gather_of_data").operations] == ["dense"]


def test_an_embedding_has_a_choice_of_weights_only():
    params = compression(tuning_scope=["mode", "layer"])
    made = built("embedding", tuning_scope=["mode", "layer"])
    space = derive_space(made.placement, made.base, params)
    quantized = space.operations["embedded"].branches[0]
    assert [variable.name for variable in quantized.below] == ["weights"]
    assert option_of(space, made.base, base_choices(space)) == made.base
    assert disassemble(space, made.base) is not None


@pytest.mark.parametrize(
    ("low", "high", "levels"), [(-1.0, 1.0, 255), (-128 / 127, 1.0, 256), (0.0, 2.0, 256), (-0.5, 1.5, 256)]
)
def test_integers_give_back_what_a_fake_quantize_does(low, high, levels):
    if low == -0.5:
        low = -1.5 * 64 / 191  # so that zero is on a level
    borders = [np.array([[each]], np.float32) for each in (low, high)]
    value = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    found = dequantized(value, Range(*borders, levels, np.float32(0.5)), ov.Type.f32)
    outputs = [each * np.float32(0.5) for each in borders]
    expected = ops.fake_quantize(ops.constant(value), *borders, *outputs, levels)
    merged = ov.Model([ops.result(found), ops.result(expected)], [], "constants")
    first, second = ov.Core().compile_model(merged, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([]).values()
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_signature_and_hash_know_integers():
    made = built("embedding_and_dense")
    tables = built("embedding")
    quantized, plain = (tables.build(each) for each in (tables.base, switched_off(tables.base, "embedded")))
    assert structural_signature(quantized) != structural_signature(plain)
    other = built("embedding", preset="accuracy")
    assert ranges_hash(quantized, ()) != ranges_hash(other.build(other.base), ())
    assert ranges_hash(made.build(made.base), ()) == ranges_hash(made.build(made.base), ())


# --- every kind


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_shows_an_error_of_its_own(name):
    made = built(name, saturation_fix="all", after=["FastBiasCorrection"])
    errors = made.errors(made.base)
    assert set(errors) == set(made.base.operations)
    assert all(0 < value < 1 for value in errors.values())


# --- normalized biases, masks


@pytest.mark.parametrize(
    ("name", "addition"),
    [
        ("linear_with_batch_norm", "shifted"),
        ("linear_with_batch_norm_inference", "normalized"),
        ("linear_with_bias_and_batch_norm", "biased"),
    ],
)
def test_bias_of_a_batch_normalization_is_found(name, addition):
    net = OPERATIONS[name]()
    node = nodes_by_name(net)["first"]
    assert find_normalized_bias(node, data_path(net)).addition == addition


def test_bias_behind_a_multiplication_is_none_of_the_operations_own():
    net = OPERATIONS["linear_with_batch_norm"]()
    assert find_bias(nodes_by_name(net)["first"], data_path(net)) is None
    net = residual_model()
    branch = nodes_by_name(net)["branch"]
    assert find_bias(branch, data_path(net)) == find_normalized_bias(branch, data_path(net))


@pytest.mark.parametrize("name", ["linear_with_batch_norm", "linear_with_batch_norm_inference"])
@pytest.mark.parametrize("step", ["FastBiasCorrection", "BiasCorrection"])
def test_bias_of_a_batch_normalization_is_corrected(name, step):
    """Inputs are not centered, so that quantizing weights moves the mean of outputs."""
    net = OPERATIONS[name]()
    samples = [{"image": sample["image"] + 2} for sample in operation_samples(net, 30)]
    errors = {}
    for steps in ((), (step,)):
        made = pipeline(net, samples, compression(after=steps, weights={"bits": 8}, saturation_fix="all"))
        candidate = made.build(made.base)
        errors[steps] = off_by(net, candidate, samples, "first")
    assert errors[step,] < 0.8 * errors[()]


def off_by(net, candidate, samples, name):
    """How far the mean of what comes behind an operation's bias is off."""
    addition = find_normalized_bias(nodes_by_name(net)[name], data_path(net)).addition
    means = []
    for each in (net, candidate):
        copy = each.clone()
        copy.add_outputs([(addition, 0)])
        compiled = ov.Core().compile_model(copy, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        means.append(np.mean([compiled(sample)[1] for sample in samples], axis=0))
    return np.linalg.norm(means[1] - means[0])
