"""Compressed weights: constants of 8 or 4 bits whose activations stay in floating point, and what gives them back.

The formulas and the graph are those of ``nncf.compress_weights`` (calculate_integer_quantization_params,
_create_compression_subgraph), which OpenVINO's plugins know as decompression: Convert, Subtract where there is a zero
point, Multiply, all in f16, and Reshape where a scale is that of a group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.config import WeightCompression
from quantize_zoo.graph import Node, WeightPoint, constant_of
from quantize_zoo.graph.opset import opset13 as ops

_SMALLEST = np.finfo(np.float32).eps  # of a scale's magnitude
_TYPES = {
    ("symmetric", 8): ov.Type.i8,
    ("asymmetric", 8): ov.Type.u8,
    ("symmetric", 4): ov.Type.i4,
    ("asymmetric", 4): ov.Type.u4,
    ("nf4", 4): ov.Type.nf4,
}


@dataclass(frozen=True)
class CompressedWeights:
    """Weights as they are stored: ``levels`` - ``zero`` multiplied by ``scale``, all of which broadcast.

    Groups are a dimension of their own. Of NF4 ``levels`` are values between -1 and 1, which its type rounds to one of
    its 16. There is no ``zero`` without a zero point.
    """

    levels: NDArray[np.float32]
    scale: NDArray[np.float32]
    zero: NDArray[np.float32] | None
    type: ov.Type


def compress(value: NDArray[np.float32], point: WeightPoint, compression: WeightCompression) -> CompressedWeights:
    """Return weights as a compression stores them; it has to fit them, as those of a placement's operations do.

    Symmetric levels reach from -2^(bits - 1) to 2^(bits - 1) - 1, and the scale has the sign that lets the value of the
    largest magnitude be the lowest of them.
    """
    axes = tuple(axis for axis in range(value.ndim) if axis not in point.channel_axes)
    if compression.group_size is not None:
        (axis,) = axes
        shape = list(value.shape)
        shape[axis : axis + 1] = [shape[axis] // compression.group_size, compression.group_size]
        value, axes = value.reshape(shape), (axis + 1,)
    kind = _TYPES[compression.mode, compression.bits]
    low, high = value.min(axis=axes, keepdims=True), value.max(axis=axes, keepdims=True)
    if compression.mode == "nf4":
        scale = _away_from_zero(np.maximum(-low, high))
        return CompressedWeights(value / scale, scale, None, kind)
    half = 1 << (compression.bits - 1)
    if compression.mode == "symmetric":
        scale = _away_from_zero(np.where(np.abs(low) >= high, np.abs(low), -high) / np.float32(half))
        return CompressedWeights(np.clip(np.round(value / scale), -half, half - 1), scale, None, kind)
    most = 2 * half - 1
    low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
    scale = _away_from_zero((high - low) / np.float32(most))
    zero = np.clip(-np.round(low / scale), 0, most)
    return CompressedWeights(np.clip(np.round(value / scale + zero), 0, most), scale, zero, kind)


def decompression(weights: CompressedWeights, shape: tuple[int, ...], kind: ov.Type, name: str) -> Node:
    """Return the operations that give weights of a shape and an element type back; the Multiply gets the name."""
    node: Node = ops.convert(constant_of(weights.levels, weights.type), ov.Type.f16)
    if weights.zero is not None:
        node = ops.subtract(node, ops.convert(constant_of(weights.zero, weights.type), ov.Type.f16))
    node = ops.multiply(node, constant_of(weights.scale, ov.Type.f16))
    node.set_friendly_name(name)
    if weights.levels.shape != shape:
        node = ops.reshape(node, ops.constant(np.array(shape)), special_zero=False)
        node.set_friendly_name(f"{name}/reshape")
    if kind != ov.Type.f16:
        node = ops.convert(node, kind)
        node.set_friendly_name(f"{name}/convert")
    return node


def _away_from_zero(scale: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    return np.where(np.abs(scale) < _SMALLEST, _SMALLEST, scale).astype(np.float32)
