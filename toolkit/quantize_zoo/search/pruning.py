"""Ending hopeless trials early: a sequential paired test against what may be lost.

The trial's samples come in a random order, each with the FP32 model's value beside it. The test bets against the
hypothesis that the mean difference over all samples is within what is allowed: the capital of such a bettor is
a supermartingale if the hypothesis holds, so it ever reaches 1/alpha with probability alpha at most (Ville's
inequality), however often one looks. Betting without replacement: Waudby-Smith and Ramdas, "Estimating means of bounded
random variables by betting", JRSS B 2024, section 5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The chance that a trial is ended early that would have lost no more than is allowed on all samples.
ERROR_RATE = 0.01
# The capital is the mean of several bettors, each staking another share of what it may lose.
_STAKES = np.array([0.05, 0.1, 0.2, 0.4, 0.6, 0.8])
_ROUNDING = 1e-9


class SequentialTest:
    """Told the candidate's value of one sample after the other, tells whether the trial is hopeless.

    Args:
        reference: the FP32 model's values (samples,) in the same order, within 0..1; higher is better.
        allowed: how much the mean may fall.

    """

    def __init__(self, reference: NDArray[np.float64], allowed: float) -> None:
        # Differences lie in -1..1 and are moved to 0..1, where the hypothesis is: their sum is at most this.
        self._reference = reference
        self._allowed_sum = len(reference) * (allowed + 1) / 2
        self._seen = 0
        self._capital = np.ones(len(_STAKES))
        self._valid = True

    def is_hopeless(self, value: float) -> bool:
        """Take the next sample's value; after one outside 0..1 nothing is ended any more."""
        left = len(self._reference) - self._seen
        mean = self._allowed_sum / left
        moved = (self._reference[self._seen] - value + 1) / 2
        self._seen += 1
        self._allowed_sum -= moved
        self._valid = self._valid and 0 <= value <= 1
        if not self._valid:
            return False
        if self._allowed_sum < -_ROUNDING:  # whatever follows, more is lost
            return True
        if not 0 < mean < 1:
            return False
        self._capital *= 1 + _STAKES / mean * (moved - mean)
        return bool(self._capital.mean() >= 1 / ERROR_RATE)


def can_prune(reference: NDArray[np.float64] | None, value: float) -> bool:
    """Tell whether the metric is the mean of values within 0..1, which the test needs."""
    if reference is None or len(reference) < 2:
        return False
    inside = bool(((reference >= 0) & (reference <= 1)).all())
    return inside and bool(np.isclose(reference.mean(), value, rtol=1e-9, atol=1e-9))
