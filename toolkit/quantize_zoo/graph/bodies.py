"""Bodies of If operations: their operations count among the model's, and their tensors can be read outside.

An operation of a body is named ``if/then/operation`` or ``if/else/operation`` (``name_bodies``), so that names identify
it as they do outside. The bodies of Loop and TensorIterator, and of an If within a body, are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph.opset import Node, Output
from quantize_zoo.graph.opset import opset13 as ops

_BRANCHES = ("then", "else")  # in the order of an If's inner models
_WITH_BODIES = frozenset({"If", "Loop", "TensorIterator"})


@dataclass(frozen=True)
class Branch:
    """One of the two bodies of an If."""

    node: Node
    index: int

    @property
    def name(self) -> str:
        """Name of the branch, with which those of its operations begin."""
        return f"{self.node.get_friendly_name()}/{_BRANCHES[self.index]}"

    @property
    def body(self) -> ov.Model:
        """The model that it is; what is changed in it is changed in the If."""
        return self.node.get_function(self.index)

    def carry_out(self, value: Output, otherwise: NDArray[Any]) -> Output:
        """Make a value of the body an output of the If, which gives another value when it takes the other branch."""
        results = {self.index: ops.result(value), 1 - self.index: ops.result(ops.constant(otherwise))}
        for index, result in results.items():
            self.node.get_function(index).add_results([result])
        return self.node.set_output(results[0], results[1])


def branches(model: ov.Model) -> list[Branch]:
    """Return the branches of all If operations that are in no body themselves."""
    return [
        Branch(node, index)
        for node in model.get_ordered_ops()
        if node.get_type_name() == "If"
        for index in range(len(_BRANCHES))
    ]


def branches_by_operation(model: ov.Model) -> dict[str, Branch]:
    """Return the branch of every operation that is in one."""
    return {node.get_friendly_name(): each for each in branches(model) for node in each.body.get_ops()}


def ordered_operations(model: ov.Model) -> list[Node]:
    """Return the operations in topological order, those of an If's bodies before the If."""
    found = []
    for node in model.get_ordered_ops():
        if node.get_type_name() == "If":
            for index in range(len(_BRANCHES)):
                found += node.get_function(index).get_ordered_ops()
        found.append(node)
    return found


def bodies_left_alone(model: ov.Model) -> tuple[str, ...]:
    """Return the operations whose bodies are not looked into."""
    outside = [node for node in model.get_ordered_ops() if node.get_type_name() in _WITH_BODIES - {"If"}]
    inside = [
        node for each in branches(model) for node in each.body.get_ordered_ops() if node.get_type_name() in _WITH_BODIES
    ]
    return tuple(node.get_friendly_name() for node in (*outside, *inside))


def name_bodies(model: ov.Model) -> None:
    """Let the names of all operations of branches begin with those of the branches, in place; they may repeat."""
    for each in branches(model):
        for node in each.body.get_ops():
            if not node.get_friendly_name().startswith(f"{each.name}/"):
                node.set_friendly_name(f"{each.name}/{node.get_friendly_name()}")


def conditions(model: ov.Model) -> tuple[ov.Model, tuple[str, ...]]:
    """Return a model whose outputs are the conditions of the If operations, and the names of these."""
    copy = model.clone()
    found = [node for node in copy.get_ordered_ops() if node.get_type_name() == "If"]
    results = [ops.result(ops.convert(node.input_value(0), "u8")) for node in found]
    computing = ov.Model(results, copy.get_sinks(), copy.get_parameters(), "conditions")
    return computing, tuple(node.get_friendly_name() for node in found)


def branches_never_taken(names: Sequence[str], values: Iterable[Sequence[NDArray[Any]]]) -> tuple[str, ...]:
    """Return the names of the branches that no sample takes, given the values of all conditions for each sample."""
    taken = {
        f"{name}/{_BRANCHES[0 if value.any() else 1]}"
        for sample in values
        for name, value in zip(names, sample, strict=True)
    }
    return tuple(branch for name in names for each in _BRANCHES if (branch := f"{name}/{each}") not in taken)
