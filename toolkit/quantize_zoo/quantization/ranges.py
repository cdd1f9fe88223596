"""From statistics to the ranges of FakeQuantize; the formulas are POT's (``docs`` of MinMaxQuantization)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.config import QuantizationConfig
from quantize_zoo.graph import ActivationPoint, Placement, WeightPoint, constant_value, nodes_by_name
from quantize_zoo.quantization.options import EstimatorPreset, ModelOption
from quantize_zoo.quantization.statistics import DEFAULT_OUTLIER_PROB, ActivationStatistics, Statistic, StatisticType

SMALLEST_RANGE = 8e-5
SMALLEST_SHARE_OF_LARGEST_CHANNEL = 0.01


@dataclass(frozen=True)
class Range:
    """Lower and upper bound, float32, one value or one for each channel, and the number of levels between them."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    levels: int


@dataclass(frozen=True)
class RangeTable:
    """The range of every tensor for every range estimator preset, keyed by tensor name and by operation name."""

    activations: Mapping[tuple[str, EstimatorPreset], Range]
    weights: Mapping[tuple[str, EstimatorPreset], Range]


def shared_config(point: ActivationPoint, base: ModelOption) -> QuantizationConfig:
    """Return what all operations that share the FakeQuantize allow: the smaller width, per tensor if any needs it."""
    configs = [base[operation].activations.config for operation in point.operations]
    per_tensor = any(config.granularity == "pertensor" for config in configs)
    return QuantizationConfig(
        bits=min(config.bits for config in configs),
        mode="symmetric",
        granularity="pertensor" if per_tensor else "perchannel",
    )


def wanted_statistics(placement: Placement, base: ModelOption, presets: Collection[EstimatorPreset]) -> list[Statistic]:
    """List the statistics that the ranges of these range estimator presets are computed from."""
    wanted: list[Statistic] = []
    for point in placement.activations:
        per_channel = shared_config(point, base).granularity == "perchannel"
        wanted.append(Statistic(point.key, "min", per_channel=False))
        wanted += [Statistic(point.key, _max_type(preset), per_channel) for preset in presets]
    return wanted


def compute_ranges(
    model: ov.Model,
    placement: Placement,
    base: ModelOption,
    presets: Collection[EstimatorPreset],
    statistics: ActivationStatistics,
) -> RangeTable:
    """Compute all ranges that an option of the model can need."""
    activations = {
        (point.key, preset): _activation_range(point, shared_config(point, base), preset, statistics)
        for point in placement.activations
        for preset in presets
    }
    nodes = nodes_by_name(model)
    weights = {}
    for point in placement.weights:
        tensor = base[point.operation].weights
        value = constant_value(nodes[point.operation].input_value(point.port).get_node())
        if tensor is not None and value is not None:
            for preset in presets:
                weights[point.operation, preset] = weights_range(value, point, tensor.config, preset)
    return RangeTable(activations, weights)


def symmetric_high(statistic: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper bound: the statistic, but at least 8e-5 and 1 % of the largest channel."""
    return np.maximum(statistic, max(SMALLEST_RANGE, SMALLEST_SHARE_OF_LARGEST_CHANNEL * float(statistic.max())))


def symmetric_low(high: NDArray[np.float64], levels: int, *, negative: bool) -> NDArray[np.float64]:
    """Return the lower bound for activations: 0 if nothing is negative, else one level more than the upper bound."""
    return -high * levels / (levels - 2) if negative else np.zeros_like(high)


def weights_range(
    value: NDArray[np.float32], point: WeightPoint, config: QuantizationConfig, preset: EstimatorPreset
) -> Range:
    """Return the symmetric range of weights, shaped to broadcast against them (one value an output channel)."""
    axes = tuple(axis for axis in range(value.ndim) if axis not in point.channel_axes)
    magnitude = np.abs(value).astype(np.float64)
    if preset == "default":
        statistic = magnitude.max(axis=axes, keepdims=True)
    else:
        statistic = np.quantile(magnitude, 1.0 - DEFAULT_OUTLIER_PROB, axis=axes, keepdims=True)
    high = symmetric_high(statistic)
    return Range((-high).astype(np.float32), high.astype(np.float32), config.levels(weights=True))


def _activation_range(
    point: ActivationPoint, config: QuantizationConfig, preset: EstimatorPreset, statistics: ActivationStatistics
) -> Range:
    per_channel = config.granularity == "perchannel"
    lowest = statistics[Statistic(point.key, "min", per_channel=False)].min()
    largest = statistics[Statistic(point.key, _max_type(preset), per_channel)]
    high = symmetric_high(largest.max(axis=0) if per_channel else largest.mean(axis=0))
    levels = config.levels(weights=False)
    low = symmetric_low(high, levels, negative=bool(lowest < 0))
    return Range(low.astype(np.float32), high.astype(np.float32), levels)


def _max_type(preset: EstimatorPreset) -> StatisticType:
    return "abs_max" if preset == "default" else "abs_quantile"
