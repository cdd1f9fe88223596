"""A corrected bias never makes a layer worse; layers are computed one at a time, by brute force."""

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from builders import compression, convolution, model, named, parameter, pipeline, switched_off
from cases import CASES
from quantize_zoo.config import CompressionParams
from quantize_zoo.graph import constant_value, data_path, find_bias, nodes_by_name
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import preset_estimator
from quantize_zoo.quantization.bias_correction import lowers_error
from zoo import ZOO, biased, constant, random_samples


def depthwise(pad=0, stride=1):
    image = parameter((1, 4, 12, 12))
    node = ops.group_convolution(image, constant(4, 1, 1, 3, 3), [stride] * 2, [pad] * 2, [pad] * 2, [1, 1])
    return model(biased(named(node, "depthwise"), 4, "depthwise_bias"), image)


def strided():
    """Convolutions whose windows leave out, or see less often, what is at the border."""
    image = parameter((1, 3, 13, 13))
    first = ops.convolution(image, constant(6, 3, 3, 3), [2, 2], [1, 1], [0, 0], [1, 1])
    first = ops.relu(biased(named(first, "first"), 6, "first_bias"))
    second = named(ops.convolution(first, constant(4, 6, 3, 3), [1, 1], [2, 2], [2, 2], [2, 2]), "second")
    return model(biased(second, 4, "second_bias"), image)


def backward():
    image = parameter((1, 4, 6, 6))
    node = ops.convolution_backprop_data(image, constant(4, 6, 3, 3), [2, 2])
    up = ops.relu(biased(named(node, "up"), 6, "up_bias"))
    return model(biased(convolution(up, 6, 3, "last", kernel=3), 3, "last_bias"), image)


def batched_matmul():
    tokens = parameter((2, 5, 8), name="tokens")
    first = ops.add(named(ops.matmul(tokens, constant(8, 12), False, False), "first"), constant(12, seed=1))
    second = ops.matmul(ops.relu(first), constant(6, 12, seed=2), False, True)
    return model(named(ops.add(named(second, "second"), constant(6, seed=3)), "out"), tokens)


def with_biases(net):
    """Give every convolution and matrix multiplication with weights a bias."""
    on_data = data_path(net)
    for node in net.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"):
            continue
        if node.input_value(1).get_node().get_friendly_name() in on_data or find_bias(node, on_data) is not None:
            continue
        targets = list(node.output(0).get_target_inputs())
        shape = node.output(0).get_shape()
        value = constant(shape[-1], seed=9) if kind == "MatMul" else constant(1, shape[1], 1, 1, seed=9)
        addition = named(ops.add(node, value), f"{node.get_friendly_name()}/with_bias")
        for target in targets:
            target.replace_source_output(addition.output(0))
    net.validate_nodes_and_infer_types()
    return net


NETS = {
    "depthwise": depthwise,
    "depthwise_padded": lambda: depthwise(pad=1),
    "depthwise_strided": lambda: depthwise(stride=2),
    "strided": strided,
    "backward": backward,
    "batched_matmul": batched_matmul,
    **{name: lambda make=make: with_biases(make()) for name, make in ZOO.items()},
}
WEIGHED = ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul")


def shifted_samples(net, count, shift=1.0):
    """Random inputs around ``shift``: those around zero give errors without a mean."""
    samples = random_samples(net, count)
    return [{key: each + shift if each.dtype == np.float32 else each for key, each in one.items()} for one in samples]


def without_threshold(**params):
    plain = compression(**params).model_dump()
    plain["algorithms"][-1]["params"]["threshold"] = 1e9
    return CompressionParams.model_validate(plain)


def candidates(net, samples, correction, compatibility=None):
    """The quantized model without and with the correction, however far it moves a bias."""
    built = pipeline(net, samples, without_threshold(after=[correction]), compatibility=compatibility)
    return built.build(replace(built.base, steps=())), built.build(built.base)


def biases_of(net):
    on_data = data_path(net)
    found = (find_bias(node, on_data) for node in net.get_ordered_ops() if node.get_type_name() in WEIGHED)
    return [bias for bias in found if bias is not None]


def feed_layers_with_fp32(candidate, fp32):
    """Connect every FakeQuantize of activations to the tensor of the same name in the FP32 model."""
    originals = nodes_by_name(fp32)
    for node in candidate.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            source = node.input_value(0)
            original = originals.get(source.get_node().get_friendly_name())
            if original is not None and original.get_type_name() != "Constant":
                node.input(0).replace_source_output(original.output(source.get_index()))
    for own, parameter_node in zip(candidate.get_parameters(), fp32.get_parameters(), strict=True):
        for target in own.output(0).get_target_inputs():
            target.replace_source_output(parameter_node.output(0))


