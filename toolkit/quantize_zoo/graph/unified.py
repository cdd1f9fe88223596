"""Which tensors share one range, where a hardware configuration asks for it."""

from __future__ import annotations

from quantize_zoo.config import HardwareConfig
from quantize_zoo.graph.operations import WEIGHTED, hardware_type
from quantize_zoo.graph.opset import Node
from quantize_zoo.graph.points import ActivationPoint, QuantizableOperation, UnifiedScale, shared_configs
from quantize_zoo.graph.propagation import Propagation, tensor_of

# What computes in integers on its whole input at once.
_ON_ONE_SCALE = WEIGHTED | {"ScaledDotProductAttention"}


def unified_scales(
    ordered: list[Node],
    propagation: Propagation,
    hardware: HardwareConfig,
    points: tuple[ActivationPoint, ...],
    operations: dict[str, QuantizableOperation],
) -> tuple[UnifiedScale, ...]:
    """Merge what concatenations join, where they have a tensor in common."""
    groups: list[set[str]] = []
    for tensors in _joined_tensors(ordered, propagation, hardware):
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


def _joined_tensors(ordered: list[Node], propagation: Propagation, hardware: HardwareConfig) -> list[set[str]]:
    """Return what each concatenation with unified scales joins of the tensors to quantize.

    NNCF's conditions (QuantizerPropagationSolver and the OpenVINO backend's ``scales_unification_map``): the
    concatenation is quantized above, and below it, behind quantize-agnostic operations, is one of ``_ON_ONE_SCALE``.
    """
    return [
        {":".join(map(str, tensor_of(top))) for port in node.inputs() for top in propagation.tops(port)}
        for node in ordered
        if node.get_type_name() in hardware.unified_scales
        and propagation.feeds_only(node)
        and _needs_one_scale(node, hardware.quantize_agnostic)
    ]


def _needs_one_scale(node: Node, agnostic: tuple[str, ...]) -> bool:
    consumers = [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]
    return any(
        hardware_type(consumer) in _ON_ONE_SCALE
        or (consumer.get_type_name() in agnostic and _needs_one_scale(consumer, agnostic))
        for consumer in consumers
    )
