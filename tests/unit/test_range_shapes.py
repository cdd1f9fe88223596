"""Ranges of every shape that is written, compiled by OpenVINO and compared with a FakeQuantize in NumPy."""

import nncf
import numpy as np
import openvino as ov
import pytest

from builders import compression, model, named, parameter
from quantize_zoo.config import HardwareConfig
from quantize_zoo.graph import nodes_by_name
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import Pipeline, collect_statistics
from zoo import with_all_instructions, with_tensor_names

MODES = ("symmetric", "asymmetric")
CONFIGS = [
    {"bits": 8, "mode": mode, "granularity": granularity}
    for mode in MODES
    for granularity in ("perchannel", "pertensor")
]
TYPES = ["Convolution", "GroupConvolution", "DepthWiseConvolution", "ConvolutionBackpropData"]
TYPES += ["GroupConvolutionBackpropData", "MatMul", "Multiply"]
HARDWARE = HardwareConfig.model_validate(
    {"target": "TEST", "operations": [{"types": TYPES, "activations": CONFIGS, "weights": CONFIGS}]}
)


def convolved(kind, dimensions):
    def build(data, weights):
        ones, zeros = [1] * dimensions, [0] * dimensions
        if kind.endswith("backprop_data"):
            return getattr(ops, kind)(data, weights, ones)
        return getattr(ops, kind)(data, weights, ones, zeros, zeros, ones)

    return build


def multiplied(*, left=False, transposed=False):
    """MatMul with weights on the right, or on the left."""
    if left:
        return lambda data, weights: ops.matmul(weights, data, transposed, False)
    return lambda data, weights: ops.matmul(data, weights, False, transposed)


# The operation, the shape of its data and of its weights, and of ranges of one value a channel.
WEIGHTED = {
    "convolution_1d": (convolved("convolution", 1), (1, 4, 9), (6, 4, 3), (6, 1, 1)),
    "convolution_2d": (convolved("convolution", 2), (1, 4, 9, 9), (6, 4, 3, 3), (6, 1, 1, 1)),
    "convolution_3d": (convolved("convolution", 3), (1, 4, 5, 5, 5), (6, 4, 2, 2, 2), (6, 1, 1, 1, 1)),
    "group_1d": (convolved("group_convolution", 1), (1, 4, 9), (2, 3, 2, 3), (2, 3, 1, 1)),
    "group_2d": (convolved("group_convolution", 2), (1, 4, 9, 9), (2, 3, 2, 3, 3), (2, 3, 1, 1, 1)),
    "group_3d": (convolved("group_convolution", 3), (1, 4, 5, 5, 5), (2, 3, 2, 2, 2, 2), (2, 3, 1, 1, 1, 1)),
    "depthwise_1d": (convolved("group_convolution", 1), (1, 4, 9), (4, 1, 1, 3), (4, 1, 1, 1)),
    "depthwise_2d": (convolved("group_convolution", 2), (1, 4, 9, 9), (4, 1, 1, 3, 3), (4, 1, 1, 1, 1)),
    "backprop_1d": (convolved("convolution_backprop_data", 1), (1, 4, 9), (4, 6, 3), (1, 6, 1)),
    "backprop_2d": (convolved("convolution_backprop_data", 2), (1, 4, 9, 9), (4, 6, 3, 3), (1, 6, 1, 1)),
    "group_backprop": (convolved("group_convolution_backprop_data", 2), (1, 4, 9, 9), (2, 2, 3, 3, 3), (2, 1, 3, 1, 1)),
    "vector": (multiplied(), (5, 8), (8,), (1,)),
    "right": (multiplied(), (1, 5, 8), (8, 16), (1, 16)),
    "right_transposed": (multiplied(transposed=True), (1, 5, 8), (16, 8), (16, 1)),
    "left": (multiplied(left=True), (1, 8, 5), (6, 8), (6, 1)),
    "left_transposed": (multiplied(left=True, transposed=True), (1, 8, 5), (8, 6), (1, 6)),
    "batch_of_one": (multiplied(), (1, 5, 8), (1, 8, 16), (1, 1, 16)),
    "batched": (multiplied(), (1, 5, 8), (2, 8, 16), (2, 1, 16)),
    "batched_both": (multiplied(), (2, 5, 8), (2, 8, 16), (2, 1, 16)),
    "batched_transposed": (multiplied(transposed=True), (2, 5, 8), (2, 16, 8), (2, 16, 1)),
    "batched_left": (multiplied(left=True), (2, 8, 5), (2, 6, 8), (2, 6, 1)),
    "batched_left_transposed": (multiplied(left=True, transposed=True), (2, 8, 5), (2, 8, 6), (2, 1, 6)),
    "rank_four": (multiplied(), (2, 3, 5, 8), (2, 3, 8, 16), (2, 3, 1, 16)),
    "rank_four_transposed": (multiplied(transposed=True), (1, 3, 5, 8), (2, 3, 16, 8), (2, 3, 16, 1)),
    "rank_four_left": (multiplied(left=True), (2, 3, 8, 5), (2, 3, 6, 8), (2, 3, 6, 1)),
    "rank_four_one_batch": (multiplied(), (2, 3, 5, 8), (1, 3, 8, 16), (1, 3, 1, 16)),
    "rank_five": (multiplied(), (1, 2, 3, 5, 8), (2, 1, 3, 8, 16), (2, 1, 3, 1, 16)),
}  # fmt: skip
BATCHED = [name for name in WEIGHTED if name.startswith(("batched", "rank"))]


