"""Did the candidate lose accuracy? Paired tests on the same samples, each for what the metric is made of.

Right and wrong answers: McNemar's exact test. Other values of single samples: a permutation test (random signs of the
differences) and Student's, corrected for skewness; the weaker of the two counts. A metric of the whole dataset:
Student's test of the jackknife, whose replicates the caller brings. All are one-sided, against "the candidate is no
worse", and reach any level.

McNemar's test sees only the few answers that changed: of a model that really lost 1.5 % on 1,000 samples it finds less
than half at a strict level. So classifiers are also compared by the score that they give the right class, with
Student's paired test against "its mean has not fallen by more than half the margin"; either test makes a loss beyond
the margin a regression, each at half the level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from quantize_zoo.gate.significance import FEWEST_FOR_STUDENT, corrected_student, permutation_of_signs, sign_test
from quantize_zoo.scoring import Estimate, Replicates, paired_loss, replicated_difference, replicated_loss

AccuracyStatus = Literal["identical", "changed", "improved", "regressed", "inconclusive"]

Values = NDArray[np.float64]


@dataclass(frozen=True)
class AccuracyVerdict:
    """``loss`` is relative to the baseline's metric, with its 95 % interval; ``p_value`` is that of what was found.

    So of a loss its own, and of a gain its own. ``more_samples`` tells, where the samples do not decide, how many more
    would if the loss stayed as it is.
    """

    status: AccuracyStatus
    loss: Estimate
    margin: float
    level: float
    p_value: float | None
    test: str
    more_samples: int | None = None


@dataclass(frozen=True)
class _Found:
    """The p-value of a fall of the metric; ``scores`` are standard scores, of which one has to reach the level's."""

    p_value: float
    test: str
    scores: tuple[float, ...]
    samples: int
    degrees: float = math.inf  # of freedom of the scores' deviations


def judge_accuracy(
    baseline: tuple[float, Values | None],
    candidate: tuple[float, Values | None],
    *,
    identical: bool,
    higher_is_better: bool,
    margin: float,
    level: float,
    replicates: tuple[Replicates, Replicates] | None = None,
    confidences: tuple[Values, Values] | None = None,
) -> AccuracyVerdict:
    """Judge a candidate that answered the same samples as the baseline.

    A loss beyond the margin is a regression if the test says so too, and inconclusive otherwise.

    Args:
        baseline: the metric, and its value for each sample (samples,) where it has such.
        candidate: the same of the candidate.
        identical: every output was the same, bit by bit.
        higher_is_better: which way the metric gets better.
        margin: the loss that is allowed, relative.
        level: the chance of a false alarm that this check may have.
        replicates: for a metric without values of single samples, baseline's and candidate's jackknife replicates.
        confidences: of a classifier the scores of the right class, baseline's and candidate's (samples,) each.

    """
    sign = 1.0 if higher_is_better else -1.0
    loss = paired_loss(baseline[0], candidate[0], baseline[1], candidate[1], higher_is_better=higher_is_better)
    if identical:
        return AccuracyVerdict("identical", loss, margin, level, None, "every output is the same")
    gains = loss.value < 0
    if baseline[1] is not None and candidate[1] is not None:
        falls = sign * (baseline[1] - candidate[1])
        found = _paired(-falls if gains else falls, confidences, margin, gains=gains)
    elif replicates is not None:
        difference, deviation, degrees = replicated_difference(baseline[0], candidate[0], *replicates)
        found = _replicated(abs(difference), deviation, degrees, replicates[0].samples)
        loss = replicated_loss(baseline[0], candidate[0], *replicates, higher_is_better=higher_is_better)
    else:
        status: AccuracyStatus = "regressed" if loss.value > margin else "changed"
        return AccuracyVerdict(status, loss, margin, level, None, "no values of single samples: the metrics alone")
    surely = found.p_value <= level
    if loss.value > margin and not surely:
        more = _more_samples(found, level)
        return AccuracyVerdict("inconclusive", loss, margin, level, found.p_value, found.test, more)
    status = "changed"
    if surely and abs(loss.value) > margin:
        status = "improved" if gains else "regressed"
    return AccuracyVerdict(status, loss, margin, level, found.p_value, found.test)


def _paired(falls: Values, confidences: tuple[Values, Values] | None, margin: float, *, gains: bool) -> _Found:
    """Test values of single samples, and a classifier's scores of the right class; of gains, those of the baseline."""
    binary = bool(np.isin(falls, (-1.0, 0.0, 1.0)).all())
    if binary:
        changed = [int((falls > 0).sum()), int((falls < 0).sum())]
        lost, won = reversed(changed) if gains else changed
        p_value, test = sign_test(falls), f"McNemar, exact: {lost} lost, {won} won"
    else:
        p_value, test = permutation_of_signs(falls), "permutation of signs"
    length = float(np.linalg.norm(falls))
    score = float(falls.sum()) / length if length else 0.0
    if not binary and len(falls) >= FEWEST_FOR_STUDENT:
        corrected, its_score = corrected_student(falls)
        p_value, score = max(p_value, corrected), min(score, its_score)
        test = f"{test}, corrected for skewness"
    if confidences is None:
        return _Found(p_value, test, (score,), len(falls))
    before, after = reversed(confidences) if gains else confidences
    surer, its_score = _less_confident(before, after, margin / 2)
    if surer < p_value:
        test = f"{test}; score of the right class, Student's paired test"
    return _Found(min(1.0, 2 * p_value, 2 * surer), test, (score, its_score), len(falls))


def _less_confident(before: Values, after: Values, margin: float) -> tuple[float, float]:
    """Return the p-value and the standard score of a mean fall of the right class's score by more than the margin."""
    falls = before - after
    if np.ptp(falls) == 0:
        return 1.0, 0.0
    return corrected_student(falls - margin * abs(float(before.mean())))


def _replicated(difference: float, deviation: float, degrees: int, samples: int) -> _Found:
    """Test a metric of the whole dataset by its jackknife (Miller, "The jackknife: a review", Biometrika 61, 1974)."""
    if deviation == 0:
        return _Found(0.0 if difference > 0 else 1.0, "jackknife", (math.inf if difference > 0 else 0.0,), samples)
    score, test = difference / deviation, f"jackknife over {degrees + 1} groups of samples"
    return _Found(float(scipy.stats.t.sf(score, degrees)), test, (score,), samples, degrees)


def _more_samples(found: _Found, level: float) -> int | None:
    """Estimate how many more samples would make what was found significant; a standard score grows as their root."""
    score = max(found.scores)
    if score <= 0:
        return None
    wanted = float(scipy.stats.t.isf(level / len(found.scores), found.degrees)) / score
    return max(1, math.ceil(found.samples * (wanted**2 - 1)))
