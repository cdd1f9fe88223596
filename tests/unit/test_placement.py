"""Where FakeQuantize operations go."""

import numpy as np
import openvino as ov
import pytest

from builders import convolution, model, named, parameter, residual_model
from quantize_zoo.config import hardware_path, load_hardware
from quantize_zoo.errors import CellError
from quantize_zoo.graph import find_placement, read_model, save_model, with_batch
from quantize_zoo.graph.opset import opset13 as ops

CPU = load_hardware(hardware_path("CPU"))


def points(net):
    return {point.key: point for point in find_placement(net, CPU, "net").activations}


def test_one_fake_quantize_serves_all_consumers_of_a_tensor():
    shared = points(residual_model())["relu:0"]
    assert set(shared.consumers) == {("branch", 0), ("add", 0)}
    assert shared.operations == ("branch", "add")


def test_bias_is_not_quantized():
    placement = find_placement(residual_model(), CPU, "net")
    assert "bias" not in [operation.name for operation in placement.operations]
    assert [point.operation for point in placement.weights] == ["first", "branch", "scores"]


def test_fake_quantize_sits_above_quantize_agnostic_operations():
    assert points(residual_model())["pool:0"].consumers == (("flat", 0),)


def test_agnostic_operation_with_a_floating_point_consumer_keeps_it_below():
    image = parameter()
    pooled = named(ops.max_pool(image, [1, 1], [1, 1], [0, 0], [0, 0], [2, 2]).output(0).get_node(), "max")
    net = ov.Model(
        [ops.result(convolution(pooled.output(0), 3, 4, "conv")), ops.result(pooled.output(0))], [image], "m"
    )
    assert list(points(net)) == ["max:0"]


def test_all_inputs_of_a_concat_are_quantized():
    image = parameter()
    left, right = named(ops.relu(image), "left"), named(ops.sigmoid(image), "right")
    joined = named(ops.concat([left, right], axis=1), "joined")
    found = points(model(convolution(joined, 6, 4, "conv"), image))
    assert found["left:0"].consumers == (("joined", 0),)
    assert found["right:0"].consumers == (("joined", 1),)


def test_input_scaling_is_not_quantized():
    image = parameter()
    scaled = named(ops.add(image, ops.constant(np.float32(1))), "scaled")
    assert list(points(model(convolution(scaled, 3, 4, "conv"), image))) == ["scaled:0"]


def test_compressed_weights_are_weights():
    image = parameter()
    placement = find_placement(model(convolution(image, 3, 4, "conv", dtype=np.float16), image), CPU, "net")
    assert placement.weights[0].operation == "conv"


def test_matmul_of_two_activations_has_no_weights():
    left, right = parameter((1, 4, 8), "left"), parameter((1, 8, 4), "right")
    placement = find_placement(model(named(ops.matmul(left, right, False, False), "product"), left, right), CPU, "net")
    assert [point.key for point in placement.activations] == ["left:0", "right:0"]
    assert placement.weights == ()


def test_depthwise_convolution_is_told_from_grouped():
    image = parameter((1, 4, 8, 8))
    weights = ops.constant(np.ones((4, 1, 1, 3, 3), np.float32))
    depthwise = named(ops.group_convolution(image, weights, [1, 1], [1, 1], [1, 1], [1, 1]), "depthwise")
    grouped = ops.group_convolution(
        depthwise, ops.constant(np.ones((2, 2, 2, 1, 1), np.float32)), [1, 1], [0, 0], [0, 0], [1, 1]
    )
    types = {o.name: o.type for o in find_placement(model(named(grouped, "grouped"), image), CPU, "net").operations}
    assert types == {"depthwise": "DepthWiseConvolution", "grouped": "GroupConvolution"}


def test_only_convolutions_that_nothing_precedes_are_first():
    assert find_placement(residual_model(), CPU, "net").first_convolutions == {"first"}


def test_arithmetic_on_shapes_is_left_alone():
    image = parameter()
    sizes = ops.convert(ops.shape_of(image), "f32")
    doubled = named(ops.add(sizes, sizes), "doubled")
    target = ops.convert(ops.multiply(doubled, ops.constant(np.float32(0.5))), "i64")
    net = model(ops.reshape(convolution(image, 3, 3, "conv"), target, special_zero=False), image)
    assert [operation.name for operation in find_placement(net, CPU, "net").operations] == ["conv"]


def test_model_without_quantizable_operations_is_refused():
    image = parameter()
    with pytest.raises(CellError, match="model 'net' has no operation that the hardware configuration CPU quantizes"):
        find_placement(model(ops.relu(image), image), CPU, "net")


def test_quantized_model_is_refused():
    image = parameter()
    zero, one = ops.constant(np.float32(0)), ops.constant(np.float32(1))
    quantized = ops.fake_quantize(image, zero, one, zero, one, 256)
    with pytest.raises(CellError, match="quantized already"):
        find_placement(model(convolution(quantized, 3, 4, "conv"), image), CPU, "net")


def test_model_survives_save_and_read(tmp_path):
    net = residual_model()
    save_model(net, tmp_path / "net.xml")
    again = read_model(tmp_path / "net.xml")
    assert find_placement(again, CPU, "net") == find_placement(net, CPU, "net")


def test_unreadable_model_is_named(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"not a model")
    with pytest.raises(CellError, match="OpenVINO cannot read the model"):
        read_model(tmp_path / "net.onnx")


def test_unwritable_model_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CellError, match="cannot write the model"):
        save_model(residual_model(), tmp_path / "file" / "net.xml")


def test_batch_replaces_the_first_dimension_only():
    image = parameter((-1, 3, 8, 8))
    copy = with_batch(model(ops.relu(image), image), 4)
    assert list(copy.inputs[0].get_shape()) == [4, 3, 8, 8]


def test_dynamic_image_size_is_refused():
    image = parameter((1, 3, -1, 8))
    with pytest.raises(CellError, match="dynamic shape"):
        with_batch(model(ops.relu(image), image), 1)
