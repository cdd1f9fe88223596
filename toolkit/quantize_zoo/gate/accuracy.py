"""Did the candidate lose accuracy? Paired tests on the same samples, each for what the metric is made of.

Right and wrong answers: McNemar's exact test. Other values of single samples: a permutation test (random signs of the
differences). A metric of the whole dataset: the bootstrap over samples, whose distribution the caller brings. All are
one-sided, against "the candidate is no worse".

McNemar's test sees only the few answers that changed: of a model that really lost 1.5 % on 1,000 samples it finds less
than half at a strict level. So classifiers are also compared by the score that they give the right class, with
Student's paired test against "its mean has not fallen by more than half the margin"; either test makes a loss beyond
the margin a regression, each at half the level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from quantize_zoo.scoring import Estimate, paired_loss

AccuracyStatus = Literal["identical", "changed", "improved", "regressed", "inconclusive"]
_SEED = 0
_MOST_PERMUTATIONS = 99_999
_FEWEST_FOR_STUDENT = 30

Values = NDArray[np.float64]


@dataclass(frozen=True)
class AccuracyVerdict:
    """``loss`` is relative to the baseline's metric, with its 95 % interval; ``p_value`` is that of a loss."""

    status: AccuracyStatus
    loss: Estimate
    margin: float
    level: float
    p_value: float | None
    test: str


def judge_accuracy(
    baseline: tuple[float, Values | None],
    candidate: tuple[float, Values | None],
    *,
    identical: bool,
    higher_is_better: bool,
    margin: float,
    level: float,
    resampled: Values | None = None,
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
        resampled: for a metric without values of single samples, its difference candidate - baseline on resampled
            datasets.
        confidences: of a classifier the scores of the right class, baseline's and candidate's (samples,) each.

    """
    sign = 1.0 if higher_is_better else -1.0
    loss = paired_loss(baseline[0], candidate[0], baseline[1], candidate[1], higher_is_better=higher_is_better)
    if identical:
        return AccuracyVerdict("identical", loss, margin, level, None, "every output is the same")
    if baseline[1] is not None and candidate[1] is not None:
        worse, better, test = _paired(sign * (baseline[1] - candidate[1]), level)
        if confidences is not None:
            surer = 2 * _less_confident(*confidences, margin / 2)
            if surer < 2 * worse:
                test = f"{test}; score of the right class, Student's paired test"
            worse = min(1.0, 2 * worse, surer)
    elif resampled is not None:
        losses = -sign * resampled / abs(baseline[0])
        worse, better, test = _bootstrap(losses)
        low, high = np.quantile(losses, [0.025, 0.975])
        loss = Estimate(loss.value, float(low), float(high), "", len(losses))
    else:
        status: AccuracyStatus = "regressed" if loss.value > margin else "changed"
        return AccuracyVerdict(status, loss, margin, level, None, "no values of single samples: the metrics alone")
    if loss.value > margin:
        return AccuracyVerdict("regressed" if worse <= level else "inconclusive", loss, margin, level, worse, test)
    improved = loss.value < -margin and better <= level
    return AccuracyVerdict("improved" if improved else "changed", loss, margin, level, worse, test)


def _paired(losses: Values, level: float) -> tuple[float, float, str]:
    """Return the p-values of a loss and of a gain, and the test's name."""
    if np.isin(losses, (-1.0, 0.0, 1.0)).all():
        lost, won = int((losses > 0).sum()), int((losses < 0).sum())
        if lost + won == 0:
            return 1.0, 1.0, "McNemar, exact"
        worse, better = (
            float(stats.binomtest(lost, lost + won, 0.5, alternative=side).pvalue) for side in ("greater", "less")
        )
        return worse, better, f"McNemar, exact: {lost} lost, {won} won"
    count = min(_MOST_PERMUTATIONS, int(np.ceil(20 / level)))
    found = stats.permutation_test(
        (losses,),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=count,
        batch=1000,
        vectorized=True,
        rng=np.random.default_rng(_SEED),
    )
    worse = float(found.pvalue)
    return worse, 1 - worse, f"permutation of signs, {count} times"


def _less_confident(baseline: Values, candidate: Values, margin: float) -> float:
    """Return the p-value of a mean fall of the right class's score by more than the margin."""
    falls = baseline - candidate
    if len(falls) < _FEWEST_FOR_STUDENT or np.ptp(falls) == 0:
        return 1.0
    allowed = margin * abs(float(baseline.mean()))
    return float(stats.ttest_1samp(falls, allowed, alternative="greater").pvalue)


def _bootstrap(losses: Values) -> tuple[float, float, str]:
    """P-values by the normal approximation: a few hundred resamples cannot show a chance of one in ten thousand."""
    deviation = float(np.std(losses, ddof=1))
    if deviation == 0:
        level = float(losses[0])
        return (0.0, 1.0, "bootstrap") if level > 0 else (1.0, 0.0 if level < 0 else 1.0, "bootstrap")
    z = float(np.mean(losses)) / deviation
    return float(stats.norm.sf(z)), float(stats.norm.cdf(z)), f"bootstrap over samples, {len(losses)} times"
