"""Recurrent sequences: which of their inputs are what, and which of them can be quantized."""

from __future__ import annotations

from dataclasses import dataclass

from quantize_zoo.graph.operations import Node, WeightPoint

DATA = 0


@dataclass(frozen=True)
class Inputs:
    """The inputs of a type: states, the hidden one first, and the weights W and R of so many gates."""

    states: tuple[int, ...]
    weights: tuple[int, int]
    gates: int


RECURRENT = {
    "LSTMSequence": Inputs(states=(1, 2), weights=(4, 5), gates=4),
    "GRUSequence": Inputs(states=(1,), weights=(3, 4), gates=3),
}
_CHANNELS = (0, 1)  # directions, and the channels of all gates


def is_quantizable(node: Node, on_data: frozenset[str]) -> bool:
    """Tell whether a sequence has constant weights, and what plugins quantize.

    The CPU plugin has no INT8 kernel for ``linear_before_reset`` and fails to compile it; it takes a sequence with
    clipping apart into operations in FP32.
    """
    attributes, inputs = node.get_attributes(), RECURRENT[node.get_type_name()]
    if attributes.get("linear_before_reset") or attributes.get("clip"):
        return False
    return all(node.input_value(port).get_node().get_friendly_name() not in on_data for port in inputs.weights)


def weights_of(node: Node) -> tuple[WeightPoint, ...]:
    """Return the weights W and R."""
    ports = RECURRENT[node.get_type_name()].weights
    return tuple(WeightPoint(node.get_friendly_name(), port, _CHANNELS) for port in ports)


def ports_on_data(node: Node, on_data: frozenset[str]) -> list[int]:
    """Return the inputs that depend on data: the sequence itself, and its states."""
    ports = (DATA, *RECURRENT[node.get_type_name()].states)
    return [port for port in ports if node.input_value(port).get_node().get_friendly_name() in on_data]


def hidden_is_quantized(node: Node) -> bool:
    """Tell whether the hidden state needs a FakeQuantize for the sequence to run in INT8 on a CPU.

    Without one the plugin takes a constant only: what it can compute when the model is compiled.
    """
    return not _is_known(node.input_value(RECURRENT[node.get_type_name()].states[0]).get_node())


def _is_known(node: Node) -> bool:
    pending, seen = [node], set()
    while pending:
        current = pending.pop()
        kind = current.get_type_name()
        if kind in ("Parameter", "ReadValue"):
            return False
        if kind == "ShapeOf":
            if current.input(0).get_partial_shape().is_dynamic:
                return False
            continue
        for value in current.input_values():
            source = value.get_node()
            if source.get_friendly_name() not in seen:
                seen.add(source.get_friendly_name())
                pending.append(source)
    return True
