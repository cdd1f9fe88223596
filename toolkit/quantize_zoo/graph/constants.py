"""Constants that are added to a graph: of the element type of the graph they go into."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph.operations import Node
from quantize_zoo.graph.opset import opset13 as ops

_LARGEST_HALF = float(np.finfo(np.float16).max)


def constant_of(value: NDArray[Any], kind: ov.Type) -> Node:
    """Return a constant of an element type, which NumPy need not have (bf16).

    Finite values beyond the largest half become that: a model in half that is computed at f32 can exceed it.
    """
    if kind == ov.Type.f16:
        value = np.clip(value, -_LARGEST_HALF, _LARGEST_HALF)
    return ops.constant(value, kind)


def set_constant(port: Any, value: NDArray[Any]) -> None:
    """Let an operation's input (``openvino.Input``) read this value, of the element type that it reads now."""
    constant = constant_of(value, port.get_source_output().get_element_type())
    port.replace_source_output(constant.output(0))
