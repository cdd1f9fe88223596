"""The jackknife of a metric that only a whole dataset has (mAP, mean IoU): its value without each group of samples.

Leaving samples out asks nothing of a metric. Drawing them with replacement does: whatever knows a sample by its
identifier, as the checker's mAP does, takes two copies for one sample with twice the objects. The replicates of two
models on the same groups tell how certain their difference is, so they are kept with a baseline's answers, whose
predictions are not.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from quantize_zoo.scoring.estimate import CONFIDENCE
from quantize_zoo.scoring.figure import Estimate

MOST_GROUPS = 50
# The groups of a dataset are the same for all models on all days, so that their replicates are pairs.
_SEED = 0


@dataclass(frozen=True)
class Replicates:
    """``values`` (groups,) are the metric without each group, ``sizes`` (groups,) how many samples that has."""

    values: NDArray[np.float64]
    sizes: NDArray[np.int64]

    @property
    def samples(self) -> int:
        """The samples of all groups."""
        return int(self.sizes.sum())


def groups_of(units: Sequence[Hashable], most: int = MOST_GROUPS) -> list[NDArray[np.int64]]:
    """Divide samples into groups of about as many units: of single samples, or of sequences, which stay whole.

    Args:
        units: of each sample its name, or that of the sequence that it is a step of; the order does not matter.
        most: how many groups there may be.

    """
    names = sorted(set(units), key=str)
    order = np.random.default_rng(_SEED).permutation(len(names))
    group = {names[position]: rank % most for rank, position in enumerate(order)}
    of_sample = np.array([group[unit] for unit in units], dtype=np.int64)
    return [np.flatnonzero(of_sample == number) for number in range(min(most, len(names)))]


def replicate(metric_without: Callable[[NDArray[np.int64]], float], units: Sequence[Hashable]) -> Replicates | None:
    """Compute the metric without each group; None where there are no two groups, or it is no number without one.

    Args:
        metric_without: takes the indices of all other samples.
        units: see ``groups_of``.

    """
    groups = groups_of(units)
    if len(groups) < 2:
        return None
    return replicates_of([metric_without(others_than(group, len(units))) for group in groups], groups)


def replicates_of(values: Sequence[float], groups: Sequence[NDArray[np.int64]]) -> Replicates | None:
    """Return the values that a metric has without each group; None as ``replicate``."""
    if len(groups) < 2 or not np.isfinite(values).all():
        return None
    return Replicates(np.array(values), np.array([len(group) for group in groups], dtype=np.int64))


def others_than(group: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the indices of all samples but a group's."""
    return np.setdiff1d(np.arange(count), group)


def replicated_difference(
    first: float, second: float, of_first: Replicates, of_second: Replicates
) -> tuple[float, float, int]:
    """Return first - second of a metric, its standard deviation and the degrees of freedom of that.

    The delete-m jackknife for groups of unequal size (Busing, Meijer and van der Leeden, Statistics and Computing 9,
    1999).
    """
    difference, without = first - second, of_first.values - of_second.values
    share = of_first.samples / of_first.sizes
    pseudo = share * difference - (share - 1) * without
    center = len(without) * difference - float(np.sum((1 - 1 / share) * without))
    variance = float(np.mean((pseudo - center) ** 2 / (share - 1)))
    return difference, float(np.sqrt(variance)), len(without) - 1


def replicated_loss(
    first: float, second: float, of_first: Replicates, of_second: Replicates, *, higher_is_better: bool
) -> Estimate:
    """Return the relative loss of the second, with Student's interval of the jackknife."""
    difference, deviation, degrees = replicated_difference(first, second, of_first, of_second)
    value = (1.0 if higher_is_better else -1.0) * difference / abs(first)
    half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * deviation / abs(first)
    return Estimate(value, value - half, value + half, "", of_first.samples)
