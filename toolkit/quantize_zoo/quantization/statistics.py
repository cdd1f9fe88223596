"""Activation statistics of everything that the search space can ask for, in one pass over the calibration data.

What is collected of a tensor are its extreme values: as many of the smallest and of the largest as the widest outlier
probability needs. All statistic types follow from them exactly, those of absolute values too, since the largest
magnitudes are among the largest and the smallest values. They are reduced inside the graph, see ``instrumented``.
Always computed at f32, whatever the device's default: bf16 moves ranges by up to 0.4 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import StatisticType
from quantize_zoo.graph.runtime import core
from quantize_zoo.graph.states import Steps, continues, is_stateful
from quantize_zoo.quantization.instrumentation import (
    ChannelMean,
    Columns,
    Extremes,
    Request,
    instrumented,
    operation_of,
    sizes_of,
)

_MOST_FILLING = 8  # how much larger than the mean sample the largest may be, for all to be filled up to its size
# Values of an inference's tensors above which samples are not run at once: each that runs needs memory of its own.
_MOST_AT_ONCE = 8_000_000
Samples = Sequence[Mapping[str, NDArray[Any]]]  # for each sample the value of each input


@dataclass(frozen=True)
class ExtremeValues:
    """The smallest values ascending and the largest descending (samples, channels, count), of ``sizes`` (samples,).

    So many values has a channel in each sample. Where samples differ in that, rows are filled up with infinity; a
    sample in which the tensor is empty is left out.
    """

    smallest: NDArray[np.float32]
    largest: NDArray[np.float32]
    sizes: NDArray[np.int64]

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
        positions = (self.sizes - 1) * outlier_prob
        if kind == "abs_quantile":
            return _interpolate(self._largest_magnitudes(), positions)
        return _interpolate(self.smallest if lower else self.largest, positions)

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
        return np.asarray(np.nanmean(self.sample_means(tensor, channel_axis), axis=0))

    def sample_means(self, tensor: str, channel_axis: int) -> NDArray[np.float32]:
        """Return the mean of each channel over positions (samples, channels); NaN where a sample's tensor is empty."""
        return self._means[ChannelMean(tensor, channel_axis)]


def collect_statistics(model: ov.Model, requests: Iterable[Request], samples: Samples) -> ActivationStatistics:
    """Collect the statistics on the CPU at f32; samples may have different shapes.

    Raises:
        CellError: there is no sample, an activation is NaN or infinite or never has a value, or inference fails.

    """
    if not samples:
        raise errors.empty_dataset("calibration")
    requests = list(dict.fromkeys(requests))
    if not requests:
        return ActivationStatistics({}, {})
    found = _observe(model, requests, samples, largest_shapes(samples))
    if any(columns.capacity is not None and (sizes > columns.capacity).any() for columns, _, sizes in found):
        found = _observe(model, requests, samples, None)
    extremes: dict[Extremes, ExtremeValues] = {}
    means: dict[ChannelMean, NDArray[np.float32]] = {}
    for columns, values, sizes in found:
        present = sizes > 0
        if columns.request is None:
            if not present.any():
                raise errors.never_observed(operation_of(columns.tensor))
            if not np.isfinite(values[present]).all():
                raise errors.not_finite(operation_of(columns.tensor))
        elif isinstance(columns.request, ChannelMean):
            means[columns.request] = np.where(present[:, None], values[:, 0, :, 0], np.float32(np.nan))
        else:
            seen = values if present.all() else values[present]  # all are no copy
            extremes[columns.request] = ExtremeValues(seen[:, 0], seen[:, 1], sizes[present])
    return ActivationStatistics(extremes, means)


def common_shapes(samples: Samples) -> dict[str, ov.PartialShape]:
    """Return the shape of each input of all samples; a dimension in which they differ is dynamic."""
    found = {}
    for name in samples[0]:
        sizes = zip(*{sample[name].shape for sample in samples}, strict=True)
        found[name] = ov.PartialShape([each.pop() if len(each) == 1 else -1 for each in map(set, sizes)])
    return found


def largest_shapes(samples: Samples) -> dict[str, ov.PartialShape] | None:
    """Return the largest size that any sample has in each dimension of each input.

    None if all samples have one shape, or if most are so small beside these that filling them up would take longer.
    """
    found = {name: np.array([sample[name].shape for sample in samples]) for name in samples[0]}
    if all((shapes == shapes[0]).all() for shapes in found.values()):
        return None
    largest = {name: shapes.max(axis=0) for name, shapes in found.items()}
    mean = np.mean([sum(value.size for value in sample.values()) for sample in samples])
    if sum(int(np.prod(shape)) for shape in largest.values()) > _MOST_FILLING * mean:
        return None
    return {name: ov.PartialShape(shape.tolist()) for name, shape in largest.items()}


