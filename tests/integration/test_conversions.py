"""Converted once, written and read back: what is compared with is the model that a user would deploy."""

from functools import partial

import numpy as np
import onnx
import openvino as ov
import pytest
from onnx import TensorProto, helper

from quantize_zoo.config import BenchmarkParams, DeviceSpec
from quantize_zoo.graph import make_canonical, read_model, save_model
from quantize_zoo.scoring import compile_for_latency, measure_finally

F32 = DeviceSpec(device="CPU", inference_precision="f32")
BENCHMARK = BenchmarkParams(duration_seconds=0.5)
STEPS, INPUTS, HIDDEN = 20, 32, 64


def recurrent(path, kind, directions=1, **attributes):
    """An ONNX model of one recurrent layer on (steps, 1, inputs)."""
    rng = np.random.default_rng(0)
    gates = {"GRU": 3, "LSTM": 4}[kind] * HIDDEN
    shapes = {"W": (directions, gates, INPUTS), "R": (directions, gates, HIDDEN), "B": (directions, 2 * gates)}
    weights = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, (0.1 * rng.normal(size=shape)).ravel().tolist())
        for name, shape in shapes.items()
    ]
    if directions == 2:
        attributes["direction"] = "bidirectional"
    node = helper.make_node(kind, ["x", "W", "R", "B"], ["y"], hidden_size=HIDDEN, **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (STEPS, 1, INPUTS))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (STEPS, directions, 1, HIDDEN))
    graph = helper.make_graph([node], kind, [x], [y], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    return path


LAYERS = {
    "gru": ("GRU", {"linear_before_reset": 0}),
    "gru linear before reset": ("GRU", {"linear_before_reset": 1}),
    "gru bidirectional": ("GRU", {"directions": 2, "linear_before_reset": 1}),
    "lstm": ("LSTM", {}),
    "lstm bidirectional": ("LSTM", {"directions": 2}),
}


def ratio(reference, candidate):
    """Time of the reference / time of the candidate, over several compilations of both."""
    sample = {"x": np.ones((STEPS, 1, INPUTS), np.float32)}

    one, other = (partial(compile_for_latency, model, F32, BENCHMARK) for model in (reference, candidate))
    return measure_finally(one, other, [sample], BENCHMARK).ratio


@pytest.mark.parametrize("name", LAYERS)
def test_the_reference_is_as_fast_as_the_file_that_is_deployed(tmp_path, name):
    kind, attributes = LAYERS[name]
    make_canonical(recurrent(tmp_path / "net.onnx", kind, **attributes), {}, tmp_path / "fp32.xml")
    reference = read_model(tmp_path / "fp32.xml")
    save_model(ov.convert_model(tmp_path / "net.onnx"), tmp_path / "deployed.xml")
    found = ratio(reference, read_model(tmp_path / "deployed.xml"))
    assert found.low <= 1.02, found
    assert found.high >= 0.98, found


def test_a_source_is_converted_once_with_shapes_and_names_of_its_own(tmp_path):
    source = recurrent(tmp_path / "net.onnx", "GRU")
    make_canonical(source, {"x": [STEPS, 1, INPUTS]}, tmp_path / "fp32.xml")
    model = read_model(tmp_path / "fp32.xml")
    names = [node.get_friendly_name() for node in model.get_ordered_ops()]
    assert len(set(names)) == len(names)
    assert all(port.get_names() for port in (*model.inputs, *model.outputs))
