"""Where FakeQuantize operations go: on which tensors, and which operations each of them serves.

The FakeQuantize sits as high as possible, above quantize-agnostic operations, and one serves all quantizable consumers
of its tensor. The result names operations and ports only, so that it holds for every copy of the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import HardwareConfig, OperationRule, QuantizationConfig
from quantize_zoo.graph.operations import Node, constant_value, data_path, hardware_type

Port = Any  # openvino.Input

_WEIGHTED = frozenset({"Convolution", "GroupConvolution", "DepthWiseConvolution", "MatMul"})
_CONVOLUTIONS = frozenset({"Convolution", "GroupConvolution", "DepthWiseConvolution"})
_SINGLE_INPUT = frozenset({"AvgPool", "ReduceMean"})


@dataclass(frozen=True)
class QuantizableOperation:
    """An operation with a quantization choice, and what the hardware allows for its tensors (weights: none or some)."""

    name: str
    type: str
    activations: tuple[QuantizationConfig, ...]
    weights: tuple[QuantizationConfig, ...]


@dataclass(frozen=True)
class ActivationPoint:
    """A tensor to quantize: output ``output`` of ``producer``.

    ``consumers`` are the (operation, port) pairs that then read the quantized tensor; ``operations`` the quantizable
    operations that they belong to or lead to, in graph order.
    """

    producer: str
    output: int
    consumers: tuple[tuple[str, int], ...]
    operations: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name of the tensor."""
        return f"{self.producer}:{self.output}"


@dataclass(frozen=True)
class WeightPoint:
    """Constant weights to quantize, and the axes that count their output channels."""

    operation: str
    port: int
    channel_axes: tuple[int, ...]


@dataclass(frozen=True)
class Placement:
    """All quantizable operations in graph order, the tensors to quantize, and the first convolutions."""

    operations: tuple[QuantizableOperation, ...]
    activations: tuple[ActivationPoint, ...]
    weights: tuple[WeightPoint, ...]
    first_convolutions: frozenset[str]


def find_placement(model: ov.Model, hardware: HardwareConfig, model_name: str) -> Placement:
    """Find what the hardware can quantize in the model.

    Raises:
        CellError: the model has nothing to quantize, or is quantized already.

    """
    ordered = model.get_ordered_ops()
    if any(node.get_type_name() == "FakeQuantize" for node in ordered):
        raise errors.already_quantized(model_name)
    on_data = data_path(model)
    operations: list[QuantizableOperation] = []
    weights: list[WeightPoint] = []
    ports: list[Port] = []
    for node in ordered:
        rule = hardware.rule(hardware_type(node)) if node.get_friendly_name() in on_data else None
        if rule is None or not _has_quantizable_inputs(node):
            continue
        name = node.get_friendly_name()
        weight_point = _weight_point(node)
        ports += [port for port in _data_ports(node) if weight_point is None or port.get_index() != weight_point.port]
        if weight_point is not None:
            weights.append(weight_point)
        operations.append(_operation(name, hardware_type(node), rule, has_weights=weight_point is not None))
    if not operations:
        raise errors.nothing_to_quantize(model_name, hardware.target)
    return Placement(
        tuple(operations), _activation_points(ports, hardware), tuple(weights), _first_convolutions(ordered)
    )


def _operation(name: str, kind: str, rule: OperationRule, *, has_weights: bool) -> QuantizableOperation:
    return QuantizableOperation(name, kind, rule.activations, rule.weights if has_weights else ())


def _data_ports(node: Node) -> list[Port]:
    return [node.input(0)] if node.get_type_name() in _SINGLE_INPUT else [node.input(0), node.input(1)]


def _has_quantizable_inputs(node: Node) -> bool:
    """Floating point in, and no constant besides weights: an Add of a constant is a bias or preprocessing."""
    if not node.output(0).get_element_type().is_real():
        return False
    if hardware_type(node) in _CONVOLUTIONS:
        return constant_value(node.input_value(1).get_node()) is not None
    if hardware_type(node) == "MatMul":
        return constant_value(node.input_value(0).get_node()) is None
    return all(constant_value(port.get_source_output().get_node()) is None for port in _data_ports(node))


def _weight_point(node: Node) -> WeightPoint | None:
    kind = hardware_type(node)
    if kind not in _WEIGHTED or constant_value(node.input_value(1).get_node()) is None:
        return None
    if kind == "MatMul":
        rank = len(node.input_value(1).get_shape())
        transposed = node.get_attributes()["transpose_b"]
        axes: tuple[int, ...] = (rank - 2 if transposed else rank - 1,) if rank > 1 else ()
    else:
        axes = (0,) if kind == "Convolution" else (0, 1)
    return WeightPoint(node.get_friendly_name(), 1, axes)


def _activation_points(ports: list[Port], hardware: HardwareConfig) -> tuple[ActivationPoint, ...]:
    quantizable = {(port.get_node().get_friendly_name(), port.get_index()) for port in ports}
    consumers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    served: dict[tuple[str, int], list[str]] = {}
    for port in ports:
        for top in _climb(port, hardware.quantize_agnostic, quantizable):
            source = top.get_source_output()
            tensor = (source.get_node().get_friendly_name(), source.get_index())
            consumer = (top.get_node().get_friendly_name(), top.get_index())
            _append_new(consumers.setdefault(tensor, []), consumer)
            _append_new(served.setdefault(tensor, []), port.get_node().get_friendly_name())
    return tuple(
        ActivationPoint(producer, output, tuple(consumers[producer, output]), tuple(served[producer, output]))
        for producer, output in consumers
    )


def _append_new(items: list[Any], item: Any) -> None:
    if item not in items:
        items.append(item)


def _climb(port: Port, agnostic: tuple[str, ...], quantizable: set[tuple[str, int]]) -> list[Port]:
    """Return the ports above all quantize-agnostic operations whose consumers are all quantizable."""
    node = port.get_source_output().get_node()
    if node.get_type_name() not in agnostic or not _feeds_only(node, agnostic, quantizable):
        return [port]
    inputs = node.inputs() if node.get_type_name() == "Concat" else [node.input(0)]
    return [top for source in inputs for top in _climb(source, agnostic, quantizable)]


def _feeds_only(node: Node, agnostic: tuple[str, ...], quantizable: set[tuple[str, int]]) -> bool:
    for output in node.outputs():
        for target in output.get_target_inputs():
            consumer = target.get_node()
            if (consumer.get_friendly_name(), target.get_index()) in quantizable:
                continue
            if consumer.get_type_name() not in agnostic or not _feeds_only(consumer, agnostic, quantizable):
                return False
    return True


def _first_convolutions(ordered: list[Node]) -> frozenset[str]:
    """Return the convolutions that no other convolution or matrix multiplication comes before."""
    below: set[str] = set()
    first = set()
    for node in ordered:
        name = node.get_friendly_name()
        kind = hardware_type(node)
        if any(value.get_node().get_friendly_name() in below for value in node.input_values()):
            below.add(name)
        elif kind in _WEIGHTED:
            below.add(name)
            if kind in _CONVOLUTIONS:
                first.add(name)
    return frozenset(first)
