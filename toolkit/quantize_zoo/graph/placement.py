"""Where FakeQuantize operations go: on which tensors, and which operations each of them serves.

The FakeQuantize sits as high as possible, above quantize-agnostic operations, and one serves all quantizable consumers
of its tensor. The result names operations and ports only, so that it holds for every copy of the model.
"""

from __future__ import annotations

from typing import Any

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import HardwareConfig, OperationRule, QuantizationConfig, WeightCompression
from quantize_zoo.graph import recurrent
from quantize_zoo.graph.bodies import bodies_left_alone, ordered_operations
from quantize_zoo.graph.constants import stored_bits
from quantize_zoo.graph.operations import (
    CONVOLUTIONS,
    WEIGHTED,
    WeightPoint,
    data_path,
    hardware_type,
    is_constant,
    table_point,
    weight_point,
)
from quantize_zoo.graph.opset import Node
from quantize_zoo.graph.points import ActivationPoint, Placement, QuantizableOperation, RecurrentScale, shared_configs
from quantize_zoo.graph.post_processing import post_processing
from quantize_zoo.graph.propagation import Port, Propagation, above_recurrent, tensor_of
from quantize_zoo.graph.recurrent import RECURRENT
from quantize_zoo.graph.unified import unified_scales

# Of whose inputs the first one is quantized, and the others say how to compute.
_ACTIVATIONS_ONLY = frozenset(
    {
        "Power", "AvgPool", "AdaptiveAvgPool", "NormalizeL2", "ReduceMean", "ReduceSum", "ReduceL2", "Interpolate",
        "MVN", "GroupNormalization", "BatchNormInference",
    }
)  # fmt: skip
_FUSED = frozenset({"Relu", "Clamp", "Elu", "PRelu", "Sigmoid", "HSigmoid", "HardSigmoid", "Swish", "HSwish", "Selu"})
_FEWEST_DIMENSIONS = 2  # of weights that are compressed
_PRECISIONS = (ov.Type.f32, ov.Type.f16, ov.Type.bf16)  # no plugin runs a FakeQuantize of double precision


def find_placement(
    model: ov.Model, hardware: HardwareConfig, model_name: str, ignored: frozenset[str] = frozenset()
) -> Placement:
    """Find what the hardware can quantize in the model; ``ignored`` operations are not quantized, nor gone above.

    Raises:
        CellError: the model has nothing to quantize, is quantized already, or has a precision that cannot be quantized
            or fed.

    """
    ordered = ordered_operations(model)
    _check_ports(model)
    if any(node.get_type_name() == "FakeQuantize" for node in ordered):
        raise errors.already_quantized(model_name)
    on_data = data_path(model)
    left_alone = ignored | post_processing(model, on_data)
    rules: list[tuple[Node, OperationRule]] = []
    for node in ordered:
        name, rule = node.get_friendly_name(), hardware.rule(hardware_type(node))
        if rule is not None and name in on_data and name not in left_alone and _is_quantizable(node, on_data):
            rules.append((node, rule))
    weights = {node.get_friendly_name(): _weight_points(node, on_data) for node, _ in rules}
    operations = {
        node.get_friendly_name(): QuantizableOperation(
            node.get_friendly_name(),
            hardware_type(node),
            rule.activations,
            _weight_configs(node, rule) if weights[node.get_friendly_name()] else (),
            _weight_compressions(node, rule, weights[node.get_friendly_name()]),
        )
        for node, rule in rules
    }
    sequences = [node for node, _ in rules if hardware_type(node) in RECURRENT]
    ports = [
        port
        for node, _ in rules
        for port in _data_ports(node)
        if (node.get_friendly_name(), port.get_index()) not in {each.key for each in weights[node.get_friendly_name()]}
    ]
    propagation = Propagation(hardware.quantize_agnostic, ports, on_data, ignored)
    activations = _activation_points(ports, propagation, on_data, operations)
    of_sequences = [_recurrent_points(node, on_data, operations[node.get_friendly_name()]) for node in sequences]
    # The table of an embedding whose output is quantized is quantized for what reads it, as NNCF does.
    for name in {consumer for point in activations if point.constant for consumer, _ in point.consumers}:
        if name in operations and operations[name].type == "Embedding":
            del operations[name]
    if not operations:
        double = [node for node in ordered if hardware.rule(hardware_type(node)) and _is_double(node)]
        if double:
            raise errors.double_precision(model_name, double[0].get_friendly_name())
        raise errors.nothing_to_quantize(model_name, hardware.target)
    return Placement(
        tuple(operations.values()),
        (*activations, *(point for points in of_sequences for point in points)),
        tuple(point for name in operations for point in weights[name]),
        unified_scales(ordered, propagation, hardware, activations, operations),
        tuple(_recurrent_scale(node, points) for node, points in zip(sequences, of_sequences, strict=True)),
        _first_convolutions(ordered),
        bodies_left_alone(model),
    )


