"""The model that reduces its own tensors: what statistics ask for, computed inside the graph.

The values leave as one concatenated output, because an output costs more than the reduction that it carries. Tensors
whose shape differs from sample to sample are reduced in the graph as well: measured, that costs half of what copying
them out and NumPy do, and no tensor has to be kept. How many values they had then leaves as a second output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov

from quantize_zoo import errors
from quantize_zoo.graph import Node, Output, branches_by_operation, nodes_by_name
from quantize_zoo.graph.opset import opset13 as ops

# Below this size, sorting a whole row costs less than looking for the blocks that hold its extremes.
_BLOCKED_FROM = 512
_DYNAMIC_BLOCK = 32  # values; of rows whose size is not known before
_LAST = np.array([1], dtype=np.int64)
_ZERO, _ONE = (np.int64(value) for value in (0, 1))


@dataclass(frozen=True)
class Extremes:
    """What to collect of a tensor: its smallest and largest values, of each channel or of all of it.

    ``channel_axis`` is None for the whole tensor; ``tail`` is the largest outlier probability that a quantile is asked
    for, 0 where only minimum and maximum are.
    """

    tensor: str
    channel_axis: int | None
    tail: float


@dataclass(frozen=True)
class ChannelMean:
    """What to collect of a tensor: the mean of each channel."""

    tensor: str
    channel_axis: int


Request = Extremes | ChannelMean


@dataclass(frozen=True)
class Columns:
    """Some values of the first output, of ``channels``: those that answer a request, or only tell what is not finite.

    Of a tensor with ``size`` values a channel they are ``count`` each, of extremes the smallest ones of all channels
    and then the largest. Where the size differs between samples both are None, and the second output has them, in the
    order of these columns; such columns come last.
    """

    tensor: str
    request: Request | None
    channels: int
    size: int | None
    count: int | None


def instrumented(
    model: ov.Model, requests: Sequence[Request], shapes: Mapping[str, ov.PartialShape]
) -> tuple[ov.Model, list[Columns]]:
    """Return a model of the same inputs that answers the requests, and what its output consists of.

    Args:
        model: is not changed.
        requests: what to collect, without duplicates.
        shapes: of the inputs; dimensions may be dynamic.

    Raises:
        CellError: the channels of a request have no fixed number.

    """
    copy, tensors = _with_results(model, [request.tensor for request in requests], shapes)
    inside = branches_by_operation(copy)
    asked: list[tuple[str, Request | None]] = [(tensor, None) for tensor in tensors]
    asked += [(request.tensor, request) for request in requests]
    asked.sort(key=lambda each: tensors[each[0]].get_partial_shape().is_dynamic or _operation(each[0]) in inside)
    columns: list[Columns] = []
    values: list[Output] = []
    sizes: list[Output] = []
    for tensor, request in asked:
        rows = _rows(tensor, tensors[tensor], None if request is None else request.channel_axis)
        if (branch := inside.get(_operation(tensor))) is not None:
            # Where the other branch is taken the tensor has no values. Convert does nothing, but has one output.
            nothing = np.zeros((_lengths(rows)[0], 0), np.float32)
            rows = ops.convert(branch.carry_out(rows.output(0), nothing), "f32")
        channels, size = _lengths(rows)
        count: int | None = 1
        if isinstance(request, Extremes):
            found, dynamic_count = _extremes(rows, request.tail)
            count = None if size is None else tail_count(size, request.tail)
        else:
            # Minimum and maximum ignore NaN on some instruction sets; a sum does not.
            found = [(ops.reduce_mean if request else ops.reduce_sum)(rows, _LAST).output(0)]
            dynamic_count = ops.constant(_ONE).output(0)
        columns.append(Columns(tensor, request, channels, size, None if size is None else count))
        values += [_flat(value) for value in found]
        if size is None:
            sizes += [_flat(_size(rows)), _flat(dynamic_count)]
    results = [ops.result(ops.concat(each, axis=0)) for each in (values, sizes) if each]
    return ov.Model(results, copy.get_sinks(), copy.get_parameters(), "statistics"), columns


def tail_count(size: int, tail: float) -> int:
    """Return how many values at either end of so many a quantile of the outlier probability can need."""
    return min(size, math.floor((size - 1) * tail) + 2) if tail else 1


def _with_results(
    model: ov.Model, tensors: Sequence[str], shapes: Mapping[str, ov.PartialShape]
) -> tuple[ov.Model, dict[str, Output]]:
    """Return a copy with these shapes, and where its tensors are in it, by their names in the model.

    Giving a model other shapes fuses operations, so that a name may be gone or mean another tensor. What a result
    hangs on keeps its value: tensors get results before, and are found by them again.
    """
    copy = model.clone()
    nodes, inside = nodes_by_name(copy), branches_by_operation(copy)
    results = {}
    for tensor in dict.fromkeys(tensors):
        name, _, port = tensor.rpartition(":")
        results[tensor] = ops.result(nodes[name].output(int(port)))
        (inside[name].body if name in inside else copy).add_results([results[tensor]])
    if copy.is_dynamic():
        copy.reshape(dict(shapes))
    return copy, {tensor: result.input_value(0) for tensor, result in results.items()}


def _operation(tensor: str) -> str:
    return tensor.rpartition(":")[0]


def _rows(tensor: str, source: Output, channel_axis: int | None) -> Node:
    """Return the tensor as (channels, values of a channel)."""
    shape = source.get_partial_shape()
    if channel_axis is None:
        channels, ahead_is_one = 1, True
    else:
        if shape.rank.is_dynamic or shape[channel_axis].is_dynamic:
            raise errors.dynamic_channels(tensor.rpartition(":")[0], str(shape))
        channels = shape[channel_axis].get_length()
        ahead_is_one = all(each.is_static and each.get_length() == 1 for each in list(shape)[:channel_axis])
    if not ahead_is_one:
        order = [channel_axis, *(other for other in range(len(shape)) if other != channel_axis)]
        source = ops.transpose(source, np.array(order, dtype=np.int64)).output(0)
    size = -1 if shape.is_dynamic else math.prod(shape.to_shape()) // channels
    flat = ops.reshape(source, np.array([channels, size], dtype=np.int64), special_zero=False)
    return flat if source.get_element_type() == ov.Type.f32 else ops.convert(flat, "f32")


def _lengths(rows: Node) -> tuple[int, int | None]:
    channels, size = rows.output(0).get_partial_shape()
    return channels.get_length(), None if size.is_dynamic else size.get_length()


def _extremes(rows: Node, tail: float) -> tuple[list[Output], Output]:
    """Return the smallest and the largest values of each row, and how many of a row that are."""
    _, size = _lengths(rows)
    if not tail:
        return [_extreme(rows, mode).output(0) for mode in ("min", "max")], ops.constant(_ONE).output(0)
    if size is not None:
        count = ops.constant(np.int64(tail_count(size, tail)))
        return [_tail(rows, tail_count(size, tail), mode) for mode in ("min", "max")], count.output(0)
    # One more than needed, since this is computed in f32; and one of nothing at all, which is infinity.
    exact = ops.multiply(ops.convert(ops.subtract(_size(rows), _ONE), "f32"), np.float32(tail))
    count = ops.minimum(_size(rows), ops.add(ops.convert(ops.floor(exact), "i64"), np.int64(3)))
    count = ops.maximum(count, _ONE)
    return [_dynamic_tail(rows, count, mode) for mode in ("min", "max")], count.output(0)


def _extreme(rows: Node, mode: str, axis: int = 1, *, keep_dims: bool = True) -> Node:
    reduce = ops.reduce_min if mode == "min" else ops.reduce_max
    return reduce(rows, np.array([axis], dtype=np.int64), keep_dims=keep_dims)


def _tail(rows: Node, count: int, mode: str) -> Output:
    """Return the ``count`` smallest (mode min, ascending) or largest (max, descending) values of each row.

    The k extremes of a long row lie in the k blocks with the most extreme block extremes: only those are sorted.
    """
    channels, size = rows.output(0).get_shape()
    if count == 1:
        return _extreme(rows, mode).output(0)
    block = _block_size(size, count)
    if block > 1:
        blocks = ops.reshape(rows, np.array([channels, size // block, block], dtype=np.int64), special_zero=False)
        rows = _most_extreme(blocks, ops.constant(np.int64(count)), mode, channels)
    return ops.topk(rows, np.int64(count), 1, mode, "value").output(0)


def _dynamic_tail(rows: Node, count: Node, mode: str) -> Output:
    """Return the same of rows of any size: they are filled up with infinity to whole blocks, and to one at least."""
    channels, _ = _lengths(rows)
    blocks_wanted = ops.maximum(ops.divide(ops.add(_size(rows), np.int64(_DYNAMIC_BLOCK - 1)), _block()), _ONE)
    missing = ops.subtract(ops.multiply(blocks_wanted, _block()), _size(rows))
    ends = ops.concat([ops.constant(np.array([0], dtype=np.int64)), _flat(missing)], axis=0)
    fill = np.float32(np.inf if mode == "min" else -np.inf)
    filled = ops.pad(rows, np.array([0, 0], dtype=np.int64), ends, "constant", fill)
    shape = np.array([channels, -1, _DYNAMIC_BLOCK], dtype=np.int64)
    blocks = ops.reshape(filled, shape, special_zero=False)
    rows = _most_extreme(blocks, ops.minimum(count, blocks_wanted), mode, channels)
    return ops.topk(rows, count, 1, mode, "value").output(0)


def _most_extreme(blocks: Node, count: Node, mode: str, channels: int) -> Node:
    """Return all values of the ``count`` blocks (channels, blocks, values) with the most extreme values, as rows."""
    best = ops.topk(_extreme(blocks, mode, 2, keep_dims=False), count, 1, mode, "none").output(1)
    chosen = ops.gather(blocks, best, _ONE, batch_dims=1)
    return ops.reshape(chosen, np.array([channels, -1], dtype=np.int64), special_zero=False)


def _block() -> Node:
    return ops.constant(np.int64(_DYNAMIC_BLOCK))


def _size(rows: Node) -> Output:
    return ops.gather(ops.shape_of(rows), _ONE, _ZERO).output(0)


def _flat(value: Output | Node) -> Output:
    return ops.reshape(value, np.array([-1], dtype=np.int64), special_zero=False).output(0)


def _block_size(size: int, count: int) -> int:
    """Return the divisor of the size that makes both sorts short; 1 if none does."""
    if size < _BLOCKED_FROM:
        return 1
    divisors = [each for each in range(1, math.isqrt(size) + 1) if size % each == 0]
    divisors += [size // each for each in divisors]
    usable = [each for each in divisors if size // each >= count]
    return min(usable, key=lambda each: size // each + count * each, default=1)