def weighted(name, weights=None):
    build, data_shape, weights_shape, _ = WEIGHTED[name]
    if weights is None:
        weights = np.random.default_rng(1).normal(size=weights_shape).astype(np.float32)
        weights *= np.linspace(0.2, 3, weights.size, dtype=np.float32).reshape(
            weights_shape
        )  # channels of unequal range
    data = parameter(data_shape, "data")
    return model(named(build(data, ops.constant(weights)), "operation"), data)


def calibration_of(shape, mode):
    """Data of symmetric ranges are not negative: 0 is then level 0."""
    data = np.random.default_rng(2).uniform(0.0 if mode == "symmetric" else -0.1, 4, shape)
    return data.astype(np.float32)


def data_for(node, shape):
    """Data near the lower quarter of a FakeQuantize's levels, and not between two levels, where the last bit decides.

    Pairs of their products with weights fit into 16 bits, so results are exact on CPUs without VNNI, too.
    """
    rng = np.random.default_rng(3)
    low, high = (node.input_value(port).get_node().get_data(dtype=np.float64) for port in (1, 2))
    level = rng.integers(0, 64, shape) + rng.uniform(-0.3, 0.3, shape)
    return (low + level * (high - low) / (node.get_attributes()["levels"] - 1)).astype(np.float32)


def quantized(net, calibration, mode, granularity, activations_granularity="pertensor"):
    samples = [{"data": calibration}]
    params = compression(
        activations={"mode": mode, "granularity": activations_granularity},
        weights={"mode": mode, "granularity": granularity},
        saturation_fix="no",
    )
    built = Pipeline(
        net,
        "net",
        HARDWARE,
        params,
        lambda variant, requests, size, _: collect_statistics(variant, requests, samples),
        lambda size: samples,
    )
    return built.build(built.base)


def fake_quantize(value, node):
    """OpenVINO's specification of FakeQuantize, in double precision; ranges and levels are the operation's."""
    low, high, out_low, out_high = (
        node.input_value(port).get_node().get_data(dtype=np.float64) for port in (1, 2, 3, 4)
    )
    steps = node.get_attributes()["levels"] - 1
    level = np.round((np.clip(value.astype(np.float64), low, high) - low) / (high - low) * steps)
    return (level / steps * (out_high - out_low) + out_low).astype(np.float32)


def infer(net, data):
    compiled = ov.Core().compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled({"data": data})[0]


