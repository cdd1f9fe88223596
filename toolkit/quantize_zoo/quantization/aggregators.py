"""From one value a sample to one value: the aggregators of POT."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.config import Aggregator

Values = NDArray[np.float64]
_KEPT = (0.01, 0.99)  # the quantiles between which *_no_outliers keeps values


def aggregate(values: Values, aggregator: Aggregator) -> Values:
    """Aggregate (samples, channels) over the samples to (channels,)."""
    return _AGGREGATORS[aggregator](values)


def hodges_lehmann(values: Values) -> Values:
    """Return half the median of the sums of all pairs of different samples; the value itself for a single sample."""
    if len(values) == 1:
        return np.asarray(values[0])
    first, second = np.triu_indices(len(values), k=1)
    return np.array([np.median(column[first] + column[second]) / 2 for column in values.T])


def _without_outliers(values: Values) -> Values:
    """Return the values with those outside the two quantiles masked by NaN, for each channel by itself.

    Of one or two different values none would be left: then all are kept.
    """
    low, high = np.quantile(values, _KEPT, axis=0)
    kept = (values >= low) & (values <= high)
    return np.where(kept | ~kept.any(axis=0), values, np.nan)


_AGGREGATORS: dict[Aggregator, Callable[[Values], Values]] = {
    "batch_mean": lambda values: values.mean(axis=0),
    "mean": lambda values: values.mean(axis=0),
    "max": lambda values: values.max(axis=0),
    "min": lambda values: values.min(axis=0),
    "median": lambda values: np.median(values, axis=0),
    "mean_no_outliers": lambda values: np.nanmean(_without_outliers(values), axis=0),
    "median_no_outliers": lambda values: np.nanmedian(_without_outliers(values), axis=0),
    "hl_estimator": hodges_lehmann,
}
