"""The vocabulary of range estimators, spelled as POT and NNCF spell it, and how a configuration file overrides them."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from quantize_zoo.config.numbers import Bits, Border, OutlierProbability
from quantize_zoo.config.strict import Strict

StatisticType = Literal["min", "max", "abs_max", "quantile", "abs_quantile"]
MinType = Literal["min", "quantile"]
MaxType = Literal["max", "abs_max", "quantile", "abs_quantile"]
# With samples of batch size 1, batch_mean is mean; it is here so that POT's files and spaces keep their meaning.
Aggregator = Literal[
    "batch_mean", "mean", "max", "min", "median", "mean_no_outliers", "median_no_outliers", "hl_estimator"
]
EstimatorPreset = Literal["default", "quantile"]


class MinParams(Strict):
    """What is said about the lower border; what is not said is the preset's."""

    type: MinType | None = None
    aggregator: Aggregator | None = None
    outlier_prob: OutlierProbability | None = None
    clipping_value: Border | None = None


class MaxParams(Strict):
    """What is said about the upper border; what is not said is the preset's."""

    type: MaxType | None = None
    aggregator: Aggregator | None = None
    outlier_prob: OutlierProbability | None = None
    clipping_value: Border | None = None


class RangeEstimatorParams(Strict):
    """A preset, or its borders changed."""

    preset: EstimatorPreset = "default"
    min: MinParams = MinParams()
    max: MaxParams = MaxParams()


class TensorParams(Strict):
    """Overrides of the base option for all activations, or all weights."""

    bits: Bits | None = None
    mode: Literal["symmetric", "asymmetric"] | None = None
    granularity: Literal["pertensor", "perchannel"] | None = None
    range_estimator: RangeEstimatorParams | None = None


class WeightsParams(TensorParams):
    """Overrides for weights, which have no samples to aggregate over."""

    @model_validator(mode="after")
    def _no_aggregator(self) -> WeightsParams:
        estimator = self.range_estimator
        if estimator and (estimator.min.aggregator or estimator.max.aggregator):
            raise ValueError("weights have no aggregator: there is one tensor, not one for each sample")
        return self
