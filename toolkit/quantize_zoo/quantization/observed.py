"""A tensor that statistics look at: reduced as it lies in memory, or as rows where its values are sorted.

The CPU plugin keeps tensors of convolutions with their channels last, or in blocks of channels, and reduces them so.
A reshape needs them as they are written, with the channels first: of a text detector 640 pixels wide that conversion
took as long as all of the model's inference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import openvino as ov

from quantize_zoo import errors
from quantize_zoo.graph import Node, Output, ordered_operations
from quantize_zoo.graph.operations import CONVOLUTIONS
from quantize_zoo.graph.opset import opset13 as ops

_AN_OUTPUT = 32  # values that leave together
Reduction = Literal["min", "max", "mean", "sum"]
_REDUCTIONS = {"min": ops.reduce_min, "max": ops.reduce_max, "mean": ops.reduce_mean, "sum": ops.reduce_sum}
_LAST = np.array([1], dtype=np.int64)
_ZERO, _ONE = (np.int64(value) for value in (0, 1))
# Operations that leave a tensor written as it is declared, whatever comes in.
_WRITTEN_ANEW = frozenset({"MatMul", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


@dataclass(frozen=True)
class ObservedTensor:
    """A tensor, and the axis that counts its channels; None if all of it counts as one channel.

    ``operation`` is named where the number of channels is not fixed; ``channels_last`` tells how it lies in memory.
    """

    source: Output
    channel_axis: int | None
    operation: str
    channels_last: bool = False

    @cached_property
    def channels(self) -> int:
        """How many channels there are.

        Raises:
            CellError: they have no fixed number.

        """
        if self.channel_axis is None:
            return 1
        shape = self.source.get_partial_shape()
        if shape.rank.is_dynamic or shape[self.channel_axis].is_dynamic:
            raise errors.dynamic_channels(self.operation, str(shape))
        return int(shape[self.channel_axis].get_length())

    @cached_property
    def size(self) -> int | None:
        """How many values a channel has; None if that differs between samples."""
        shape = self.source.get_partial_shape()
        return None if shape.is_dynamic else math.prod(shape.to_shape()) // self.channels

    @cached_property
    def counted(self) -> Output:
        """How many values a channel has, found out at run time."""
        all_of_it = ops.reduce_prod(ops.shape_of(self.source), np.array([0], dtype=np.int64))
        return ops.divide(all_of_it, np.int64(self.channels)).output(0)

    def reduced(self, reduction: Reduction) -> Output:
        """Return one value for each channel.

        A mean is taken of rows: as a tensor lies, single channels would be added up one value after the other, which
        is off by more (2e-6 of a small tensor's).
        """
        rank = self.source.get_partial_shape().rank
        if rank.is_dynamic or reduction == "mean":
            return _REDUCTIONS[reduction](self.rows, _LAST).output(0)
        axes = [axis for axis in range(rank.get_length()) if axis != self.channel_axis]
        values = _as_f32(self.source)
        return _REDUCTIONS[reduction](values, np.array(axes, dtype=np.int64)).output(0) if axes else values

    @cached_property
    def rows(self) -> Node:
        """The tensor as (channels, values of a channel), in whatever order; one node for all that sort it."""
        source, axis = self.source, self.channel_axis
        shape = source.get_partial_shape()
        order = None
        if axis is None:
            if self.channels_last:
                order = [0, *range(2, len(shape)), 1]
        elif not all(each.is_static and each.get_length() == 1 for each in list(shape)[:axis]):
            order = [axis, *(other for other in range(len(shape)) if other != axis)]
        if order is not None:
            source = ops.transpose(source, np.array(order, dtype=np.int64)).output(0)
        size = -1 if self.size is None else self.size
        return ops.reshape(_as_f32(source), np.array([self.channels, size], dtype=np.int64), special_zero=False)


def leaving(values: Sequence[Output]) -> list[Node]:
    """Return results that carry flat values out of a model in groups, one group after another.

    An output costs more than a reduction that it carries, and the time to compile a model grows with the square of what
    waits for the same output.
    """
    groups = (values[first : first + _AN_OUTPUT] for first in range(0, len(values), _AN_OUTPUT))
    return [ops.result(ops.concat(list(group), axis=0)) for group in groups]


def lying_channels_last(model: ov.Model) -> frozenset[str]:
    """Return the operations whose tensors come of a convolution, and were not written in another order since."""
    found: set[str] = set()
    for node in ordered_operations(model):
        if _is_image(node) and (node.get_type_name() in CONVOLUTIONS or _continues(node, found)):
            found.add(node.get_friendly_name())
    return frozenset(found)


def _is_image(node: Node) -> bool:
    """Tell whether it has the outputs of an operation on images: axes beside those of samples and channels."""
    if not node.get_output_size():
        return False
    rank = node.output(0).get_partial_shape().rank
    return bool(rank.is_static and rank.get_length() > 3)


def _continues(node: Node, found: Set[str]) -> bool:
    sources = (node.input_value(port).get_node().get_friendly_name() for port in range(node.get_input_size()))
    return node.get_type_name() not in _WRITTEN_ANEW and any(name in found for name in sources)


def _as_f32(source: Output) -> Output:
    return source if source.get_element_type() == ov.Type.f32 else ops.convert(source, "f32").output(0)
