"""Recurrent sequences: which of their inputs are what, and which of them can be quantized."""

from __future__ import annotations

from dataclasses import dataclass

from quantize_zoo.graph.operations import WeightPoint, is_constant
from quantize_zoo.graph.opset import Node

DATA, HIDDEN = 0, 1  # the inputs that all have


@dataclass(frozen=True)
class Inputs:
    """The inputs of a type that are its weights W and R, and of how many gates they are."""

    weights: tuple[int, int]
    gates: int


RECURRENT = {
    "LSTMSequence": Inputs(weights=(4, 5), gates=4),
    "GRUSequence": Inputs(weights=(3, 4), gates=3),
}
_CHANNELS = (0, 1)  # directions, and the channels of all gates


def is_quantizable(node: Node, on_data: frozenset[str]) -> bool:
    """Tell whether a sequence reads data, has constant weights, and plugins quantize it.

    The CPU plugin has no INT8 kernel for ``linear_before_reset`` and fails to compile it; it takes a sequence with
    clipping apart into operations in FP32.
    """
    attributes, inputs = node.get_attributes(), RECURRENT[node.get_type_name()]
    if attributes.get("linear_before_reset") or attributes.get("clip"):
        return False
    sources = {port: node.input_value(port).get_node().get_friendly_name() for port in (DATA, *inputs.weights)}
    return sources[DATA] in on_data and all(sources[port] not in on_data for port in inputs.weights)


def weights_of(node: Node) -> tuple[WeightPoint, ...]:
    """Return the weights W and R."""
    ports = RECURRENT[node.get_type_name()].weights
    return tuple(WeightPoint(node.get_friendly_name(), port, _CHANNELS) for port in ports)


def hidden_is_quantized(node: Node) -> bool:
    """Tell whether the hidden state needs a FakeQuantize for the sequence to run in INT8 on a CPU.

    Without one the plugin takes a constant only: what it can compute when the model is compiled.
    """
    return not is_constant(node.input_value(HIDDEN).get_node(), static_shapes=True)
