"""Where FakeQuantize operations go: on which tensors, and which operations each of them serves.

The FakeQuantize sits as high as possible, above quantize-agnostic operations, and one serves all quantizable consumers
of its tensor. The result names operations and ports only, so that it holds for every copy of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import HardwareConfig, Mode, QuantizationConfig
from quantize_zoo.graph.operations import (
    CONVOLUTIONS,
    WEIGHTED,
    Node,
    WeightPoint,
    data_path,
    hardware_type,
    weight_point,
)

Port = Any  # openvino.Input

_ACTIVATIONS_ONLY = frozenset({"Power", "AvgPool", "NormalizeL2", "ReduceMean", "Interpolate", "MVN"})
_MODES: tuple[Mode, ...] = ("symmetric", "asymmetric")
# What computes in integers on its whole input at once.
_ON_ONE_SCALE = WEIGHTED | {"ScaledDotProductAttention"}
_PRECISIONS = (ov.Type.f32, ov.Type.f16, ov.Type.bf16)  # no plugin runs a FakeQuantize of double precision
_WITH_BODIES = frozenset({"If", "Loop", "TensorIterator"})


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
    operations that they belong to or lead to, in graph order; ``configs`` what all of these allow.
    """

    producer: str
    output: int
    consumers: tuple[tuple[str, int], ...]
    operations: tuple[str, ...]
    configs: tuple[QuantizationConfig, ...]

    @property
    def key(self) -> str:
        """Name of the tensor."""
        return f"{self.producer}:{self.output}"


@dataclass(frozen=True)
class UnifiedScale:
    """Tensors that share one range, since a concatenation makes one tensor of them.

    ``operations`` are the quantizable operations that they serve, in graph order; ``configs`` what all of these allow.
    """

    tensors: tuple[str, ...]
    operations: tuple[str, ...]
    configs: tuple[QuantizationConfig, ...]


@dataclass(frozen=True)
class Placement:
    """All quantizable operations in graph order, the tensors to quantize, and what else was seen on the way.

    ``bodies`` are the operations whose bodies are left alone: If, Loop and TensorIterator.
    """

    operations: tuple[QuantizableOperation, ...]
    activations: tuple[ActivationPoint, ...]
    weights: tuple[WeightPoint, ...]
    unified: tuple[UnifiedScale, ...]
    first_convolutions: frozenset[str]
    bodies: tuple[str, ...]


def find_placement(
    model: ov.Model, hardware: HardwareConfig, model_name: str, ignored: frozenset[str] = frozenset()
) -> Placement:
    """Find what the hardware can quantize in the model; ``ignored`` operations have no choice and are not quantized.

    Raises:
        CellError: the model has nothing to quantize, is quantized already, or has a precision that cannot be quantized
            or fed.

    """
    ordered = model.get_ordered_ops()
    _check_ports(model)
    if any(node.get_type_name() == "FakeQuantize" for node in ordered):
        raise errors.already_quantized(model_name)
    on_data = data_path(model)
    operations: list[QuantizableOperation] = []
    weights: list[WeightPoint] = []
    ports: list[Port] = []
    for node in ordered:
        name, kind = node.get_friendly_name(), hardware_type(node)
        rule = hardware.rule(kind)
        if rule is None or name not in on_data or name in ignored or not _has_quantizable_inputs(node, on_data):
            continue
        point = weight_point(node, on_data)
        ports += [port for port in _data_ports(node) if point is None or port.get_index() != point.port]
        if point is not None:
            weights.append(point)
        operations.append(QuantizableOperation(name, kind, rule.activations, () if point is None else rule.weights))
    if not operations:
        double = [node for node in ordered if hardware.rule(hardware_type(node)) and _is_double(node)]
        if double:
            raise errors.double_precision(model_name, double[0].get_friendly_name())
        raise errors.nothing_to_quantize(model_name, hardware.target)
    by_name = {operation.name: operation for operation in operations}
    activations = _activation_points(ports, hardware, by_name)
    return Placement(
        tuple(operations),
        activations,
        tuple(weights),
        _unified_scales(_joined_tensors(ordered, ports, hardware), activations, by_name),
        _first_convolutions(ordered),
        tuple(node.get_friendly_name() for node in ordered if node.get_type_name() in _WITH_BODIES),
    )


def _check_ports(model: ov.Model) -> None:
    for what, ports in (("input", model.inputs), ("output", model.outputs)):
        for index, port in enumerate(ports):
            if port.get_element_type() == ov.Type.bf16:
                raise errors.port_without_numpy_type(f"{what} {index}", "bf16")


def _is_double(node: Node) -> bool:
    return any(port.get_element_type() == ov.Type.f64 for port in node.inputs())


def _data_ports(node: Node) -> list[Port]:
    kind = node.get_type_name()
    if kind == "Concat":
        return list(node.inputs())
    return [node.input(0)] if kind in _ACTIVATIONS_ONLY or len(node.inputs()) == 1 else [node.input(0), node.input(1)]


def _has_quantizable_inputs(node: Node, on_data: frozenset[str]) -> bool:
    """Floating point in, and no constant besides weights: an Add of a constant is a bias or preprocessing."""
    sources = [port.get_source_output() for port in _data_ports(node)]
    if not all(source.get_element_type() in _PRECISIONS for source in sources):
        return False
    on_path = [source.get_node().get_friendly_name() in on_data for source in sources]
    if hardware_type(node) in CONVOLUTIONS:
        return on_path == [True, False]
    return any(on_path) if node.get_type_name() == "MatMul" else all(on_path)


