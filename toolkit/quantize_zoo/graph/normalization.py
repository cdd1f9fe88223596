"""Does a model normalize what it is fed, before its first layer with weights?"""

from __future__ import annotations

import openvino as ov

from quantize_zoo.graph.operations import data_path
from quantize_zoo.graph.opset import Node

_ARITHMETIC = ("Add", "Divide", "Multiply", "Subtract")
_NORMALIZING = ("BatchNormInference", "FakeQuantize", "MVN", "NormalizeL2")
# What moves or repeats values and leaves them as they are.
_CARRYING = frozenset(
    {
        "Concat", "Convert", "Gather", "Interpolate", "Pad", "Reshape", "Slice", "Split", "Squeeze", "StridedSlice",
        "Transpose", "Unsqueeze", "VariadicSplit",
    }
)  # fmt: skip


def normalizes_input(model: ov.Model, name: str) -> bool:
    """Tell whether an input's values are shifted, scaled or normalized before anything else is computed of them."""
    on_data = data_path(model)
    pending, seen = [model.input(name).get_node()], set()
    while pending:
        node = pending.pop()
        for consumer in (port.get_node() for output in node.outputs() for port in output.get_target_inputs()):
            if _normalizes(consumer, on_data):
                return True
            key = consumer.get_friendly_name()
            if consumer.get_type_name() in _CARRYING and key not in seen:
                seen.add(key)
                pending.append(consumer)
    return False


def _normalizes(node: Node, on_data: frozenset[str]) -> bool:
    kind = node.get_type_name()
    with_constant = any(value.get_node().get_friendly_name() not in on_data for value in node.input_values())
    return kind in _NORMALIZING or (kind in _ARITHMETIC and with_constant)
