"""Which operations are never quantized: those that the configuration names, by name, type or kind of model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import HardwareConfig, TunableQuantizationParams
from quantize_zoo.graph.bodies import ordered_operations
from quantize_zoo.graph.operations import CONVOLUTIONS, Bias, data_path, find_normalized_bias, hardware_type
from quantize_zoo.graph.opset import Node

# Layer normalization and the arithmetic around attention, which lose the most and gain nothing. POT's list has Squeeze
# as well, which no hardware configuration of its own quantizes.
_TRANSFORMER_AS_POT = frozenset({"Add", "Power", "Multiply", "Subtract", "ReduceMean", "SquaredDifference"})
# The same in the operations that conversion makes of it today. Squeeze makes whole tensors of queries and keys: above
# it a FakeQuantize reads parts of one, and takes three times as long.
_TRANSFORMER = _TRANSFORMER_AS_POT | {"MVN", "GroupNormalization", "Divide", "Squeeze"}


def ignored_in_vain(
    model: ov.Model, hardware: HardwareConfig, scope: Collection[str], quantizable: Collection[str]
) -> list[str]:
    """Return those of the named operations that are not quantized anyway, and that nothing else is kept from by."""
    nodes = ordered_operations(model)
    agnostic = {node.get_friendly_name() for node in nodes if node.get_type_name() in hardware.quantize_agnostic}
    biases = {bias.addition for bias in _biases(nodes, data_path(model)) if bias.operation in quantizable}
    return [name for name in scope if name not in agnostic.union(biases, quantizable)]


def _biases(nodes: Iterable[Node], on_data: frozenset[str]) -> Iterator[Bias]:
    """Yield what is added to convolutions and multiplications of matrices.

    Conversion parts an operation of ONNX with a bias, and gives its name to the addition.
    """
    for node in nodes:
        if hardware_type(node) in (*CONVOLUTIONS, "MatMul") and (bias := find_normalized_bias(node, on_data)):
            yield bias


def ignored_operations(
    model: ov.Model, hardware: HardwareConfig, params: TunableQuantizationParams, model_name: str, *, as_pot: bool
) -> frozenset[str]:
    """Return the names of the operations that the parameters exclude; ``as_pot`` takes POT's list for transformers.

    Raises:
        CellError: the whole model is skipped, or a name or type is not in the model or in the hardware configuration.

    """
    ignored = params.ignored
    if ignored.skip_model:
        raise errors.model_skipped(model_name)
    nodes = ordered_operations(model)
    names = {node.get_friendly_name() for node in nodes}
    for number, name in enumerate(ignored.scope):
        if name not in names:
            raise errors.unknown_operation(name, names, number)
    known = {kind for rule in hardware.operations for kind in rule.types} | {hardware_type(node) for node in nodes}
    for number, operation in enumerate(ignored.operations):
        if operation.type not in known:
            raise errors.unknown_operation_type(operation.type, known, number)
    found = set(ignored.scope)
    if found and not as_pot:
        found |= {bias.operation for bias in _biases(nodes, data_path(model)) if bias.addition in found}
    of_kind = (_TRANSFORMER_AS_POT if as_pot else _TRANSFORMER) if params.model_type == "transformer" else frozenset()
    for node in nodes:
        kind = hardware_type(node)
        if kind in of_kind:
            found.add(node.get_friendly_name())
        for operation in ignored.operations:
            attributes = node.get_attributes() if operation.attributes else {}
            if operation.type == kind and all(attributes.get(k) == v for k, v in operation.attributes.items()):
                found.add(node.get_friendly_name())
    return frozenset(found)
