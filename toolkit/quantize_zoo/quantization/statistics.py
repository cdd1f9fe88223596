"""Activation statistics of everything that the search space can ask for, in one pass over the calibration data.

What is collected of a tensor are its extreme values: as many of the smallest and of the largest as the widest outlier
probability needs. All statistic types follow from them exactly, those of absolute values too, since the largest
magnitudes are among the largest and the smallest values. They are reduced inside the graph and leave it as one
concatenated output, because an output costs more than the reduction that it carries. Always computed at f32, whatever
the device's default: bf16 moves ranges by up to 0.4 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import StatisticType
from quantize_zoo.graph import Node, Output, nodes_by_name
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.runtime import core

Samples = Sequence[Mapping[str, NDArray[Any]]]  # for each sample the value of each input, batch size 1
# Below this size, sorting a whole row costs less than looking for the blocks that hold its extremes.
_BLOCKED_FROM = 512


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
class ExtremeValues:
    """The smallest values ascending and the largest descending (samples, channels, count), of ``size`` a channel."""

    smallest: NDArray[np.float32]
    largest: NDArray[np.float32]
    size: int

    def statistic(self, kind: StatisticType, outlier_prob: float | None = None, *, lower: bool = False) -> Any:
        """Return the statistic of every sample (samples, channels): float32, quantiles float64, as NumPy and so POT.

        ``lower`` asks for the quantile at the outlier probability, else it is at one minus that probability.
        Quantiles interpolate linearly, as ``numpy.quantile`` does.
        """
        if kind == "min":
            return self.smallest[..., 0]
        if kind == "max":
            return self.largest[..., 0]
        if kind == "abs_max":
            return np.maximum(np.abs(self.smallest[..., 0]), np.abs(self.largest[..., 0]))
        assert outlier_prob is not None, "a quantile has a probability"
        if kind == "abs_quantile":
            return _interpolate(self._largest_magnitudes(), (self.size - 1) * outlier_prob)
        return _interpolate(self.smallest if lower else self.largest, (self.size - 1) * outlier_prob)

    def _largest_magnitudes(self) -> NDArray[np.float32]:
        # A positive value counts where it is among the largest, a negative one where it is among the smallest.
        both = np.concatenate([np.maximum(self.largest, 0), np.maximum(-self.smallest, 0)], axis=-1)
        return -np.sort(-both, axis=-1)[..., : self.largest.shape[-1]]


class ActivationStatistics:
    """What a pass collected, by what was asked for; ``means`` are (samples, channels)."""

    def __init__(self, extremes: dict[Extremes, ExtremeValues], means: dict[ChannelMean, NDArray[np.float32]]) -> None:
        self._extremes = {(each.tensor, each.channel_axis): values for each, values in extremes.items()}
        self._means = means

    def extremes(self, tensor: str, channel_axis: int | None) -> ExtremeValues:
        """Return the extreme values of a tensor."""
        return self._extremes[tensor, channel_axis]

    def mean(self, tensor: str, channel_axis: int) -> NDArray[np.float32]:
        """Return the mean of each channel over samples and positions (channels,)."""
        # In float32, as POT: biases then agree to 3e-6.
        return np.asarray(self.sample_means(tensor, channel_axis).mean(axis=0))

    def sample_means(self, tensor: str, channel_axis: int) -> NDArray[np.float32]:
        """Return the mean of each channel over positions (samples, channels)."""
        return self._means[ChannelMean(tensor, channel_axis)]


def collect_statistics(model: ov.Model, requests: Iterable[Request], samples: Samples) -> ActivationStatistics:
    """Collect the statistics on the CPU at f32; all samples have the same shapes.

    Raises:
        CellError: there is no sample, an activation is NaN or infinite, or inference fails.

    """
    if not samples:
        raise errors.empty_dataset("calibration")
    requests = list(dict.fromkeys(requests))
    if not requests:
        return ActivationStatistics({}, {})
    instrumented, layout = _instrument(model, requests, samples[0])
    rows = np.empty((len(samples), layout[-1].stop), dtype=np.float32)

    def keep(request: Any, index: int) -> None:
        rows[index] = request.get_output_tensor(0).data

    try:
        compiled = core().compile_model(
            instrumented, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        )
        queue = ov.AsyncInferQueue(compiled)
        queue.set_callback(keep)
        for index, sample in enumerate(samples):
            queue.start_async(dict(sample), index)
        queue.wait_all()
    except RuntimeError as error:
        raise errors.inference_failed("collecting statistics", errors.message_of(error)) from error
    extremes: dict[Extremes, ExtremeValues] = {}
    means: dict[ChannelMean, NDArray[np.float32]] = {}
    for columns in layout:
        values = rows[:, columns.start : columns.stop]
        if not np.isfinite(values).all():
            raise errors.not_finite(columns.tensor.rpartition(":")[0])
        if isinstance(columns.request, ChannelMean):
            means[columns.request] = values
        elif columns.request is not None:
            shaped = values.reshape(len(rows), 2, columns.channels, -1)
            extremes[columns.request] = ExtremeValues(shaped[:, 0], shaped[:, 1], columns.size)
    return ActivationStatistics(extremes, means)


def _interpolate(values: NDArray[np.float32], position: float) -> NDArray[np.float64]:
    below = math.floor(position)
    first = values[..., below].astype(np.float64)
    if below == position:
        return first
    return first + (values[..., below + 1].astype(np.float64) - first) * (position - below)


@dataclass(frozen=True)
class _Columns:
    """The columns of the concatenated output that answer a request; without one they only tell what is not finite."""

    tensor: str
    request: Request | None
    start: int
    stop: int
    channels: int
    size: int


def _instrument(
    model: ov.Model, requests: list[Request], sample: Mapping[str, NDArray[Any]]
) -> tuple[ov.Model, list[_Columns]]:
    copy, tensors = _with_results(model, [request.tensor for request in requests], sample)
    outputs: list[Node] = []
    layout: list[_Columns] = []

    def add(tensor: str, request: Request | None, values: list[Output], channels: int, size: int) -> None:
        start = layout[-1].stop if layout else 0
        width = sum(math.prod(value.get_shape()) for value in values)
        outputs.extend(ops.reshape(value, np.array([-1], dtype=np.int64), special_zero=False) for value in values)
        layout.append(_Columns(tensor, request, start, start + width, channels, size))

    # Minimum and maximum ignore NaN on some instruction sets; a sum does not.
    for tensor, source in tensors.items():
        rows = _rows(tensor, source, None)
        add(tensor, None, [ops.reduce_sum(rows, _LAST).output(0)], 1, rows.output(0).get_shape()[1])
    for request in requests:
        rows = _rows(request.tensor, tensors[request.tensor], request.channel_axis)
        channels, size = rows.output(0).get_shape()
        if isinstance(request, ChannelMean):
            values = [ops.reduce_mean(rows, _LAST).output(0)]
        else:
            count = min(size, math.floor((size - 1) * request.tail) + 2) if request.tail else 1
            values = [_tail(rows, count, "min"), _tail(rows, count, "max")]
        add(request.tensor, request, values, channels, size)
    merged = ops.concat(outputs, axis=0)
    return ov.Model([ops.result(merged)], copy.get_parameters(), "statistics"), layout


_LAST = np.array([1], dtype=np.int64)


def _with_results(
    model: ov.Model, tensors: Sequence[str], sample: Mapping[str, NDArray[Any]]
) -> tuple[ov.Model, dict[str, Output]]:
    """Return a copy with the shapes of a sample, and where its tensors are in it, by their names in the model.

    Giving a model other shapes fuses operations, so that a name may be gone or mean another tensor. What a result
    hangs on keeps its value: tensors get results before, and are found by them again.
    """
    copy = model.clone()
    nodes = nodes_by_name(copy)
    names = list(dict.fromkeys(tensors))
    results = []
    for tensor in names:
        name, _, port = tensor.rpartition(":")
        results.append(ops.result(nodes[name].output(int(port))))
    copy.add_results(results)
    if copy.is_dynamic():
        copy.reshape({name: list(value.shape) for name, value in sample.items()})
    ours = copy.get_results()[-len(results) :]
    return copy, {tensor: result.input_value(0) for tensor, result in zip(names, ours, strict=True)}


def _rows(tensor: str, source: Output, channel_axis: int | None) -> Node:
    """Return the tensor as (channels, values of a channel)."""
    if source.get_partial_shape().is_dynamic:
        raise errors.dynamic_tensor(tensor.rpartition(":")[0], str(source.get_partial_shape()))
    shape = list(source.get_shape())
    axis = 0 if channel_axis is None else channel_axis
    channels = 1 if channel_axis is None else shape[axis]
    if channel_axis is not None and math.prod(shape[:axis]) != 1:
        order = [axis, *(other for other in range(len(shape)) if other != axis)]
        source = ops.transpose(source, np.array(order, dtype=np.int64)).output(0)
    size = math.prod(shape) // channels
    flat = ops.reshape(source, np.array([channels, size], dtype=np.int64), special_zero=False)
    return flat if source.get_element_type() == ov.Type.f32 else ops.convert(flat, "f32")


def _tail(rows: Node, count: int, mode: str) -> Output:
    """Return the ``count`` smallest (mode min, ascending) or largest (max, descending) values of each row.

    The k extremes of a long row lie in the k blocks with the most extreme block extremes: only those are sorted.
    """
    channels, size = rows.output(0).get_shape()
    reduce = ops.reduce_min if mode == "min" else ops.reduce_max
    if count == 1:
        return reduce(rows, _LAST, keep_dims=True).output(0)
    block = _block_size(size, count)
    if block > 1:
        blocks = ops.reshape(rows, np.array([channels, size // block, block], dtype=np.int64), special_zero=False)
        best = ops.topk(reduce(blocks, np.array([2], dtype=np.int64)), np.int64(count), 1, mode, "none").output(1)
        rows = ops.reshape(
            ops.gather(blocks, best, np.int64(1), batch_dims=1),
            np.array([channels, count * block], dtype=np.int64),
            special_zero=False,
        )
    return ops.topk(rows, np.int64(count), 1, mode, "value").output(0)


def _block_size(size: int, count: int) -> int:
    """Return the divisor of the size that makes both sorts short; 1 if none does."""
    if size < _BLOCKED_FROM:
        return 1
    divisors = [each for each in range(1, math.isqrt(size) + 1) if size % each == 0]
    divisors += [size // each for each in divisors]
    usable = [each for each in divisors if size // each >= count]
    return min(usable, key=lambda each: size // each + count * each, default=1)
