"""What the accuracy checker evaluates a metric to, as the one number that is tuned and reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


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
    if len(names) != values.size:
        names = [str(index) for index in range(values.size)]
    return {f"{name}@{key}": float(each) for key, each in zip(names, values, strict=True)}


def _is_mean(key: str) -> bool:
    """Tell whether a value is a mean: of a metric, of one of its outputs (``mel@mean``), or of an interval."""
    return key == "mean" or key.endswith("@mean") or key.startswith("mean:")