def outputs(net, names, samples, fed_by=None):
    """What the operations compute, a sample at a time: {name: (samples, ...)}; ``fed_by`` gives them FP32 tensors."""
    copy = net.clone()
    parameters = copy.get_parameters()
    nodes = nodes_by_name(copy)
    if fed_by is not None:
        fp32 = fed_by.clone()
        feed_layers_with_fp32(copy, fp32)
        parameters = fp32.get_parameters()
    merged = ov.Model([ops.result(nodes[name]) for name in names], parameters, "outputs")
    compiled = ov.Core().compile_model(merged, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = [list(compiled(sample).values()) for sample in samples]
    return {name: np.stack([row[index] for row in rows]) for index, name in enumerate(names)}


def squared_error(found, expected):
    return float(((found.astype(np.float64) - expected) ** 2).sum())


def relative_error(net, candidate, samples):
    (name,) = [result.input_value(0).get_node().get_friendly_name() for result in net.get_results()]
    found, expected = (outputs(each, [name], samples)[name] for each in (candidate, net))
    return np.sqrt(squared_error(found, expected) / (expected.astype(np.float64) ** 2).sum())


def new_bias(candidate, bias):
    return constant_value(nodes_by_name(candidate)[bias.addition].input_value(bias.port)).ravel()


def with_old_bias(candidate, net, bias):
    copy = candidate.clone()
    old = nodes_by_name(net)[bias.addition].input_value(bias.port).get_node()
    nodes_by_name(copy)[bias.addition].input(bias.port).replace_source_output(ops.constant(old.data).output(0))
    return copy


# Sums in another order differ in their last bits.
ROUNDING = 1 + 1e-6


@pytest.mark.parametrize("count", [10, 100])
@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("name", NETS)
def test_fast_correction_never_raises_the_error_of_a_layer(name, shift, count):
    net = NETS[name]()
    samples = shifted_samples(net, count, shift)
    names = [bias.addition for bias in biases_of(net)]
    assert names
    plain, corrected = (
        outputs(each, names, samples, fed_by=net) for each in candidates(net, samples, "FastBiasCorrection")
    )
    for name, expected in outputs(net, names, samples).items():
        assert squared_error(corrected[name], expected) <= squared_error(plain[name], expected) * ROUNDING, name


@pytest.mark.parametrize(
    ("shift", "count"),
    [
        (0.0, 100),
        (1.0, 10),
        pytest.param(0.0, 10, marks=pytest.mark.release),
        pytest.param(1.0, 100, marks=pytest.mark.release),
    ],
)
@pytest.mark.parametrize("name", NETS)
def test_sequential_correction_never_raises_the_error_of_a_layer(name, shift, count):
    net = NETS[name]()
    samples = shifted_samples(net, count, shift)
    _, corrected = candidates(net, samples, "BiasCorrection")
    biases = biases_of(net)
    expected = outputs(net, [bias.addition for bias in biases], samples)
    for bias in biases:
        errors = [
            squared_error(outputs(each, [bias.addition], samples)[bias.addition], expected[bias.addition])
            for each in (with_old_bias(corrected, net, bias), corrected)
        ]
        assert errors[1] <= errors[0] * ROUNDING, bias.operation


@pytest.mark.parametrize("count", [10, 100])
@pytest.mark.parametrize("make", [depthwise, strided, backward, batched_matmul])
def test_fast_correction_takes_the_biased_part_of_every_layers_error(make, count):
    net = make()
    samples = shifted_samples(net, count, 3.0)
    biases = biases_of(net)
    names = [bias.addition for bias in biases]
    plain, corrected = (
        outputs(each, names, samples, fed_by=net) for each in candidates(net, samples, "FastBiasCorrection")
    )
    for bias in biases:
        expected = outputs(net, names, samples)[bias.addition]
        axes = tuple(axis for axis in range(expected.ndim) if axis != bias.axis + 1)
        mean = (plain[bias.addition].astype(np.float64) - expected).mean(axis=axes, keepdims=True)
        largest = np.abs(expected).max()
        np.testing.assert_allclose(corrected[bias.addition], plain[bias.addition] - mean, atol=1e-5 * largest)
        assert np.abs(mean).max() > 1e-4 * largest


@pytest.mark.parametrize("count", [10, 100])
@pytest.mark.parametrize("correction", ["FastBiasCorrection", "BiasCorrection"])
@pytest.mark.parametrize("make", [depthwise, lambda: depthwise(pad=1)], ids=["valid", "padded"])
def test_depthwise_convolution_is_not_worse_corrected_on_new_samples_either(make, correction, count):
    net = make()
    plain, corrected = candidates(net, shifted_samples(net, count), correction)
    new = shifted_samples(net, 300)[-200:]
    assert relative_error(net, corrected, new) <= relative_error(net, plain, new)


@pytest.mark.parametrize("count", [10, 100])
@pytest.mark.parametrize("correction", ["FastBiasCorrection", "BiasCorrection"])
def test_correction_does_not_raise_the_error_of_the_case_of_a_depthwise_bias(correction, count):
    net = CASES["depthwise_bias"]()
    samples = random_samples(net, count)
    plain, corrected = candidates(net, samples, correction)
    assert relative_error(net, corrected, samples) <= relative_error(net, plain, samples)


@pytest.mark.parametrize("correction", ["FastBiasCorrection", "BiasCorrection"])
def test_one_sample_tells_nothing_about_a_bias(correction):
    net = strided()
    _, corrected = candidates(net, shifted_samples(net, 1), correction)
    for bias in biases_of(net):
        np.testing.assert_array_equal(new_bias(corrected, bias), new_bias(net, bias))


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=st.integers(-8, 8)),
    st.sampled_from([0.0, 0.5, 2.0]),
)
def test_each_sample_is_judged_by_the_mean_of_the_others(values, shift):
    differences = values + shift
    before = after = 0.0
    for index, own in enumerate(differences):
        others = np.delete(differences, index, axis=0)
        before += (own**2).sum()
        after += ((own - others.mean(axis=0)) ** 2).sum()
    assume(not np.isclose(before, after))
    assert lowers_error(differences) == (after < before)


