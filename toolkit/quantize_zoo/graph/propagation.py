"""How far up a FakeQuantize may go: above operations that compute the same on quantized values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quantize_zoo.graph.opset import Node

Port = Any  # openvino.Input
# Through which the transformations of the plugins carry the one scale of a recurrent sequence.
_TO_RECURRENT = ("MaxPool", "ReduceMax", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
# Above which axis 1 may count something else than channels.
_MOVE_CHANNELS = (
    "Broadcast", "DepthToSpace", "Flatten", "Gather", "Reshape", "SpaceToDepth", "Squeeze", "Tile", "Transpose",
    "Unsqueeze",
)  # fmt: skip
_UPDATES = 2  # the input of the values that a Scatter writes


class Propagation:
    """Looks above operations whose consumers are all quantizable.

    Args:
        agnostic: the types of operations to go above.
        ports: the quantizable inputs.
        on_data: the operations that compute on data.
        ignored: the operations to stay below, whatever they are.

    """

    def __init__(
        self,
        agnostic: tuple[str, ...],
        ports: Iterable[Port],
        on_data: frozenset[str],
        ignored: frozenset[str] = frozenset(),
    ) -> None:
        self._agnostic = agnostic
        self._ignored = ignored
        self._quantizable = {(port.get_node().get_friendly_name(), port.get_index()) for port in ports}
        self._on_data = on_data

    def tops(self, port: Port, *, by_channel: bool = False) -> list[Port]:
        """Return the inputs whose sources a FakeQuantize for this input goes below.

        One with a range for each channel stays where channels are what they are for its operation.
        """
        source = port.get_source_output()
        node = source.get_node()
        if not self._is_agnostic(node) or node.input(0).get_element_type() != source.get_element_type():
            return [port]  # ConvertLike may begin with integers
        if not self.feeds_only(node) or (by_channel and node.get_type_name() in _MOVE_CHANNELS):
            return [port]
        return [top for above in self._values(node) for top in self.tops(above, by_channel=by_channel)]

    def feeds_only(self, node: Node) -> bool:
        """Tell whether all that reads the operation, directly or behind agnostic operations, is quantizable."""
        for output in node.outputs():
            for target in output.get_target_inputs():
                consumer = target.get_node()
                if (consumer.get_friendly_name(), target.get_index()) in self._quantizable:
                    continue
                if not self._is_agnostic(consumer) or not self.feeds_only(consumer):
                    return False
        return True

    def _is_agnostic(self, node: Node) -> bool:
        return node.get_type_name() in self._agnostic and node.get_friendly_name() not in self._ignored

    def _values(self, node: Node) -> list[Port]:
        """Return the inputs whose values come out again; what a Scatter writes only where it is computed."""
        kind = node.get_type_name()
        if kind == "Concat":
            return list(node.inputs())
        updates = kind.startswith("Scatter") and tensor_of(node.input(_UPDATES))[0] in self._on_data
        return [node.input(0), node.input(_UPDATES)] if updates else [node.input(0)]


def above_recurrent(port: Port) -> list[Port]:
    """Return the inputs that carry the scale of a recurrent sequence's input: of operations that only it reads."""
    return Propagation(_TO_RECURRENT, [port], frozenset()).tops(port)


def tensor_of(port: Port) -> tuple[str, int]:
    """Return the operation and output that an input reads."""
    source = port.get_source_output()
    return source.get_node().get_friendly_name(), source.get_index()
