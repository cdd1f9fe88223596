"""Activation statistics of everything that the search space can ask for, in one pass over the calibration data.

The statistics are reduced inside the graph and leave it as one concatenated output, because an output costs more than
the reduction that it carries. Always computed at f32, whatever the device's default: bf16 moves ranges by up to 0.4 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.graph import nodes_by_name
from quantize_zoo.graph.opset import opset13 as ops

StatisticType = Literal["min", "abs_max", "abs_quantile", "abs_sum"]
Samples = Sequence[Mapping[str, NDArray[Any]]]  # for each sample the value of each input, batch size 1
DEFAULT_OUTLIER_PROB = 1e-4


@dataclass(frozen=True)
class Statistic:
    """One statistic of one tensor (``producer:output``), over the whole tensor or for each channel (axis 1)."""

    tensor: str
    type: StatisticType
    per_channel: bool


# For each statistic the value of every sample: (samples, 1) or (samples, channels), float64.
ActivationStatistics = Mapping[Statistic, NDArray[np.float64]]


@dataclass(frozen=True)
class _Columns:
    """The columns of the concatenated output that hold a statistic: one or two values for each of ``channels``."""

    statistic: Statistic
    start: int
    channels: int
    weights: tuple[float, ...]  # the statistic is the weighted sum of its values (quantiles interpolate between two)

    @property
    def stop(self) -> int:
        return self.start + self.channels * len(self.weights)


def collect_statistics(model: ov.Model, wanted: Iterable[Statistic], samples: Samples) -> ActivationStatistics:
    """Compute the statistics on the CPU at f32; the model has static shapes and batch size 1.

    Raises:
        CellError: there is no sample, an activation is NaN or infinite, or inference fails.

    """
    if not samples:
        raise errors.empty_dataset("calibration")
    instrumented, layout = _instrument(model, wanted)
    width = layout[-1].stop if layout else 0
    rows = np.empty((len(samples), width), dtype=np.float32)

    def keep(request: Any, index: int) -> None:
        rows[index] = request.get_output_tensor(0).data

    try:
        compiled = ov.Core().compile_model(
            instrumented, "CPU", {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        )
        queue = ov.AsyncInferQueue(compiled)
        queue.set_callback(keep)
        for index, sample in enumerate(samples):
            queue.start_async(dict(sample), index)
        queue.wait_all()
    except RuntimeError as error:
        raise errors.inference_failed("collecting statistics", errors.message_of(error)) from error
    return {columns.statistic: _read(rows, columns) for columns in layout}


def _read(rows: NDArray[np.float32], columns: _Columns) -> NDArray[np.float64]:
    values = rows[:, columns.start : columns.stop].astype(np.float64)
    if not np.isfinite(values).all():
        raise errors.not_finite(columns.statistic.tensor.rpartition(":")[0])
    per_channel = values.reshape(len(rows), columns.channels, len(columns.weights))
    return np.asarray(per_channel @ np.asarray(columns.weights))


def _instrument(model: ov.Model, wanted: Iterable[Statistic]) -> tuple[ov.Model, list[_Columns]]:
    copy = model.clone()
    nodes = nodes_by_name(copy)
    outputs: list[Any] = []
    layout: list[_Columns] = []
    start = 0
    wanted = list(wanted)
    # Minimum and maximum ignore NaN on some instruction sets; a sum does not.
    checks = [Statistic(tensor, "abs_sum", False) for tensor in dict.fromkeys(each.tensor for each in wanted)]
    for statistic in [*wanted, *checks]:
        name, _, port = statistic.tensor.rpartition(":")
        values, weights = _reduce(nodes[name].output(int(port)), statistic)
        channels = math.prod(values.output(0).get_shape()) // len(weights)
        outputs.append(ops.reshape(values, np.array([-1], dtype=np.int64), special_zero=False))
        layout.append(_Columns(statistic, start, channels, weights))
        start = layout[-1].stop
    merged = ops.concat(outputs, axis=0)
    return ov.Model([ops.result(merged)], copy.get_parameters(), "statistics"), layout


def _reduce(tensor: Any, statistic: Statistic) -> tuple[Any, tuple[float, ...]]:
    """Return a node whose values are (channels, values each), and the weights that make the statistic of the values."""
    shape = list(tensor.get_shape())
    channels = shape[1] if statistic.per_channel else 1
    size = math.prod(shape) // channels
    flat = ops.reshape(tensor, np.array([channels, size], dtype=np.int64), special_zero=False)
    if statistic.type == "min":
        return ops.reduce_min(flat, np.array([1], dtype=np.int64)), (1.0,)
    if statistic.type == "abs_max":
        return ops.reduce_max(ops.abs(flat), np.array([1], dtype=np.int64)), (1.0,)
    if statistic.type == "abs_sum":
        return ops.reduce_sum(ops.abs(flat), np.array([1], dtype=np.int64)), (1.0,)
    return _quantile(ops.abs(flat), size, 1.0 - DEFAULT_OUTLIER_PROB)


def _quantile(flat: Any, size: int, probability: float) -> tuple[Any, tuple[float, ...]]:
    """``numpy.quantile`` (linear) along axis 1: the two order statistics around it, from a TopK with a small k."""
    position = (size - 1) * probability
    below = math.floor(position)
    largest = ops.topk(flat, np.int64(size - below), 1, "max", "value").output(0)
    if size - below == 1:
        return ops.squeeze(largest, np.array([1], dtype=np.int64)), (1.0,)
    last = np.array([size - below - 1, size - below - 2], dtype=np.int64)
    return ops.gather(largest, last, np.int64(1)), (1.0 - (position - below), position - below)
