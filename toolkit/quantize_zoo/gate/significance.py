"""P-values of paired differences that reach any level, however small the share of it is that a check of many gets.

All are one-sided, against "the differences are as likely below zero as above it", and small where they are above.
"""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import NDArray

MOST_ENUMERATED = 20  # differences whose signs are all tried
FEWEST_FOR_STUDENT = 30

Values = NDArray[np.float64]


def sign_test(differences: Values) -> float:
    """McNemar's exact test of answers that were lost (1) and won (-1)."""
    lost, won = int((differences > 0).sum()), int((differences < 0).sum())
    if lost + won == 0:
        return 1.0
    return float(scipy.stats.binomtest(lost, lost + won, 0.5, alternative="greater").pvalue)


def permutation_of_signs(differences: Values) -> float:
    """Return the chance that random signs give as large a sum: of all signs where they are few, else its saddlepoint.

    A thousand drawn permutations cannot show a chance of one in a million, and drawn ones are never below 1 / (their
    number + 1). The saddlepoint approximation has a small relative error however far out the sum is (Lugannani and
    Rice, Advances in Applied Probability 12, 1980; for permutations of signs Robinson, JRSS B 44, 1982).
    """
    sizes = np.abs(differences[differences != 0])
    if len(sizes) == 0:
        return 1.0
    sizes = sizes / sizes.max()
    total = float(np.sum(np.sign(differences[differences != 0]) * sizes))
    if len(sizes) <= MOST_ENUMERATED:
        return _enumerated(sizes, total)
    if total <= 0:
        return float(1 - _saddlepoint(sizes, -total)) if total < 0 else 0.5
    return _saddlepoint(sizes, total)


def corrected_student(differences: Values) -> tuple[float, float]:
    """Return the p-value of a mean above zero, and its standard score, whatever the skewness of the differences.

    Where a few samples gain what all others lose, a dataset without those few shows a loss of great significance:
    other tests of the mean raise up to fifty times as many false alarms as their level says at 100 samples. Student's
    statistic by Hall's transformation takes that away (JRSS B 54, 1992).
    """
    count, spread = len(differences), float(differences.std())
    if count < FEWEST_FOR_STUDENT or spread == 0:
        return 1.0, 0.0
    mean = float(differences.mean())
    skewness, ratio = float(np.mean((differences - mean) ** 3)) / spread**3, mean / spread
    bent = ratio + skewness * ratio**2 / 3 + skewness**2 * ratio**3 / 27 + skewness / (6 * count)
    score = math.sqrt(count) * bent
    return float(scipy.stats.t.sf(score, count - 1)), score


def _enumerated(sizes: Values, total: float) -> float:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums + size, sums - size])
    # Sums of the same terms in another order differ in their last bits.
    return float(np.mean(sums >= total - 1e-9 * sizes.sum()))


def _saddlepoint(sizes: Values, total: float) -> float:
    """Return P(sum of the sizes with random signs >= total) for a positive total; K(t) is the sum of log cosh(t x)."""
    fewest = 0.5 ** len(sizes)  # the chance of the largest sum
    step = _lattice(sizes)
    aimed = total - step / 2  # the continuity correction, of sums that are ``step`` apart
    if aimed <= 0:
        return 0.5
    if aimed >= (1 - 1e-12) * sizes.sum():
        return fewest
    top = 1.0
    while np.sum(sizes * np.tanh(top * sizes)) < aimed:
        top *= 2
    point = scipy.optimize.brentq(lambda t: float(np.sum(sizes * np.tanh(t * sizes)) - aimed), 0.0, top, xtol=1e-14)
    scaled = point * sizes
    cumulant = float(np.sum(np.logaddexp(scaled, -scaled) - math.log(2)))
    curvature = float(np.sum((sizes / np.cosh(np.minimum(scaled, 300.0))) ** 2))
    root = math.sqrt(max(0.0, 2 * (point * aimed - cumulant)))
    factor = 2 / step * math.sinh(min(point * step / 2, 300.0)) if step else point
    width = factor * math.sqrt(curvature)
    if root < 1e-3 or width == 0:
        return max(fewest, float(scipy.stats.norm.sf(root)))
    found = float(scipy.stats.norm.sf(root)) + float(scipy.stats.norm.pdf(root)) * (1 / width - 1 / root)
    return min(1.0, max(fewest, found))


def _lattice(sizes: Values) -> float:
    """Return how far apart sums are where all sizes are multiples of the smallest; 0 where they are not."""
    smallest = float(sizes.min())
    multiples = sizes / smallest
    return 2 * smallest if np.allclose(multiples, np.round(multiples), rtol=0, atol=1e-6) else 0.0
