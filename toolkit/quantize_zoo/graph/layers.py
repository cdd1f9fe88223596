"""Layers of a model that can be read one by one, and held against those of the same name in another model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
import openvino as ov

from quantize_zoo.graph.constants import constant_data, set_constant
from quantize_zoo.graph.operations import CONVOLUTIONS, data_path
from quantize_zoo.graph.opset import Node, Output
from quantize_zoo.graph.opset import opset13 as ops

# What computes nothing, or is the quantization itself, in which two copies of a model may differ.
_NO_LAYERS = frozenset({"Parameter", "Result", "Constant", "FakeQuantize", "ReadValue", "Assign"})
# Whose constants take part in arithmetic. Those of others may be sizes, thresholds or modes.
_ARITHMETIC = CONVOLUTIONS | {"MatMul", "Add", "Subtract", "Multiply", "Divide", "BatchNormInference", "FakeQuantize"}
_WITH_BODIES = frozenset({"If", "Loop", "TensorIterator"})

Tensor = tuple[str, int]  # an operation and the number of its output


def layers_of(model: ov.Model) -> dict[str, Node]:
    """Return the operations that compute real numbers on data, by name, in topological order.

    FakeQuantizes are none, nor are operations of bodies.
    """
    on_data = data_path(model)
    return {
        node.get_friendly_name(): node
        for node in model.get_ordered_ops()
        if node.get_type_name() not in _NO_LAYERS and node.get_friendly_name() in on_data and any(_real_outputs(node))
    }


def with_bodies(model: ov.Model) -> tuple[str, ...]:
    """Return the operations that have bodies, whose operations are no layers."""
    return tuple(node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() in _WITH_BODIES)


def common_layers(first: ov.Model, second: ov.Model) -> tuple[str, ...]:
    """Return the layers that both models have, of the same type and number of outputs, in the first one's order."""
    other = layers_of(second)
    return tuple(
        name
        for name, node in layers_of(first).items()
        if name in other
        and node.get_type_name() == other[name].get_type_name()
        and len(node.outputs()) == len(other[name].outputs())
    )


def layers_before(model: ov.Model, chosen: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return for each of the chosen layers the nearest ones before it, also chosen, through whatever lies between."""
    wanted = set(chosen)
    nearest: dict[str, set[str]] = {}  # of every operation the chosen layers that it computes with
    found = {}
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        before: set[str] = set()
        for value in node.input_values():
            source = value.get_node().get_friendly_name()
            before |= {source} if source in wanted else nearest.get(source, set())
        nearest[name] = before
        if name in wanted:
            found[name] = tuple(each for each in chosen if each in before)
    return found


def with_layer_results(model: ov.Model, layers: Sequence[str]) -> tuple[ov.Model, dict[str, Tensor]]:
    """Return a copy whose outputs are those of the layers, in f32 where NumPy may have no such type.

    Their names tell which layer and which of its outputs each one is.
    """
    copy = model.clone()
    nodes = {node.get_friendly_name(): node for node in copy.get_ordered_ops()}
    results, tensors = [], {}
    for number, layer in enumerate(layers):
        for output in _real_outputs(nodes[layer]):
            kept = output if output.get_element_type() == ov.Type.f32 else ops.convert(output, "f32").output(0)
            name = f"layer_{number}_{output.get_index()}"
            kept.get_tensor().set_names({name})
            results.append(ops.result(kept))
            tensors[name] = (layer, output.get_index())
    return ov.Model(results, copy.get_sinks(), copy.get_parameters(), "layers"), tensors


def in_passes(
    model: ov.Model, layers: Sequence[str], shapes: Mapping[str, Sequence[int]], most_bytes: int
) -> Iterator[tuple[str, ...]]:
    """Yield the layers in groups whose outputs take at most so many bytes for inputs of these shapes.

    What depends on data has no size that could be known, and counts as nothing; a layer that takes more is alone.
    """
    sizes = _sizes_of(model, layers, shapes)
    group: list[str] = []
    taken = 0
    for layer in layers:
        if group and taken + sizes[layer] > most_bytes:
            yield tuple(group)
            group, taken = [], 0
        group.append(layer)
        taken += sizes[layer]
    if group:
        yield tuple(group)


def with_other_rounding(model: ov.Model, share: float, rng: np.random.Generator) -> ov.Model:
    """Return a copy that computes with constants which are off by up to this share each, at random.

    In the sense of backward error analysis that is a run with other roundings: the computed result of a sum of products
    is the exact result for factors that are slightly off (Higham, Accuracy and Stability of Numerical Algorithms,
    section 3.1). The four borders of a FakeQuantize are off by the same share, so that its zero stays where it is.
    """
    copy = model.clone()
    on_data = data_path(copy)
    for node in copy.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in _ARITHMETIC or (kind != "FakeQuantize" and node.get_friendly_name() not in on_data):
            continue
        common = 1 + share * rng.uniform(-1, 1)
        for port in node.inputs():
            constant = _real_constant(port.get_source_output())
            if constant is not None:
                value = constant_data(constant)
                is_border = kind == "FakeQuantize" and port.get_index() > 0
                factor = common if is_border else 1 + share * rng.uniform(-1, 1, value.shape)
                set_constant(port, np.asarray(value * factor, dtype=np.float32))
    return copy


def _real_outputs(node: Node) -> list[Output]:
    return [output for output in node.outputs() if output.get_element_type().is_real()]


def _real_constant(output: Output) -> Node | None:
    """Return the constant that is read, also if it is kept in another precision."""
    node = output.get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    is_real = node.get_type_name() == "Constant" and node.get_element_type().is_real()
    return node if is_real else None


def _sizes_of(model: ov.Model, layers: Sequence[str], shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Return the bytes that the outputs of layers take. Results find them: other shapes may fuse operations."""
    shaped, tensors = with_layer_results(model, layers)
    with suppress(RuntimeError):  # the model insists on shapes of its own
        shaped.reshape({name: list(shape) for name, shape in shapes.items()})
    sizes = dict.fromkeys(layers, 0)
    for port, (layer, _) in zip(shaped.outputs, tensors.values(), strict=True):
        shape = port.get_partial_shape()
        sizes[layer] += 4 * math.prod(shape.to_shape()) if shape.is_static else 0
    return sizes
