"""FakeQuantize positions agree with NNCF's ``quantize()`` for CPU, or the difference is listed here with its reason."""

import nncf
import numpy as np
import openvino as ov
import pytest

from builders import compression, pipeline
from quantize_zoo.graph import ordered_operations, read_model
from zoo import ZOO, random_samples, with_tensor_names

ONLY_NNCF = {
    # NNCF quantizes the input of Sqrt. It is not in POT's hardware configurations, and no plugin runs Sqrt in INT8.
    "layer_norm": {"deviation:0"},
}
ONLY_OURS = {
    # NNCF leaves weights in FP32 that Reshape and Transpose make of a constant, though it quantizes the activations.
    "compressed": {"second:1"},
}
# NNCF leaves weights as INT8 constants behind these instead of FakeQuantize operations.
_DECOMPRESSION = ("Convert", "Subtract", "Multiply", "Reshape", "Transpose")


def quantized_ports(model):
    """Inputs behind a FakeQuantize, or behind the INT8 constants that NNCF makes of one."""
    return {
        f"{node.get_friendly_name()}:{port.get_index()}"
        for node in ordered_operations(model)
        for port in node.inputs()
        if not is_int8_constant(node)
        and (
            port.get_source_output().get_node().get_type_name() == "FakeQuantize"
            or is_int8_constant(port.get_source_output().get_node())
        )
    }


def is_int8_constant(node):
    if node.get_type_name() not in _DECOMPRESSION:
        return False
    while node.get_type_name() in _DECOMPRESSION:
        node = node.input_value(0).get_node()
    return node.get_type_name() == "Constant" and node.get_element_type() in (ov.Type.i8, ov.Type.u8)


def embedded(zoo, name):
    return read_model(zoo / "embedded" / f"{name}.onnx")


@pytest.mark.parametrize("name", [*ZOO, "digits-resnet", "digits-mobilenet"])
def test_positions_agree_with_nncf(name, zoo):
    net = ZOO[name]() if name in ZOO else embedded(zoo, name)
    samples = random_samples(net)
    built = pipeline(net, samples)
    ours = quantized_ports(built.build(built.base))
    theirs = quantized_ports(nncf.quantize(with_tensor_names(net), nncf.Dataset(samples), subset_size=len(samples)))
    assert ours
    assert theirs - ours == ONLY_NNCF.get(name, set())
    assert ours - theirs == ONLY_OURS.get(name, set())


def test_accuracy_of_ranges_is_nncfs(zoo):
    """The same preset on the same data: both models compute nearly the same."""
    net = embedded(zoo, "digits-resnet")
    samples = random_samples(net, 20)
    built = pipeline(net, samples, compression(preset="performance"))
    models = [net, built.build(built.base), nncf.quantize(net, nncf.Dataset(samples), subset_size=20)]
    expected, ours, theirs = (infer(model, samples) for model in models)
    assert np.linalg.norm(ours - expected) < 1.5 * np.linalg.norm(theirs - expected)


def infer(model, samples):
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(sample)[0] for sample in samples])
