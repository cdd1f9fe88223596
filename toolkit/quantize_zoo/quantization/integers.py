"""Constants that are kept as integers, with the operations that give their values back.

OpenVINO computes a FakeQuantize on a constant when it compiles a model, where that is not an operation's weights: then
a table or a concatenated constant is FP32 again, and so is whatever reads it. Integers stay what they are.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph import Node, constant_of
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization.ranges import Range


def dequantized(value: NDArray[np.float32], found: Range, kind: ov.Type) -> Node:
    """Return what a FakeQuantize of the range makes of a constant, as integers and the operations behind them.

    ``found`` has borders that broadcast against the value; zero is on a level of it.
    """
    low, high = found.low.astype(np.float64), found.high.astype(np.float64)
    step = (high - low) / (found.levels - 1)
    zero = np.round(-low / step)
    levels = np.clip(np.round((value - low) / step), 0, found.levels - 1) - zero
    signed = bool(levels.min() >= np.iinfo(np.int8).min and levels.max() <= np.iinfo(np.int8).max)
    integers = levels.astype(np.int8) if signed else (levels + zero).astype(np.uint8)
    node: Node = ops.convert(ops.constant(integers), kind)
    if not signed and zero.any():
        node = ops.subtract(node, constant_of(zero, kind))
    return ops.multiply(node, constant_of(step * found.scale, kind))
