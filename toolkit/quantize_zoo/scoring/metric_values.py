"""What the accuracy checker evaluates a metric to, as the one number that is tuned and reported.

That is the metric's one number under its name, or one of its values under ``METRIC@VALUE``, as the checker prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def metric_of(tuned: str, metrics: Iterable[str]) -> str | None:
    """Return the metric that a tuned name means, itself or one of its values; None if there is no such."""
    owners = [each for each in metrics if tuned == each or tuned.startswith(f"{each}@")]
    return max(owners, key=len, default=None)


def values_of(name: str, value: Any, meta: Mapping[str, Any]) -> dict[str, float]:
    """Return a metric's one number by its name; where there is none, its values by the names that the checker prints.

    Of several named values the number is the one called mean, or the mean over those of several outputs or intervals;
    of a value for each class their mean, if the checker gives it.
    """
    values = np.asarray(value, dtype=np.float64).reshape(-1)
    names = [str(each) for each in meta.get("names") or ()]
    if values.size == 1:
        return {name: float(values[0])}
    if len(names) == values.size:
        means = [float(each) for key, each in zip(names, values, strict=True) if _is_mean(key)]
        if means:
            return {name: float(np.mean(means))}
    if values.size and meta.get("calculate_mean", True):
        return {name: float(values.mean())}
    return named_values(name, value, meta)


def named_values(name: str, value: Any, meta: Mapping[str, Any]) -> dict[str, float]:
    """Return all of a metric's values by the names that the checker prints, or by number where they have none."""
    values = np.asarray(value, dtype=np.float64).reshape(-1)
    names = [str(each) for each in meta.get("names") or ()]
    if len(names) != values.size:
        names = [str(index) for index in range(values.size)]
    return {f"{name}@{key}": float(each) for key, each in zip(names, values, strict=True)}


def is_higher_better(tuned: str, metric: str, meta: Mapping[str, Any]) -> bool:
    """Tell which way a metric, or a value of it, gets better; the checker says it of the metric or of its values."""
    of_values: Mapping[str, str] = meta.get("target_per_value") or {}
    value = tuned[len(metric) + 1 :].rpartition("@")[2]  # of several outputs OUTPUT@VALUE
    return bool(of_values.get(value, meta.get("target", "higher-better")) != "higher-worse")


def is_single(value: Any) -> bool:
    """Tell whether a sample's value is one number, or none; NumPy does not take what some metrics keep of a sample."""
    return value is None or np.isscalar(value) or (isinstance(value, np.ndarray) and value.ndim == 0)


def _is_mean(key: str) -> bool:
    """Tell whether a value is a mean: of a metric, of one of its outputs (``mel@mean``), or of an interval."""
    return key == "mean" or key.endswith("@mean") or key.startswith("mean:")