def _weight_points(node: Node, on_data: frozenset[str]) -> tuple[WeightPoint, ...]:
    kind = hardware_type(node)
    if kind in RECURRENT:
        return recurrent.weights_of(node)
    point = table_point(node) if kind == "Embedding" else weight_point(node, on_data)
    return () if point is None else (point,)


def _weight_configs(node: Node, rule: OperationRule) -> tuple[QuantizationConfig, ...]:
    """Return what the hardware allows for an operation's weights, and OpenVINO compiles.

    Zero points for each channel of grouped convolutions end in an error of its low precision transformations, unless
    they are in two dimensions or have one channel a group.
    """
    if hardware_type(node) != "GroupConvolution" or len(node.input(0).get_partial_shape()) == 4:
        return rule.weights
    usable = [config for config in rule.weights if (config.mode, config.granularity) != ("asymmetric", "perchannel")]
    return tuple(usable) or rule.weights


def _weight_compressions(
    node: Node, rule: OperationRule, points: tuple[WeightPoint, ...]
) -> tuple[WeightCompression, ...]:
    """Return what the hardware offers for an operation's weights and fits their shape: groups divide a channel.

    A group that is a whole channel is left out, since there is the same with a scale a channel. So is what would round
    weights that are stored compressed a second time, and not make them smaller.
    """
    if len(points) != 1 or _is_misread(node, points[0]):
        return ()
    weights = node.input_value(points[0].port)
    shape, stored = list(weights.get_shape()), stored_bits(weights)
    reduced = [size for axis, size in enumerate(shape) if axis not in points[0].channel_axes]
    if len(shape) < _FEWEST_DIMENSIONS or not reduced:
        return ()
    return tuple(
        each
        for each in rule.compressed_weights
        if each.bits < stored
        and (
            each.group_size is None
            or (len(reduced) == 1 and reduced[0] > each.group_size and reduced[0] % each.group_size == 0)
        )
    )


def _is_misread(node: Node, point: WeightPoint) -> bool:
    """Tell whether the CPU plugin computes garbage of an operation's compressed weights, as NNCF stores them, too.

    Of weights on the left of a matrix multiplication, and of more dimensions than two, at every third compilation with
    several streams. Of a table that is not looked up along its first axis always: it takes scales for those of rows.
    """
    kind, rank = hardware_type(node), len(node.input(point.port).get_partial_shape())
    if kind == "MatMul":
        return point.port == 0 or rank > _FEWEST_DIMENSIONS
    return kind == "Embedding" and point.channel_axes != (0,)


def _check_ports(model: ov.Model) -> None:
    for what, ports in (("input", model.inputs), ("output", model.outputs)):
        for index, port in enumerate(ports):
            if port.get_element_type() == ov.Type.bf16:
                raise errors.port_without_numpy_type(f"{what} {index}", "bf16")


def _is_double(node: Node) -> bool:
    return any(port.get_element_type() == ov.Type.f64 for port in node.inputs())


def _data_ports(node: Node) -> list[Port]:
    """Return the inputs for a FakeQuantize as high as possible, if they depend on data, or for weights."""
    kind = hardware_type(node)
    if kind in RECURRENT or kind == "Embedding":
        return []
    if kind == "Concat":
        return list(node.inputs())
    return [node.input(0)] if kind in _ACTIVATIONS_ONLY or len(node.inputs()) == 1 else [node.input(0), node.input(1)]