def test_a_bias_has_the_same_bits_whatever_was_computed_before():
    net = NETS["residual_chain"]()
    samples = shifted_samples(net, 20)
    params = without_threshold(after=["FastBiasCorrection"])
    first, second = pipeline(net, samples, params), pipeline(net, samples, params)
    names = [bias.operation for bias in biases_of(net)]
    wide = with_estimators(first.base, names[1:])
    first.build(first.base)
    first.build(switched_off(wide, names[0]))
    found, expected = first.build(wide), second.build(wide)
    changed = [not np.array_equal(new_bias(expected, bias), new_bias(net, bias)) for bias in biases_of(net)]
    assert any(changed)
    for bias in biases_of(net):
        np.testing.assert_array_equal(new_bias(found, bias), new_bias(expected, bias))


def with_estimators(base, names):
    """The option with ranges of weights by quantiles in these operations."""
    changed = dict(base.operations)
    for name in names:
        weights = changed[name].weights
        estimator = preset_estimator(weights.config, "quantile", weights=True)
        changed[name] = replace(changed[name], weights=replace(weights, range_estimator=estimator))
    return replace(base, operations=changed)


def test_pots_rule_corrects_by_a_constant_input_also_where_that_makes_the_layer_worse():
    net = depthwise()
    samples = shifted_samples(net, 10, 0.0)
    plain, corrected = candidates(net, samples, "FastBiasCorrection", compatibility="pot")
    (bias,) = biases_of(net)
    mean = np.mean([sample["image"] for sample in samples], axis=(0, 1, 3, 4), dtype=np.float32)
    weights = quantized_weights(plain, "depthwise").reshape(4, 9).sum(axis=1)
    expected = outputs(net, [bias.addition], samples)[bias.addition].mean(axis=(0, 1, 3, 4)) - weights * mean
    np.testing.assert_allclose(new_bias(corrected, bias), expected, atol=1e-5)
    errors = [relative_error(net, each, samples) for each in (plain, corrected)]
    assert errors[1] > 1.5 * errors[0]


def quantized_weights(candidate, name):
    fake_quantize = nodes_by_name(candidate)[name].input_value(1).get_node()
    result = ops.result(fake_quantize.output(0))
    compiled = ov.Core().compile_model(ov.Model([result], [], "weights"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([])[0]


def test_pots_rule_corrects_sequentially_by_the_mean_alone():
    net = depthwise()
    samples = shifted_samples(net, 1)
    plain, corrected = candidates(net, samples, "BiasCorrection", compatibility="pot")
    (bias,) = biases_of(net)
    found, expected = (outputs(each, [bias.addition], samples)[bias.addition] for each in (plain, net))
    shift = (found - expected).mean(axis=(0, 1, 3, 4))
    np.testing.assert_allclose(new_bias(corrected, bias), new_bias(net, bias) - shift, atol=1e-6)
