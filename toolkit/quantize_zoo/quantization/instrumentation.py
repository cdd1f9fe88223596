"""The model that reduces its own tensors: what statistics ask for, computed inside the graph.

The values leave in a few outputs, see ``leaving``: of 500 convolutions one output took 37 seconds to compile. Tensors
whose shape differs from sample to sample are reduced in the graph as well, and no tensor has to be kept. How many
values they had then leaves as the last output, of integers. For each shape that it has not seen, the CPU plugin
prepares every operation anew, and it sorts shapes that it does not know slowly; so where values are sorted, such
tensors are filled up first to the size that they have for the largest sample, if that is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov

from quantize_zoo.graph import Node, Output, branches_by_operation, nodes_by_name
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization.observed import ObservedTensor, leaving, lying_channels_last

# Below this size, sorting a whole row costs less than looking for the blocks that hold its extremes.
_BLOCKED_FROM = 512
_DYNAMIC_BLOCK = 32  # values; of rows whose size is not known before
_ZERO, _ONE = (np.int64(value) for value in (0, 1))
_BEYOND = (("min", np.float32(np.inf)), ("max", np.float32(-np.inf)))  # what is less extreme than any value


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
    """Some of the values that leave, of ``channels``: those that answer a request, or only tell what is not finite.

    Of a tensor with ``size`` values a channel they are ``count`` each, of extremes the smallest ones of all channels
    and then the largest. Where the size differs between samples both are None, and the last output has them, in the
    order of these columns; such columns come last. ``capacity`` is what they are then filled up to, if that is known.
    """

    tensor: str
    request: Request | None
    channels: int
    size: int | None
    count: int | None
    capacity: int | None = None


def instrumented(
    model: ov.Model,
    requests: Sequence[Request],
    shapes: Mapping[str, ov.PartialShape],
    largest: Mapping[str, ov.PartialShape] | None = None,
) -> tuple[ov.Model, list[Columns]]:
    """Return a model of the same inputs that answers the requests, and what its outputs consist of, one after another.

    Args:
        model: is not changed.
        requests: what to collect, without duplicates.
        shapes: of the inputs; dimensions may be dynamic.
        largest: static shapes in which no sample's is larger; a tensor that is larger then for a sample all the same
            has more values than ``capacity`` tells, and its columns do not count.

    Raises:
        CellError: the channels of a request have no fixed number.

    """
    copy, tensors = _with_results(model, [request.tensor for request in requests], shapes)
    capacities = {} if largest is None else sizes_of(model, list(tensors), largest)
    inside, channels_last = branches_by_operation(copy), lying_channels_last(copy)
    asked: list[tuple[str, Request | None]] = [(tensor, None) for tensor in tensors]
    asked += [(request.tensor, request) for request in requests]
    asked.sort(key=lambda each: tensors[each[0]].get_partial_shape().is_dynamic or operation_of(each[0]) in inside)
    columns: list[Columns] = []
    values: list[Output] = []
    sizes: list[Output] = []
    for tensor, request in asked:
        operation, source = operation_of(tensor), tensors[tensor]
        lies_so = source.get_node().get_friendly_name() in channels_last
        observed = ObservedTensor(source, None if request is None else request.channel_axis, operation, lies_so)
        if (branch := inside.get(operation)) is not None:
            # Where the other branch is taken the tensor has no values. Convert does nothing, but has one output.
            nothing = np.zeros((observed.channels, 0), np.float32)
            carried = ops.convert(branch.carry_out(observed.rows.output(0), nothing), "f32")
            observed = ObservedTensor(carried.output(0), 0, operation)
        channels, size, capacity = observed.channels, observed.size, None
        if size is None and isinstance(request, Extremes) and request.tail:
            capacity = capacities.get(tensor, 0) // channels or None
            found, count = _filled_up(observed, request, capacity) if capacity else _in_blocks(observed, request)
        else:
            found, count = _of_one_size(observed, request), ops.constant(_ONE).output(0)
        if size is None:
            sizes += [_flat(observed.counted), _flat(count)]
        columns.append(Columns(tensor, request, channels, size, size and _count(size, request), capacity))
        values += [_flat(value) for value in found]
    results = [*leaving(values), *([ops.result(ops.concat(sizes, axis=0))] if sizes else [])]
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


def operation_of(tensor: str) -> str:
    """Return the operation whose output a tensor is."""
    return tensor.rpartition(":")[0]


def sizes_of(model: ov.Model, tensors: Sequence[str], shapes: Mapping[str, ov.PartialShape]) -> dict[str, int]:
    """Return how many values tensors have with inputs of these shapes; those that depend on data are left out."""
    inside = branches_by_operation(model)
    outside = [tensor for tensor in tensors if operation_of(tensor) not in inside]
    if not outside:
        return {}
    try:
        _, found = _with_results(model, outside, shapes)
    except RuntimeError:  # the model does not take the largest sizes of several inputs together
        return {}
    shaped = {tensor: output.get_partial_shape() for tensor, output in found.items()}
    return {tensor: math.prod(shape.to_shape()) for tensor, shape in shaped.items() if shape.is_static}


def _count(size: int, request: Request | None) -> int:
    return tail_count(size, request.tail) if isinstance(request, Extremes) else 1


def _of_one_size(observed: ObservedTensor, request: Request | None) -> list[Output]:
    """Return what answers a request; of extremes the smallest and the largest values of each channel.

    The size may differ between samples where one value of a channel is enough.
    """
    if not isinstance(request, Extremes):
        # Minimum and maximum ignore NaN on some instruction sets; a sum does not.
        return [observed.reduced("mean" if request else "sum")]
    count = 1 if observed.size is None else _count(observed.size, request)
    if count == 1:
        return [observed.reduced("min"), observed.reduced("max")]
    return [_tail(observed.rows, count, mode) for mode in ("min", "max")]


def _filled_up(observed: ObservedTensor, request: Extremes, capacity: int) -> tuple[list[Output], Output]:
    """Return the extremes of rows whose size differs between samples, and how many values of a row that are."""
    shape = np.array([observed.channels, capacity], np.int64)
    filled = ops.reshape(_padded(observed, ops.constant(np.int64(capacity))), shape, special_zero=False)
    is_value = ops.less(ops.constant(np.arange(capacity)), observed.counted)
    count = tail_count(capacity, request.tail)
    found = [_tail(ops.select(is_value, filled, ops.constant(other)), count, mode) for mode, other in _BEYOND]
    return found, ops.constant(np.int64(count)).output(0)


def _in_blocks(observed: ObservedTensor, request: Extremes) -> tuple[list[Output], Output]:
    """Return the same where no size is known before: filled up to one of a few numbers of blocks."""
    channels, size = observed.channels, observed.counted
    blocks = _blocks_of(size)
    capacity = ops.multiply(blocks, _block())
    filled = _padded(observed, capacity)
    is_value = ops.less(ops.range(_ZERO, capacity, _ONE, "i64"), size)
    # Of the size after filling up, which is no less than the own; one more than needed, since this is computed in f32.
    exact = ops.multiply(ops.convert(capacity, "f32"), np.float32(request.tail))
    count = ops.minimum(capacity, ops.add(ops.convert(ops.floor(exact), "i64"), np.int64(3)))
    shape = np.array([channels, -1, _DYNAMIC_BLOCK], dtype=np.int64)
    found = []
    for mode, other in _BEYOND:
        bounded = ops.reshape(ops.select(is_value, filled, ops.constant(other)), shape, special_zero=False)
        chosen = _most_extreme(bounded, ops.minimum(count, blocks), mode, channels)
        found.append(ops.topk(chosen, count, 1, mode, "value").output(0))
    return found, count.output(0)


def _padded(observed: ObservedTensor, capacity: Node) -> Node:
    missing = _flat(ops.subtract(capacity, observed.counted))
    ends = ops.concat([ops.constant(np.array([0], dtype=np.int64)), missing], axis=0)
    return ops.pad(observed.rows, np.array([0, 0], dtype=np.int64), ends, "constant", np.float32(0))


def _blocks_of(size: Output) -> Node:
    """Return how many blocks hold a row: one at least, in steps of an eighth to a quarter."""
    needed = ops.maximum(ops.divide(ops.add(size, np.int64(_DYNAMIC_BLOCK - 1)), _block()), _ONE)
    octave = ops.floor(ops.divide(ops.log(ops.convert(needed, "f32")), np.float32(math.log(2))))
    power = ops.power(np.float32(2), ops.maximum(ops.subtract(octave, np.float32(2)), np.float32(0)))
    step = ops.convert(ops.round(power), "i64")
    return ops.multiply(ops.divide(ops.subtract(ops.add(needed, step), _ONE), step), step)


def _tail(rows: Node, count: int, mode: str) -> Output:
    """Return the ``count`` smallest (mode min, ascending) or largest (max, descending) values of each row.

    The k extremes of a long row lie in the k blocks with the most extreme block extremes: only those are sorted.
    """
    channels, size = rows.output(0).get_shape()
    block = _block_size(size, count)
    if block > 1:
        blocks = ops.reshape(rows, np.array([channels, size // block, block], dtype=np.int64), special_zero=False)
        rows = _most_extreme(blocks, ops.constant(np.int64(count)), mode, channels)
    return ops.topk(rows, np.int64(count), 1, mode, "value").output(0)


def _most_extreme(blocks: Node, count: Node, mode: str, channels: int) -> Node:
    """Return all values of the ``count`` blocks (channels, blocks, values) with the most extreme values, as rows."""
    reduce = ops.reduce_min if mode == "min" else ops.reduce_max
    best = ops.topk(reduce(blocks, np.array([2], dtype=np.int64)), count, 1, mode, "none").output(1)
    chosen = ops.gather(blocks, best, _ONE, batch_dims=1)
    return ops.reshape(chosen, np.array([channels, -1], dtype=np.int64), special_zero=False)


def _block() -> Node:
    return ops.constant(np.int64(_DYNAMIC_BLOCK))


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
