"""Is the candidate slower than the baseline? A sequential paired test over rounds of measuring in turns.

A round compiles both sides anew, since which memory a compilation gets is part of the noise, and lets them take turns
in short blocks. Its result is one number: the median over the blocks of log(candidate / baseline). Rounds are
independent observations of the same quantity, and their mean has Student's interval.

The interval is looked at several times and each look has its share of the level (Bonferroni), so that looking often
costs nothing. An alarm needs two measurements, each in processes of its own. The first has the check's whole level: the
two share files, load order and machine, so what makes one wrong may make the other wrong too, and nothing is claimed of
both together. The second is for what no level knows of, such as a program that disturbed one side throughout the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy

from quantize_zoo.scoring import Estimate

LatencyStatus = Literal["pass", "improved", "regressed", "inconclusive"]
# Rounds after which the interval is looked at.
LOOKS = (5, 7, 10, 14, 20, 28, 40)
Measure = Callable[[], Iterator[float]]


@dataclass(frozen=True)
class LatencyVerdict:
    """``ratio`` is candidate time / baseline time, with the interval that decided; of memory likewise.

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
    lenient = math.sqrt(level)
    first = _look_until_clear(measure(), margin, level, lenient)
    if first.status != "regressed":
        return first
    second = _look_until_clear(measure(), margin, lenient, lenient)
    status = "pass" if second.status == "improved" else second.status
    confirmed = status == "regressed"
    return replace(second, status=status, level=level, confirmed=confirmed)


def _look_until_clear(rounds: Iterator[float], margin: float, level: float, lenient: float) -> LatencyVerdict:
    """Return the first clear verdict of one measurement: an alarm at the level, a pass at a lenient one.

    What a pass lets through the next night sees again, and hardly any night is more than that, so it is to be quick.
    """
    limit, seen = math.log1p(margin), []
    mean = half = 0.0
    for observed in rounds:
        seen.append(observed)
        if len(seen) not in LOOKS:
            continue
        mean, deviation = float(np.mean(seen)), float(scipy.stats.sem(seen))
        share = (level if mean > limit else lenient) / len(LOOKS)
        half = float(scipy.stats.t.isf(share, len(seen) - 1)) * deviation
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
