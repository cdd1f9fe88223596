"""Range estimators: how the borders of a range follow from the values of a tensor. Presets and overrides are POT's."""

from __future__ import annotations

from dataclasses import dataclass

from quantize_zoo.config import (
    Aggregator,
    EstimatorPreset,
    MaxParams,
    MinParams,
    QuantizationConfig,
    RangeEstimatorParams,
    StatisticType,
)
from quantize_zoo.config.compression import DEFAULT_OUTLIER_PROB

QUANTILE_TYPES = frozenset({"quantile", "abs_quantile"})
PRESETS: tuple[EstimatorPreset, ...] = ("default", "quantile")


@dataclass(frozen=True)
class Border:
    """How one border is estimated; the aggregator is None for weights, the probability for all but quantiles."""

    type: StatisticType
    aggregator: Aggregator | None = None
    outlier_prob: float | None = None
    clipping_value: float | None = None

    def __str__(self) -> str:
        parts = [self.type, self.aggregator, None if self.outlier_prob is None else f"{self.outlier_prob:g}"]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class RangeEstimator:
    """Both borders; symmetric weights have no lower one of their own."""

    min: Border | None
    max: Border

    def __str__(self) -> str:
        return str(self.max) if self.min is None else f"{self.min} .. {self.max}"


def preset_estimator(config: QuantizationConfig, preset: EstimatorPreset, *, weights: bool) -> RangeEstimator:
    """Return POT's preset for this kind of tensor."""
    symmetric = config.mode == "symmetric"
    low: StatisticType = "quantile" if preset == "quantile" and not symmetric else "min"
    high: StatisticType = "quantile" if preset == "quantile" else "max"
    if symmetric:
        high = "abs_quantile" if preset == "quantile" else "abs_max"
    if weights:
        return RangeEstimator(None if symmetric else border(low), border(high))
    per_tensor = config.granularity == "pertensor"
    lower: Aggregator = "mean" if per_tensor and not symmetric else "min"
    return RangeEstimator(border(low, lower), border(high, "mean" if per_tensor else "max"))


def border(
    kind: StatisticType,
    aggregator: Aggregator | None = None,
    outlier_prob: float | None = None,
    clipping_value: float | None = None,
) -> Border:
    """Return a border whose probability is set exactly where its type has one."""
    probability = (outlier_prob or DEFAULT_OUTLIER_PROB) if kind in QUANTILE_TYPES else None
    return Border(kind, aggregator, probability, clipping_value)


def configured_estimator(config: QuantizationConfig, params: RangeEstimatorParams, *, weights: bool) -> RangeEstimator:
    """Return the preset with what the parameters change of it."""
    preset = preset_estimator(config, params.preset, weights=weights)
    low = None if preset.min is None else _changed(preset.min, params.min)
    return RangeEstimator(low, _changed(preset.max, params.max))


def moved_to(estimator: RangeEstimator, old: QuantizationConfig, new: QuantizationConfig) -> RangeEstimator:
    """Return the estimator for another configuration of the same activations.

    A preset stays that preset; anything else keeps its borders.
    """
    for preset in PRESETS:
        if estimator == preset_estimator(old, preset, weights=False):
            return preset_estimator(new, preset, weights=False)
    return estimator


def _changed(preset: Border, params: MinParams | MaxParams) -> Border:
    return border(
        params.type or preset.type,
        params.aggregator or preset.aggregator,
        params.outlier_prob or preset.outlier_prob,
        params.clipping_value,
    )