def _activation_points(
    ports: list[Port], hardware: HardwareConfig, operations: dict[str, QuantizableOperation]
) -> tuple[ActivationPoint, ...]:
    quantizable = _quantizable(ports)
    consumers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    served: dict[tuple[str, int], list[str]] = {}
    for port in ports:
        for top in _climb(port, hardware.quantize_agnostic, quantizable):
            tensor = _tensor(top)
            consumer = (top.get_node().get_friendly_name(), top.get_index())
            _append_new(consumers.setdefault(tensor, []), consumer)
            _append_new(served.setdefault(tensor, []), port.get_node().get_friendly_name())
    return tuple(
        ActivationPoint(
            *tensor,
            tuple(consumers[tensor]),
            tuple(served[tensor]),
            shared_configs([operations[name].activations for name in served[tensor]]),
        )
        for tensor in consumers
    )


def shared_configs(allowed: Sequence[Sequence[QuantizationConfig]]) -> tuple[QuantizationConfig, ...]:
    """Return what all operations that share a FakeQuantize allow: same mode and granularity, the smaller width.

    Where nothing is common, per tensor takes the place of per channel, and then asymmetric that of symmetric.
    """
    exact = tuple(config for config in allowed[0] if all(config in each for each in allowed))
    if exact:
        return exact
    kinds = dict.fromkeys((config.mode, config.granularity) for config in allowed[0])
    narrowed = [
        QuantizationConfig(bits=min(max(each) for each in widths), mode=mode, granularity=granularity)
        for mode, granularity in kinds
        if all(widths := [[c.bits for c in each if (c.mode, c.granularity) == (mode, granularity)] for each in allowed])
    ]
    if narrowed:
        return tuple(narrowed)
    bits = min(max(config.bits for config in each) for each in allowed)
    modes: list[Mode] = [mode for mode in _MODES if all(any(c.mode == mode for c in each) for each in allowed)]
    return tuple(QuantizationConfig(bits=bits, mode=mode, granularity="pertensor") for mode in modes or _MODES[-1:])


def _quantizable(ports: list[Port]) -> set[tuple[str, int]]:
    return {(port.get_node().get_friendly_name(), port.get_index()) for port in ports}


def _tensor(port: Port) -> tuple[str, int]:
    source = port.get_source_output()
    return source.get_node().get_friendly_name(), source.get_index()


def _append_new(items: list[Any], item: Any) -> None:
    if item not in items:
        items.append(item)


def _climb(port: Port, agnostic: tuple[str, ...], quantizable: set[tuple[str, int]]) -> list[Port]:
    """Return the ports above all quantize-agnostic operations whose consumers are all quantizable."""
    source = port.get_source_output()
    node = source.get_node()
    if node.get_type_name() not in agnostic or node.input(0).get_element_type() != source.get_element_type():
        return [port]  # ConvertLike may begin with integers
    if not _feeds_only(node, agnostic, quantizable):
        return [port]
    inputs = node.inputs() if node.get_type_name() == "Concat" else [node.input(0)]
    return [top for above in inputs for top in _climb(above, agnostic, quantizable)]


def _feeds_only(node: Node, agnostic: tuple[str, ...], quantizable: set[tuple[str, int]]) -> bool:
    for output in node.outputs():
        for target in output.get_target_inputs():
            consumer = target.get_node()
            if (consumer.get_friendly_name(), target.get_index()) in quantizable:
                continue
            if consumer.get_type_name() not in agnostic or not _feeds_only(consumer, agnostic, quantizable):
                return False
    return True


def _joined_tensors(ordered: list[Node], ports: list[Port], hardware: HardwareConfig) -> list[set[str]]:
    """Return what each concatenation with unified scales joins of the tensors to quantize.

    NNCF's conditions (QuantizerPropagationSolver and the OpenVINO backend's ``scales_unification_map``): the
    concatenation is quantized above, and below it, behind quantize-agnostic operations, is one of ``_ON_ONE_SCALE``.
    """
    quantizable = _quantizable(ports)
    agnostic = hardware.quantize_agnostic
    return [
        {":".join(map(str, _tensor(top))) for port in node.inputs() for top in _climb(port, agnostic, quantizable)}
        for node in ordered
        if node.get_type_name() in hardware.unified_scales
        and _feeds_only(node, agnostic, quantizable)
        and _needs_one_scale(node, agnostic)
    ]


def _needs_one_scale(node: Node, agnostic: tuple[str, ...]) -> bool:
    consumers = [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]
    return any(
        hardware_type(consumer) in _ON_ONE_SCALE
        or (consumer.get_type_name() in agnostic and _needs_one_scale(consumer, agnostic))
        for consumer in consumers
    )


def _unified_scales(
    joined: list[set[str]], points: tuple[ActivationPoint, ...], operations: dict[str, QuantizableOperation]
) -> tuple[UnifiedScale, ...]:
    """Merge sets with a tensor in common."""
    groups: list[set[str]] = []
    for tensors in joined:
        touched = [group for group in groups if group & tensors]
        groups = [group for group in groups if group not in touched] + [tensors.union(*touched)]
    scales = []
    for group in groups:
        members = [point for point in points if point.key in group]
        served = {name for point in members for name in point.operations}
        names = tuple(name for name in operations if name in served)
        configs = shared_configs([operations[name].activations for name in names])
        scales.append(UnifiedScale(tuple(point.key for point in members), names, configs))
    return tuple(scale for scale in scales if len(scale.tensors) > 1)


def _first_convolutions(ordered: list[Node]) -> frozenset[str]:
    """Return the convolutions that no other convolution or matrix multiplication comes before."""
    below: set[str] = set()
    first = set()
    for node in ordered:
        name = node.get_friendly_name()
        kind = hardware_type(node)
        if any(value.get_node().get_friendly_name() in below for value in node.input_values()):
            below.add(name)
        elif kind in WEIGHTED:
            below.add(name)
            if kind in CONVOLUTIONS:
                first.add(name)
    return frozenset(first)