@pytest.mark.parametrize("name", ["group_1d", "group_3d"])
def test_grouped_convolution_that_openvino_cannot_compile_with_zero_points_has_symmetric_weights(name):
    candidate = quantized(weighted(name), calibration_of(WEIGHTED[name][1], "asymmetric"), "asymmetric", "perchannel")
    node = nodes_by_name(candidate)["operation"].input_value(1).get_node()
    np.testing.assert_array_equal(node.input_value(1).get_node().data, -node.input_value(2).get_node().data)


def weights_port(name):
    return 0 if "left" in name else 1


def compare_weighted(name, mode, granularity):
    """Compile the quantized operation, and compare it with the FP32 one on what NumPy quantizes."""
    net = weighted(name)
    shape = WEIGHTED[name][1]
    candidate = quantized(net, calibration_of(shape, mode), mode, granularity)
    operation, port = nodes_by_name(candidate)["operation"], weights_port(name)
    on_data, on_weights = (operation.input_value(each).get_node() for each in (1 - port, port))
    assert on_data.get_type_name() == on_weights.get_type_name() == "FakeQuantize"
    data, weights = data_for(on_data, shape), on_weights.input_value(0).get_node().data
    expected = infer(weighted(name, fake_quantize(weights, on_weights)), fake_quantize(data, on_data))
    for _ in range(2):  # where the plugin reads beyond a range each compilation computes something else
        np.testing.assert_allclose(infer(candidate, data), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    return on_weights.input_value(1).get_node()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("granularity", ["pertensor", "perchannel"])
@pytest.mark.parametrize("name", WEIGHTED)
def test_ranges_of_weights_compute_what_numpy_does(name, granularity, mode):
    written = compare_weighted(name, mode, granularity)
    shape = WEIGHTED[name][3]
    assert tuple(written.get_shape()) == (shape if granularity == "perchannel" else (1,) * len(shape))


def compare_all():
    for name in WEIGHTED:
        for mode in MODES:
            for granularity in ("pertensor", "perchannel"):
                compare_weighted(name, mode, granularity)


@pytest.mark.release
def test_ranges_of_weights_compute_what_numpy_does_with_all_instructions_of_the_cpu():
    """Kernels for VNNI and AMX read ranges in ways of their own."""
    with_all_instructions("test_range_shapes", "compare_all")


@pytest.mark.parametrize("name", BATCHED)
def test_batched_weights_have_the_ranges_of_nncf(name):
    """NNCF leaves symmetric weights as INT8 and one scale, which is the high border by the largest level, 127."""
    net = with_tensor_names(weighted(name))
    calibration = calibration_of(WEIGHTED[name][1], "symmetric")
    theirs = nncf.quantize(net, nncf.Dataset([{"data": calibration}]), subset_size=1)
    scaled = nodes_by_name(theirs)["operation"].input_value(weights_port(name)).get_node()
    scale = scaled.input_value(1).get_node().data
    candidate = quantized(net, calibration, "symmetric", "perchannel")
    high = nodes_by_name(candidate)["operation"].input_value(weights_port(name)).get_node().input_value(2).get_node()
    assert high.data.shape == scale.shape
    np.testing.assert_allclose(high.data, 127 * scale, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("granularity", ["pertensor", "perchannel"])
@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 5), (1, 3, 5, 4), (1, 3, 2, 3, 4)])
def test_ranges_of_activations_compute_what_numpy_does(shape, granularity, mode):
    data = parameter(shape, "data")
    net = model(named(ops.multiply(ops.relu(data), ops.sigmoid(data)), "operation"), data)
    calibration = calibration_of(shape, mode)
    candidate = quantized(net, calibration, mode, "perchannel", granularity)
    operation = nodes_by_name(candidate)["operation"]
    quantizers = [operation.input_value(port).get_node() for port in (0, 1)]
    channels = 3 if granularity == "perchannel" else 1
    for node in quantizers:
        assert list(node.input_value(1).get_shape()) == [1, channels, *[1] * (len(shape) - 2)]
    relu, sigmoid = np.maximum(calibration, 0), 1 / (1 + np.exp(-calibration))
    expected = fake_quantize(relu, quantizers[0]) * fake_quantize(sigmoid, quantizers[1])
    np.testing.assert_allclose(infer(candidate, calibration), expected, rtol=1e-4, atol=1e-5)