def _is_quantizable(node: Node, on_data: frozenset[str]) -> bool:
    """Floating point in, and no constant besides weights: an Add of a constant is a bias or preprocessing."""
    kind = hardware_type(node)
    sources = [port.get_source_output() for port in _data_ports(node) or [node.input(0)]]
    if not all(source.get_element_type() in _PRECISIONS for source in sources):
        return False
    if kind == "Embedding":
        return table_point(node) is not None
    if kind in RECURRENT:
        return recurrent.is_quantizable(node, on_data)
    if (kind == "Equal" and _is_mask(node)) or (kind == "BatchNormInference" and _is_fused(node, on_data)):
        return False
    on_path = [source.get_node().get_friendly_name() in on_data for source in sources]
    if kind in WEIGHTED and any(
        not (reads_data or is_constant(source.get_node())) for reads_data, source in zip(on_path, sources, strict=True)
    ):
        return False  # weights that are made in the shape of the data
    if kind in CONVOLUTIONS:
        return on_path == [True, False]
    return any(on_path) if kind == "MatMul" else all(on_path)


def _is_mask(equal: Node) -> bool:
    """Tell whether what is equal is left out, which rounding would change: NNCF's pattern EQUAL_LOGICALNOT."""
    return any(target.get_node().get_type_name() == "LogicalNot" for target in equal.output(0).get_target_inputs())


def _is_fused(normalization: Node, on_data: frozenset[str]) -> bool:
    """Tell whether a batch normalization is computed with the operation before: NNCF's patterns of fused operations."""
    before = normalization.input_value(0).get_node()
    added = before.get_type_name() == "Add" and not all(
        value.get_node().get_friendly_name() in on_data for value in before.input_values()
    )
    return added or hardware_type(before) in CONVOLUTIONS | _FUSED


def _activation_points(
    ports: list[Port], propagation: Propagation, on_data: frozenset[str], operations: dict[str, QuantizableOperation]
) -> tuple[ActivationPoint, ...]:
    consumers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    served: dict[tuple[str, int], list[str]] = {}
    for port in ports:
        by_channel = _quantized_by_channel(operations[port.get_node().get_friendly_name()])
        for top in propagation.tops(port, by_channel=by_channel):
            tensor = tensor_of(top)
            consumer = (top.get_node().get_friendly_name(), top.get_index())
            _append_new(consumers.setdefault(tensor, []), consumer)
            _append_new(served.setdefault(tensor, []), port.get_node().get_friendly_name())
    return tuple(
        ActivationPoint(
            *tensor,
            tuple(consumers[tensor]),
            tuple(served[tensor]),
            shared_configs([operations[name].activations for name in served[tensor]]),
            constant=tensor[0] not in on_data,
        )
        for tensor in consumers
    )


def _quantized_by_channel(operation: QuantizableOperation) -> bool:
    return any(config.granularity == "perchannel" for config in operation.activations)


def _append_new(items: list[Any], item: Any) -> None:
    if item not in items:
        items.append(item)


def _recurrent_points(
    node: Node, on_data: frozenset[str], operation: QuantizableOperation
) -> tuple[ActivationPoint, ...]:
    """Return the points of a sequence: its data, and its hidden state where that is not known before."""
    ports = [recurrent.DATA]
    if recurrent.hidden_is_quantized(node):
        ports.append(recurrent.HIDDEN)
    return tuple(
        ActivationPoint(
            *tensor_of(top),
            ((top.get_node().get_friendly_name(), top.get_index()),),
            (operation.name,),
            operation.activations,
            owner=(operation.name, port),
        )
        for port in ports
        for top in above_recurrent(node.input(port))
    )


def _recurrent_scale(node: Node, points: tuple[ActivationPoint, ...]) -> RecurrentScale:
    inputs, name = RECURRENT[node.get_type_name()], node.get_friendly_name()
    data = tuple(point.key for point in points if point.owner == (name, recurrent.DATA))
    states = tuple(point.key for point in points if point.key not in data)
    return RecurrentScale(name, data, states, f"{name}:0", inputs.weights, inputs.gates)


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