def _observe(
    model: ov.Model, requests: Sequence[Request], samples: Samples, largest: dict[str, ov.PartialShape] | None
) -> list[tuple[Columns, NDArray[np.float32], NDArray[np.int64]]]:
    """Run a model on the samples; return what its columns have, see ``_by_columns``."""
    shapes = common_shapes(samples)
    copy, layout = instrumented(model, requests, shapes, largest)
    looked_at = sizes_of(model, [request.tensor for request in requests], largest or shapes)
    return list(_by_columns(layout, *_run(copy, samples, at_once=sum(looked_at.values()) <= _MOST_AT_ONCE)))


def _run(
    model: ov.Model, samples: Samples, *, at_once: bool
) -> tuple[Sequence[NDArray[np.float32]], NDArray[np.int64]]:
    """Return the values of every sample, as one array (samples, values) where all have equally many.

    And what the last output counts (samples, numbers). ``at_once`` runs several samples at once; else all cores share
    one.
    """
    ports = [index for index, port in enumerate(model.outputs) if port.get_element_type() == ov.Type.f32]
    widths = [model.output(port).get_partial_shape()[0] for port in ports]
    is_static = all(width.is_static for width in widths)
    total = sum(width.get_length() for width in widths) if is_static else 0
    values: Any = np.empty((len(samples), total), np.float32) if is_static else [None] * len(samples)
    counts: list[Any] = [np.empty(0, dtype=np.int64)] * len(samples)

    def keep(request: Any, index: int) -> None:
        values[index] = np.concatenate([request.get_output_tensor(port).data for port in ports])
        if len(model.outputs) > len(ports):
            counts[index] = request.get_output_tensor(len(ports)).data.copy()

    try:
        hint = "THROUGHPUT" if at_once else "LATENCY"
        compiled = core().compile_model(model, "CPU", {"PERFORMANCE_HINT": hint, "INFERENCE_PRECISION_HINT": "f32"})
        queue = ov.AsyncInferQueue(compiled, 1 if isinstance(samples, Steps) else 0)  # steps are taken in order
        queue.set_callback(keep)
        for index, sample in enumerate(samples):
            if is_stateful(model) and not continues(samples, index):
                queue[queue.get_idle_request_id()].reset_state()  # the one that is started next
            queue.start_async(dict(sample), index)
        queue.wait_all()
    except RuntimeError as error:
        raise errors.inference_failed("collecting statistics", errors.message_of(error)) from error
    return values, np.stack(counts)


def _by_columns(
    layout: Sequence[Columns], rows: Sequence[NDArray[np.float32]], counts: NDArray[np.int64]
) -> Iterator[tuple[Columns, NDArray[np.float32], NDArray[np.int64]]]:
    """Yield columns, their values (samples, sides, channels, count), and how many a channel has (samples,).

    Where samples differ in the count, the smallest values are filled up with infinity, the largest with its negative.
    """
    samples, start = len(rows), 0
    width = sum(_width(each, each.count) for each in layout if each.count is not None)
    fixed = rows[:, :width] if isinstance(rows, np.ndarray) else np.stack([row[:width] for row in rows])
    starts = np.full(samples, fixed.shape[1])
    numbers = iter(counts.T)
    for columns in layout:
        sides = 2 if isinstance(columns.request, Extremes) else 1
        if columns.size is not None and columns.count is not None:
            end = start + _width(columns, columns.count)
            found = fixed[:, start:end].reshape(samples, sides, columns.channels, columns.count)
            yield columns, found, np.full(samples, columns.size)
            start = end
            continue
        sizes, each_count = next(numbers), next(numbers)
        filled = np.empty((samples, sides, columns.channels, each_count.max()), dtype=np.float32)
        filled[:, 0], filled[:, 1:] = np.inf, -np.inf
        for index, (row, first, count) in enumerate(zip(rows, starts, each_count, strict=True)):
            values = row[first : first + _width(columns, count)]
            filled[index, ..., :count] = values.reshape(sides, columns.channels, count)
        starts = starts + columns.channels * sides * each_count
        yield columns, filled, sizes


def _width(columns: Columns, count: int) -> int:
    return columns.channels * (2 * count if isinstance(columns.request, Extremes) else 1)


def _interpolate(values: NDArray[np.float32], positions: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return what lies at a position (samples,) of values (samples, channels, count): (samples, channels)."""
    below = np.floor(positions).astype(np.int64)
    above = np.where(below == positions, below, below + 1)  # nothing need be there where it counts for nothing
    first, second = (
        np.take_along_axis(values, index[:, None, None], axis=-1)[..., 0].astype(np.float64) for index in (below, above)
    )
    return np.asarray(first + (second - first) * (positions - below)[:, None])
