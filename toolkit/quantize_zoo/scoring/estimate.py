"""A measured figure is an ``Estimate``: value, 95 % interval, unit and number of observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval (``low`` and ``high`` are None where none can be given)."""

    value: float
    low: float | None
    high: float | None
    unit: str
    samples: int

    @property
    def half_width(self) -> float:
        """Half of the interval's width, relative to the value; infinite without an interval."""
        if self.low is None or self.high is None or self.value == 0:
            return float("inf")
        return (self.high - self.low) / 2 / abs(self.value)


def median_estimate(values: NDArray[np.float64], unit: str) -> Estimate:
    """Estimate the median from independent observations.

    The interval is the sign test's: order statistics at binomial quantiles, free of any assumption on the distribution
    (Conover, Practical Nonparametric Statistics, section 3.2).
    """
    ordered = np.sort(values)
    count = len(ordered)
    below = int(stats.binom.ppf((1 - CONFIDENCE) / 2, count, 0.5)) - 1
    bounded = below >= 0
    return Estimate(
        value=float(np.median(ordered)),
        low=float(ordered[below]) if bounded else None,
        high=float(ordered[count - 1 - below]) if bounded else None,
        unit=unit,
        samples=count,
    )


def mean_estimate(value: float, per_sample: NDArray[np.float64] | None) -> Estimate:
    """Estimate a metric that is the mean of per-sample values.

    Wilson's interval where all values are 0 or 1, else the bootstrap's (BCa). No interval where the metric is not the
    mean of its per-sample values.
    """
    if per_sample is None or len(per_sample) < 2 or not np.isclose(per_sample.mean(), value, rtol=1e-9, atol=1e-9):
        return Estimate(value, None, None, "", 0 if per_sample is None else len(per_sample))
    count = len(per_sample)
    if np.isin(per_sample, (0.0, 1.0)).all():
        interval = stats.binomtest(int(per_sample.sum()), count).proportion_ci(CONFIDENCE, method="wilson")
        return Estimate(value, float(interval.low), float(interval.high), "", count)
    if np.ptp(per_sample) == 0:
        return Estimate(value, value, value, "", count)
    result = stats.bootstrap((per_sample,), np.mean, confidence_level=CONFIDENCE, rng=np.random.default_rng(0))
    return Estimate(value, float(result.confidence_interval.low), float(result.confidence_interval.high), "", count)
