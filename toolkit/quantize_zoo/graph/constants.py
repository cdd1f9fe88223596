"""Constants of a graph: their values, and those that are added, of the element type of the graph they go into."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph.opset import Constant, Node, Output
from quantize_zoo.graph.opset import opset13 as ops

_GIVING_BACK = frozenset({"Convert", "Subtract", "Multiply", "Reshape", "Transpose"})
_SMALL = (ov.Type.i8, ov.Type.u8, ov.Type.i4, ov.Type.u4, ov.Type.nf4)
_LARGEST_HALF = float(np.finfo(np.float16).max)


def constant_of(value: NDArray[Any], kind: ov.Type) -> Node:
    """Return a constant of an element type, which NumPy need not have (bf16).

    Finite values beyond the largest half become that: a model in half that is computed at f32 can exceed it.
    """
    value = np.asarray(value, order="C")  # of an array that is transposed OpenVINO makes f16 an integer
    if kind == ov.Type.f16:
        value = np.clip(value, -_LARGEST_HALF, _LARGEST_HALF)
    if kind == ov.Type.f32 and value.dtype == np.float32:
        return Constant(value)  # what the other does in the end, after looking at types for four times as long
    return ops.constant(value, kind)


def constant_data(constant: Node) -> NDArray[np.float32]:
    """Return a constant's value in f32, also of an element type that NumPy does not have."""
    try:
        return np.asarray(constant.get_data(dtype=np.float32))
    except TypeError:  # OpenVINO 2023.3, on which accuracy is compared with the checker's own command
        return np.asarray(constant.get_data(), dtype=np.float32)


def set_constant(port: Any, value: NDArray[Any]) -> None:
    """Let an operation's input (``openvino.Input``) read this value, of the element type that it reads now."""
    constant = constant_of(value, port.get_source_output().get_element_type())
    port.replace_source_output(constant.output(0))


def stored_bits(output: Output) -> int:
    """Return the width of the elements that constant weights are stored in, whatever gives them back.

    Of what is computed otherwise it is the width of the output's elements.
    """
    node = output.get_node()
    while node.get_type_name() in _GIVING_BACK:
        node = node.input_value(0).get_node()
    kind = node.get_element_type() if node.get_type_name() == "Constant" else output.get_element_type()
    return int(kind.bitwidth)


def integers_behind(node: Node) -> Node | None:
    """Return the constant of 8 or 4 bits whose values an operation gives back, None if it does something else.

    That are Convert, Subtract where zero is not the integer 0, and this Multiply.
    """
    if node.get_type_name() != "Multiply":
        return None
    source = node.input_value(0).get_node()
    if source.get_type_name() == "Subtract":
        source = source.input_value(0).get_node()
    if source.get_type_name() != "Convert":
        return None
    integers = source.input_value(0).get_node()
    return integers if integers.get_type_name() == "Constant" and integers.get_element_type() in _SMALL else None
