"""What is quantized for an NPU has NNCF's ranges for it, or the difference is listed here with its reason."""

import nncf
import numpy as np
import openvino as ov
import pytest
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters

from builders import compression, convolution, model, named, parameter, pipeline
from quantize_zoo.graph.opset import opset13 as ops
from zoo import ZOO, constant, random_samples, with_tensor_names

ONLY_NNCF = {
    # NNCF quantizes the input of Sqrt. It is not in POT's hardware configurations, and no plugin runs Sqrt in INT8.
    "layer_norm": {"deviation:0"},
}


def scaled(source, factor, name):
    """A pointwise convolution whose weights are ``factor`` times as large as others."""
    values = factor * np.random.default_rng(len(name)).normal(size=(4, 3, 1, 1)).astype(np.float32)
    return named(ops.convolution(source, ops.constant(values), [1, 1], [0, 0], [0, 0], [1, 1]), name)


def wide_and_narrow():
    image = parameter()
    return image, scaled(image, 10, "wide"), named(ops.relu(scaled(image, 0.1, "narrow_")), "narrow")


def concat_of_unequal_ranges():
    image, wide, narrow = wide_and_narrow()
    return model(convolution(ops.concat([wide, narrow], 1), 8, 4, "last"), image)


def concat_behind_pooling():
    image, wide, narrow = wide_and_narrow()
    pooled = ops.max_pool(ops.concat([wide, narrow], 1), [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
    return model(convolution(pooled, 8, 4, "last"), image)


def concat_before_depthwise():
    image, wide, narrow = wide_and_narrow()
    joined = ops.concat([wide, narrow], 1)
    return model(
        named(ops.group_convolution(joined, constant(8, 1, 1, 1, 1), [1, 1], [0] * 2, [0] * 2, [1, 1]), "last"), image
    )


def concat_before_addition():
    image, wide, narrow = wide_and_narrow()
    joined = ops.concat([wide, narrow], 1)
    other = named(ops.concat([narrow, wide], 1), "other")
    return model(named(ops.add(joined, ops.sigmoid(other)), "sum"), image)


def tensor_of_two_concats():
    image, wide, narrow = wide_and_narrow()
    third = named(ops.sigmoid(scaled(image, 1, "third")), "third_sigmoid")
    left = convolution(ops.concat([wide, narrow], 1), 8, 4, "left")
    return model(named(ops.add(left, convolution(ops.concat([narrow, third], 1), 8, 4, "right")), "sum"), image)


def tensor_of_concat_and_addition():
    image, wide, narrow = wide_and_narrow()
    joined = convolution(ops.concat([wide, narrow], 1), 8, 4, "joined")
    return model(named(ops.add(joined, narrow), "sum"), image)


def multiply_of_unequal_ranges():
    tokens = parameter((1, 4, 8), "tokens")
    large, small = (
        named(ops.matmul(tokens, ops.constant(np.float32(factor) * constant(8, 8, seed=seed).data), False, True), name)
        for seed, (factor, name) in enumerate([(100, "large"), (0.001, "small")])
    )
    product = named(ops.multiply(large, small), "product")
    return model(named(ops.matmul(product, constant(8, 8, seed=2), False, True), "last"), tokens)


UNEQUAL = {
    function.__name__: function
    for function in (
        concat_of_unequal_ranges, concat_behind_pooling, concat_before_depthwise, concat_before_addition,
        tensor_of_two_concats, tensor_of_concat_and_addition, multiply_of_unequal_ranges,
    )
}  # fmt: skip
NOT_COMPARED = {
    "branches",  # NNCF's own statistics for the bodies of an If find no sample in this model, and it gives up
    "integer_input",  # NNCF quantizes the table of an embedding as weights, once more behind it where it is asymmetric
}
MODELS = {name: make for name, make in {**ZOO, **UNEQUAL}.items() if name not in NOT_COMPARED}


def ours(net, samples, target="NPU", **params):
    built = pipeline(net, samples, compression(**params), target)
    return built.build(built.base)


def nncfs(net, samples, preset="performance", **advanced):
    return nncf.quantize(
        with_tensor_names(net.clone()),
        nncf.Dataset(samples),
        target_device=nncf.TargetDevice.NPU,
        preset=nncf.QuantizationPreset(preset),
        subset_size=len(samples),
        advanced_parameters=AdvancedQuantizationParameters(**advanced),
    )


def activation_ranges(net):
    """Lower and upper bounds and levels of each input behind a FakeQuantize that is not one of constant weights."""
    return {
        f"{target.get_node().get_friendly_name()}:{target.get_index()}": (
            *(node.input_value(index).get_node().data.ravel() for index in (1, 2)),
            node.get_attributes()["levels"],
        )
        for node in net.get_ordered_ops()
        if node.get_type_name() == "FakeQuantize" and "fq_weights" not in node.get_friendly_name()
        for target in node.output(0).get_target_inputs()
    }


def relative_error(net, quantized, samples):
    expected, found = (infer(each, samples) for each in (net, quantized))
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def infer(net, samples):
    compiled = ov.Core().compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(sample)[0] for sample in samples])


@pytest.mark.parametrize("preset", ["performance", "mixed"])
@pytest.mark.parametrize("name", MODELS)
def test_ranges_for_npu_are_nncfs(name, preset):
    net = MODELS[name]()
    samples = random_samples(net)
    found = activation_ranges(ours(net, samples, preset=preset))
    theirs = activation_ranges(nncfs(net, samples, preset))
    assert set(theirs) - set(found) == ONLY_NNCF.get(name, set())
    assert set(found) <= set(theirs)
    for port in set(found) & set(theirs):
        for bounds, expected in zip(found[port], theirs[port], strict=True):
            np.testing.assert_allclose(bounds, expected, rtol=1e-5, err_msg=port)  # float32, computed in another order


@pytest.mark.parametrize("preset", ["performance", "mixed"])
@pytest.mark.parametrize("name", UNEQUAL)
def test_error_for_npu_is_near_nncfs(name, preset):
    net = UNEQUAL[name]()
    samples = random_samples(net, 20)
    error = relative_error(net, ours(net, samples, preset=preset), samples)
    assert error <= 1.5 * relative_error(net, nncfs(net, samples, preset), samples)


@pytest.mark.parametrize("preset", ["performance", "mixed"])
@pytest.mark.parametrize("make", [concat_of_unequal_ranges, multiply_of_unequal_ranges])
def test_error_for_npu_is_near_the_cpus(make, preset):
    net = make()
    samples = random_samples(net, 20)
    npu, cpu = (ours(net, samples, target, preset=preset) for target in ("NPU", "CPU"))
    assert relative_error(net, npu, samples) <= 1.1 * relative_error(net, cpu, samples)


@pytest.mark.parametrize("preset", ["performance", "mixed"])
def test_factors_stay_apart_at_4_bits_where_nncf_unifies_them(preset):
    """With weights of 4 bits NNCF takes the NPU's own configuration, and the small factor becomes zero."""
    net = multiply_of_unequal_ranges()
    samples = random_samples(net, 20)
    theirs = nncfs(net, samples, preset, weights_quantization_params=QuantizationParameters(num_bits=4))
    assert relative_error(net, theirs, samples) > 0.99
    assert relative_error(net, ours(net, samples, preset=preset, weights={"bits": 4}), samples) < 0.6
