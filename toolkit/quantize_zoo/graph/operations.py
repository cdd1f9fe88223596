"""Single operations of a model: names, types as hardware configurations call them, weights, biases, the data path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.runtime import core

Node = Any  # openvino.Node; its Python class has moved between releases
Output = Any  # openvino.Output

CONVOLUTIONS = frozenset(
    {
        "Convolution",
        "GroupConvolution",
        "DepthWiseConvolution",
        "ConvolutionBackpropData",
        "GroupConvolutionBackpropData",
    }
)
WEIGHTED = CONVOLUTIONS | {"MatMul"}
# The axes of the weights that count output channels.
_CHANNEL_AXES = {
    "Convolution": (0,),
    "ConvolutionBackpropData": (1,),
    "GroupConvolution": (0, 1),
    "DepthWiseConvolution": (0, 1),
    "GroupConvolutionBackpropData": (0, 2),
}


@dataclass(frozen=True)
class WeightPoint:
    """Constant weights: input ``port`` of ``operation``, and the axes that count their output channels.

    Of a matrix multiplication with weights of more dimensions than two these are the batches' axes as well: the CPU
    plugin computes garbage with ranges that batches share.
    """

    operation: str
    port: int
    channel_axes: tuple[int, ...]


@dataclass(frozen=True)
class Bias:
    """The addition of a constant to an operation's output: input ``port`` of ``addition``, channels along ``axis``."""

    operation: str
    addition: str
    port: int
    axis: int


def nodes_by_name(model: ov.Model) -> dict[str, Node]:
    """Return the operations by friendly name, in topological order."""
    return {node.get_friendly_name(): node for node in model.get_ordered_ops()}


def hardware_type(node: Node) -> str:
    """Return the type as hardware configurations name it.

    A GroupConvolution with one channel a group (weights G, 1, 1, ...) is a ``DepthWiseConvolution``.
    """
    name: str = node.get_type_name()
    if name == "GroupConvolution" and list(node.input(1).get_partial_shape().to_shape())[1:3] == [1, 1]:
        return "DepthWiseConvolution"
    return name


def constant_value(output: Output) -> NDArray[np.float32] | None:
    """Return the value of an output that no input of the model reaches; None if one does.

    It may be computed from constants, as weights behind Convert (compressed), Reshape or Transpose are.
    """
    node = output.get_node()
    decompressed = node.get_type_name() == "Convert" and output.get_element_type() == ov.Type.f32
    if decompressed and node.input_value(0).get_node().get_type_name() == "Constant":
        node = node.input_value(0).get_node()
    if node.get_type_name() == "Constant":
        return np.asarray(node.get_data(dtype=np.float32))  # its ``data`` are raw bits where NumPy has no such type
    if not _is_constant(node):
        return None
    folded = ov.Model([ops.result(ops.convert(output, "f32"))], [], "constants")
    compiled = core().compile_model(folded, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled([])[0], dtype=np.float32)


def _is_constant(node: Node) -> bool:
    pending, seen = [node], set()
    while pending:
        current = pending.pop()
        if current.get_type_name() in ("Parameter", "ReadValue"):
            return False
        for value in current.input_values():
            source = value.get_node()
            if source.get_friendly_name() not in seen:
                seen.add(source.get_friendly_name())
                pending.append(source)
    return True


def weight_point(node: Node, on_data: frozenset[str]) -> WeightPoint | None:
    """Return the constant weights of a convolution or matrix multiplication, None if it has none."""
    kind = hardware_type(node)
    if kind in CONVOLUTIONS:
        if node.input_value(1).get_node().get_friendly_name() in on_data:
            return None
        return WeightPoint(node.get_friendly_name(), 1, _CHANNEL_AXES[kind])
    if kind != "MatMul":
        return None
    constants = [port for port in (0, 1) if node.input_value(port).get_node().get_friendly_name() not in on_data]
    if len(constants) != 1:
        return None
    port = constants[0]
    rank = len(node.input_value(port).get_partial_shape())
    transposed = node.get_attributes()["transpose_b" if port else "transpose_a"]
    last = bool(port) != transposed  # (K, N) on the right and (M, K) on the left count channels last, or first
    axes = () if rank < 2 else (*range(rank - 2), rank - 1 if last else rank - 2)
    return WeightPoint(node.get_friendly_name(), port, axes)


def output_channel_axis(node: Node) -> int:
    """Return the axis of the output that counts channels: 1 for convolutions, the last for matrix multiplications."""
    return 1 if hardware_type(node) in CONVOLUTIONS else len(node.output(0).get_partial_shape()) - 1


def find_bias(node: Node, on_data: frozenset[str]) -> Bias | None:
    """Return the bias that is added to the output of a convolution or matrix multiplication, None if it has none."""
    targets = list(node.output(0).get_target_inputs())
    if len(targets) != 1 or targets[0].get_node().get_type_name() != "Add":
        return None
    addition = targets[0].get_node()
    port = 1 - targets[0].get_index()
    if addition.input_value(port).get_node().get_friendly_name() in on_data:
        return None
    axis = output_channel_axis(node)
    shape = list(addition.input_value(port).get_shape())
    rank = len(node.output(0).get_partial_shape())
    shape = [1] * (rank - len(shape)) + shape
    if any(size != 1 for index, size in enumerate(shape) if index != axis):
        return None
    return Bias(node.get_friendly_name(), addition.get_friendly_name(), port, axis)


def data_path(model: ov.Model) -> frozenset[str]:
    """Return the operations that compute on data: they depend on an input of the model other than through its shape."""
    names: set[str] = set()
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Parameter", "ReadValue") or (
            kind != "ShapeOf" and any(value.get_node().get_friendly_name() in names for value in node.input_values())
        ):
            names.add(node.get_friendly_name())
    return frozenset(names)
