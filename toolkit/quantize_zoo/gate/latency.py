"""Is the candidate slower than the baseline? A sequential paired test over rounds of measuring in turns.

A round compiles both sides anew, since which memory a compilation gets is part of the noise, and lets them take turns
in short blocks. Its result is one number: the median over the blocks of log(candidate / baseline). Rounds are
independent observations of the same quantity, and their mean has Student's interval.

The interval is looked at several times and each look has its share of the level (Bonferroni), so that looking often
costs nothing. An alarm needs two measurements, each in processes of its own, that both say so: at the level a each, the
chance that both are wrong is a squared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from quantize_zoo.scoring import Estimate

LatencyStatus = Literal["pass", "improved", "regressed", "inconclusive"]
# Rounds after which the interval is looked at.
LOOKS = (5, 7, 10, 14, 20, 28)
Measure = Callable[[], Iterator[float]]


@dataclass(frozen=True)
class LatencyVerdict:
    """``ratio`` is candidate time / baseline time, with the interval that decided.

    ``more_rounds`` is an estimate of how many more would decide. ``confirmed`` tells whether there was a
    second measurement that agreed.
    """

    status: LatencyStatus
    ratio: Estimate
    margin: float
    level: float
    confirmed: bool | None = None
    more_rounds: int | None = None


def judge_latency(measure: Measure, margin: float, level: float) -> LatencyVerdict:
    """Measure until it is clear whether the candidate is slower by more than the margin.

    Args:
        measure: starts a measurement in new processes and yields log(candidate / baseline) of one round after another.
        margin: the increase that is allowed, as a share of the baseline's time.
        level: the chance of a false alarm that this check may have.

    """
    each = math.sqrt(level)
    first = _look_until_clear(measure(), margin, each)
    if first.status != "regressed":
        return first
    second = _look_until_clear(measure(), margin, each)
    if second.status == "regressed":
        return LatencyVerdict("regressed", second.ratio, margin, level, confirmed=True)
    status: LatencyStatus = "pass" if second.status in ("pass", "improved") else "inconclusive"
    return LatencyVerdict(status, second.ratio, margin, level, confirmed=False, more_rounds=second.more_rounds)


def _look_until_clear(rounds: Iterator[float], margin: float, level: float) -> LatencyVerdict:
    """Return the first clear verdict of one measurement."""
    limit, seen = math.log1p(margin), []
    quantile = 1 - level / len(LOOKS)
    mean = half = 0.0
    for observed in rounds:
        seen.append(observed)
        if len(seen) not in LOOKS:
            continue
        mean = float(np.mean(seen))
        half = float(stats.t.ppf(quantile, len(seen) - 1) * stats.sem(seen))
        if mean - half > limit:
            return LatencyVerdict("regressed", _ratio(seen, mean, half), margin, level)
        if mean + half < limit:
            faster = mean + half < 0 and mean < -limit
            return LatencyVerdict("improved" if faster else "pass", _ratio(seen, mean, half), margin, level)
        if len(seen) == LOOKS[-1]:
            break
    distance = max(abs(mean - limit), 1e-4)
    wanted = math.ceil(len(seen) * (half / distance) ** 2)
    return LatencyVerdict(
        "inconclusive", _ratio(seen, mean, half), margin, level, more_rounds=max(1, wanted - len(seen))
    )


def _ratio(seen: list[float], mean: float, half: float) -> Estimate:
    return Estimate(math.exp(mean), math.exp(mean - half), math.exp(mean + half), "x", len(seen))
