"""From statistics to the ranges of FakeQuantize; the formulas are POT's (MinMaxQuantization)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.config import QuantizationConfig
from quantize_zoo.graph import ActivationPoint, UnifiedScale, WeightPoint
from quantize_zoo.quantization.aggregators import aggregate
from quantize_zoo.quantization.estimators import Border, moved_to
from quantize_zoo.quantization.options import ModelOption, TensorOption
from quantize_zoo.quantization.statistics import ActivationStatistics, ExtremeValues

SMALLEST_RANGE = 8e-5
SMALLEST_SHARE_OF_LARGEST_CHANNEL = 0.01
SMALLEST_ASYMMETRIC_RANGE = 8e-4
CHANNEL_AXIS = 1  # of activations

Bounds = NDArray[np.float64]
_AS_IT_IS = np.float32(1.0)


@dataclass(frozen=True)
class Range:
    """Lower and upper bound, float32, one value or one for each channel, and the number of levels between them.

    Quantized values come out multiplied by ``scale``.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    levels: int
    scale: np.float32 = _AS_IT_IS


def point_option(point: ActivationPoint | UnifiedScale, option: ModelOption) -> TensorOption | None:
    """Return how a tensor, or all of one scale, is quantized that operations share; None if none of them is quantized.

    The first quantized operation decides whose configuration all of them allow; where there is none, the first one
    does, moved to the nearest configuration that they allow.
    """
    quantized = [choice for name in point.operations if (choice := option.operations[name]).quantize]
    if not quantized:
        return None
    fitting = [choice.activations for choice in quantized if choice.activations.config in point.configs]
    if fitting:
        return fitting[0]
    wanted = quantized[0].activations
    nearest = min(point.configs, key=lambda config: _distance(config, wanted.config))
    return TensorOption(nearest, moved_to(wanted.range_estimator, wanted.config, nearest))


def _distance(config: QuantizationConfig, wanted: QuantizationConfig) -> tuple[bool, bool, int]:
    return (config.mode != wanted.mode, config.granularity != wanted.granularity, abs(config.bits - wanted.bits))


def activation_range(
    tensors: Sequence[str],
    tensor: TensorOption,
    statistics: ActivationStatistics,
    factors: Mapping[str, float] | None = None,
) -> Range:
    """Return the range of a tensor, (1,) or (channels,); of several tensors the one that covers all of them.

    As in NNCF (MinMaxQuantization._unify_statistics) borders are united before the range is made of them, so that it
    has zero on a level and is symmetric where it has to be. ``factors`` are what values of a tensor are multiplied by
    before.
    """
    low, high = tensor.range_estimator.min, tensor.range_estimator.max
    assert low is not None, "activations have both borders"
    axis = CHANNEL_AXIS if tensor.config.granularity == "perchannel" else None

    def border(of: Border, channels: int | None, *, lower: bool) -> Bounds:
        estimates = [
            _estimate(statistics.extremes(name, channels), of, lower=lower) * (factors or {}).get(name, 1.0)
            for name in tensors
        ]
        return np.asarray((np.min if lower else np.max)(estimates, axis=0))

    upper = border(high, axis, lower=False)
    levels = tensor.config.levels(weights=False)
    if tensor.config.mode == "asymmetric":
        return asymmetric_range(border(low, axis, lower=True), upper, levels)
    # Whether there are negative values is asked of the whole tensor.
    lowest = border(low, None, lower=True)
    bound = symmetric_high(upper)
    bottom = symmetric_low(bound, levels, negative=bool((lowest < 0).any()))
    return _range(bottom, bound, levels)


def weights_range(value: NDArray[np.float32], point: WeightPoint, tensor: TensorOption) -> Range:
    """Return the range of weights, shaped to broadcast against them."""
    axes = tuple(axis for axis in range(value.ndim) if axis not in point.channel_axes)
    if tensor.config.granularity == "pertensor":
        axes = tuple(range(value.ndim))
    low, high = tensor.range_estimator.min, tensor.range_estimator.max
    upper = _weights_statistic(value, high, axes, lower=False)
    levels = tensor.config.levels(weights=True)
    if low is None:
        bound = symmetric_high(upper)
        return _range(-bound, bound, levels)
    return asymmetric_range(_weights_statistic(value, low, axes, lower=True), upper, levels)


def symmetric_high(statistic: Bounds) -> Bounds:
    """Return the upper bound: the statistic, but at least 8e-5 and 1 % of the largest channel."""
    return np.maximum(statistic, max(SMALLEST_RANGE, SMALLEST_SHARE_OF_LARGEST_CHANNEL * float(statistic.max())))


def symmetric_low(high: Bounds, levels: int, *, negative: bool) -> Bounds:
    """Return the lower bound for activations: 0 if nothing is negative, else one level more than the upper bound."""
    return -high * levels / (levels - 2) if negative else np.zeros_like(high)


def asymmetric_range(low: Bounds, high: Bounds, levels: int) -> Range:
    """Return the range that contains zero and has zero exactly on a level.

    A degenerate range is widened first. Of the two ways to move a border to where zero is on a level, the one that
    widens is taken.
    """
    degenerate = high - low <= SMALLEST_ASYMMETRIC_RANGE
    low = np.minimum(np.where(degenerate, low - SMALLEST_ASYMMETRIC_RANGE, low), 0.0)
    high = np.maximum(np.where(degenerate, high + SMALLEST_ASYMMETRIC_RANGE, high), 0.0)
    zero = np.round(-low * (levels - 1) / (high - low))
    with np.errstate(divide="ignore", invalid="ignore"):
        high_moved = low * (zero - (levels - 1)) / zero
        low_moved = high * zero / (zero - (levels - 1))
    inside = (zero > 0) & (zero < levels - 1)
    move_high = inside & (high_moved > high)
    low, high = (
        np.where(inside & ~move_high, low_moved, np.where(zero == 0, 0.0, low)),
        np.where(move_high, high_moved, np.where(zero == levels - 1, 0.0, high)),
    )
    return _range(low, high, levels)


def _estimate(values: ExtremeValues, border: Border, *, lower: bool) -> Bounds:
    assert border.aggregator is not None, "activations have an aggregator"
    found = aggregate(values.statistic(border.type, border.outlier_prob, lower=lower), border.aggregator)
    return _clip(found, border.clipping_value, lower=lower)


def _weights_statistic(value: NDArray[np.float32], border: Border, axes: tuple[int, ...], *, lower: bool) -> Bounds:
    values = np.abs(value) if border.type.startswith("abs_") else value
    if border.outlier_prob is not None:
        probability = border.outlier_prob if lower else 1 - border.outlier_prob
        found = np.quantile(values.astype(np.float64), probability, axis=axes, keepdims=True)
    else:
        found = (values.min if lower else values.max)(axis=axes, keepdims=True).astype(np.float64)
    return _clip(found, border.clipping_value, lower=lower)


def _clip(values: Bounds, limit: float | None, *, lower: bool) -> Bounds:
    if limit is None:
        return values
    return np.maximum(values, limit) if lower else np.minimum(values, limit)


def _range(low: Bounds, high: Bounds, levels: int) -> Range:
    return Range(low.astype(np.float32), high.astype(np.float32), levels)
