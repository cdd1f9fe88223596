"""Single operations of a model: names, types as hardware configurations call them, weights, biases, the data path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph.bodies import ordered_operations
from quantize_zoo.graph.constants import constant_data
from quantize_zoo.graph.opset import Node, Output
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.runtime import core

CONVOLUTIONS = frozenset(
    {
        "Convolution",
        "GroupConvolution",
        "DepthWiseConvolution",
        "ConvolutionBackpropData",
        "GroupConvolutionBackpropData",
    }
)
_FEWEST_VALUES = 8  # of a vector that is an embedding
WEIGHTED = CONVOLUTIONS | {"MatMul"}
_BATCH_NORM_BETA = 2  # the input that is added
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

    @property
    def key(self) -> tuple[str, int]:
        """What the weights are known by: an operation can have several."""
        return self.operation, self.port


@dataclass(frozen=True)
class Bias:
    """The addition of a constant to an operation's output: input ``port`` of ``addition``, channels along ``axis``.

    ``addition`` may be a BatchNormInference, which adds a constant as well.
    """

    operation: str
    addition: str
    port: int
    axis: int


def nodes_by_name(model: ov.Model) -> dict[str, Node]:
    """Return the operations by friendly name, in topological order, those of bodies too."""
    return {node.get_friendly_name(): node for node in ordered_operations(model)}


def hardware_type(node: Node) -> str:
    """Return the type as hardware configurations name it.

    A GroupConvolution with one channel a group (weights G, 1, 1, ...) is a ``DepthWiseConvolution``, a Gather from a
    constant table of real numbers an ``Embedding``.
    """
    name: str = node.get_type_name()
    if name == "GroupConvolution" and list(node.input(1).get_partial_shape())[1:3] == [1, 1]:
        return "DepthWiseConvolution"
    return "Embedding" if name == "Gather" and _has_table(node) else name


def _has_table(gather: Node) -> bool:
    """Tell whether a Gather looks vectors up; of fewer values are anchors and constants that shapes are made of."""
    source = gather.input_value(0)
    shape = source.get_partial_shape()
    if not source.get_element_type().is_real() or shape.is_dynamic or list(shape.to_shape())[-1:] < [_FEWEST_VALUES]:
        return False
    node = source.get_node()
    while node.get_type_name() in ("Convert", "Reshape", "Transpose"):
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "Constant")


def constant_value(output: Output) -> NDArray[np.float32] | None:
    """Return the value of an output that no input of the model reaches; None if one does.

    It may be computed from constants, as weights behind Convert (compressed), Reshape or Transpose are.
    """
    node = output.get_node()
    decompressed = node.get_type_name() == "Convert" and output.get_element_type() == ov.Type.f32
    if decompressed and node.input_value(0).get_node().get_type_name() == "Constant":
        node = node.input_value(0).get_node()
    if node.get_type_name() == "Constant":
        return constant_data(node)
    if not is_constant(node):
        return None
    folded = ov.Model([ops.result(ops.convert(output, "f32"))], [], "constants")
    compiled = core().compile_model(folded, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled([])[0], dtype=np.float32)


def is_constant(node: Node, *, static_shapes: bool = False) -> bool:
    """Tell whether no data reach an operation; ``static_shapes`` of data count as constants, as when compiling."""
    pending, seen = [node], set()
    while pending:
        current = pending.pop()
        kind = current.get_type_name()
        if kind in ("Parameter", "ReadValue"):
            return False
        if static_shapes and kind == "ShapeOf":
            if current.input(0).get_partial_shape().is_dynamic:
                return False
            continue
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


def table_point(embedding: Node) -> WeightPoint | None:
    """Return the table of an embedding, one range for each vector; None if the axis is computed."""
    axis = constant_value(embedding.input_value(2))
    if axis is None:
        return None
    rank = len(embedding.input_value(0).get_partial_shape())
    return WeightPoint(embedding.get_friendly_name(), 0, (int(axis.item()) % rank,))


def output_channel_axis(node: Node) -> int:
    """Return the axis of the output that counts channels: 1 for convolutions, the last for matrix multiplications."""
    return 1 if hardware_type(node) in CONVOLUTIONS else len(node.output(0).get_partial_shape()) - 1


def find_bias(node: Node, on_data: frozenset[str]) -> Bias | None:
    """Return the bias that is added to the output of a convolution or matrix multiplication, None if it has none."""
    return _added_to(node, node, on_data)


def find_normalized_bias(node: Node, on_data: frozenset[str]) -> Bias | None:
    """Return the bias also where a batch normalization adds it: behind a Multiply, or in BatchNormInference."""
    scaling = _only_consumer(node)
    kind = None if scaling is None else scaling.get_type_name()
    if kind == "BatchNormInference" and output_channel_axis(node) == 1:
        return Bias(node.get_friendly_name(), scaling.get_friendly_name(), _BATCH_NORM_BETA, 1)
    scaled = kind == "Multiply" and _constant_of_channels(node, scaling, output_channel_axis(node), on_data) is not None
    return _added_to(scaling if scaled else node, node, on_data)


def _added_to(last: Node, node: Node, on_data: frozenset[str]) -> Bias | None:
    addition, axis = _only_consumer(last), output_channel_axis(node)
    if addition is None or addition.get_type_name() != "Add":
        return None
    port = _constant_of_channels(last, addition, axis, on_data)
    return None if port is None else Bias(node.get_friendly_name(), addition.get_friendly_name(), port, axis)


def _only_consumer(node: Node) -> Any:
    targets = list(node.output(0).get_target_inputs())
    return targets[0].get_node() if len(targets) == 1 else None


def _constant_of_channels(node: Node, consumer: Node, axis: int, on_data: frozenset[str]) -> int | None:
    """Return the other input of a node's only consumer, if it is constant, with one value a channel or for all."""
    (target,) = node.output(0).get_target_inputs()
    port = 1 - target.get_index()
    if consumer.input_value(port).get_node().get_friendly_name() in on_data:
        return None
    shape = list(consumer.input_value(port).get_shape())
    shape = [1] * (len(node.output(0).get_partial_shape()) - len(shape)) + shape
    return None if any(size != 1 for index, size in enumerate(shape) if index != axis) else port


def data_path(model: ov.Model) -> frozenset[str]:
    """Return the operations that compute on data: they depend on an input of the model other than through its shape.

    Whatever a body is given counts as data.
    """
    names: set[str] = set()
    for node in ordered_operations(model):
        kind = node.get_type_name()
        if kind in ("Parameter", "ReadValue") or (
            kind != "ShapeOf" and any(value.get_node().get_friendly_name() in names for value in node.input_values())
        ):
            names.add(node.get_friendly_name())
    return frozenset(names)
