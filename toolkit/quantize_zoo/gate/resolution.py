"""What a cell's samples can show: the smallest loss of accuracy that its gate would find, before there is any.

How much two models of a cell differ from sample to sample is taken from FP32 and INT8. A loss counts as found where 95
of 100 datasets of that size would show it: beyond the margin, and significant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import scipy
from numpy.typing import NDArray

from quantize_zoo.gate.significance import FEWEST_FOR_STUDENT
from quantize_zoo.scoring import Answers, replicated_difference

WANTED = 1.5  # times the margin: the loss that a gate should find
_FOUND = NormalDist().inv_cdf(0.97)  # aimed at, since the spread is itself an estimate
_MOST_TIMES = 1e6  # as many samples


@dataclass(frozen=True)
class Resolution:
    """``smallest`` loss (a share of the metric) that is found with so many samples; ``needed`` find 1.5 margins."""

    samples: int
    smallest: float
    needed: int
    margin: float

    @property
    def suffices(self) -> bool:
        """Whether the samples show a loss of 1.5 times the margin."""
        return self.smallest <= WANTED * self.margin


def resolve(fp32: Answers, int8: Answers, margin: float, level: float) -> Resolution | None:
    """Return what a check at this level resolves; None where nothing is known of how the models differ."""
    metric = int8.metrics[int8.metric]
    if metric == 0 or not math.isfinite(metric):
        return None
    fp32 = fp32.ordered_as(int8)
    smallest = _smallest(fp32, int8, abs(metric), margin, level)
    if smallest is None:
        return None
    count = len(int8.identifiers)
    times = 1.0
    if smallest(1.0) > WANTED * margin:
        if margin == 0 or smallest(_MOST_TIMES) > WANTED * margin:
            return Resolution(count, smallest(1.0), 0, margin)
        times = float(scipy.optimize.brentq(lambda each: smallest(each) - WANTED * margin, 1.0, _MOST_TIMES))
    return Resolution(count, smallest(1.0), math.ceil(count * times), margin)


def _smallest(
    fp32: Answers, int8: Answers, metric: float, margin: float, level: float
) -> Callable[[float], float] | None:
    """Return the smallest loss that is found with so many times the samples."""
    count = len(int8.identifiers)
    if fp32.values is None or int8.values is None:
        if fp32.replicates is None or int8.replicates is None:
            return None
        pair = fp32.metrics[int8.metric], int8.metrics[int8.metric]
        _, deviation, degrees = replicated_difference(*pair, fp32.replicates, int8.replicates)
        wanted = float(scipy.stats.t.isf(level, degrees))
        # The deviation by which a difference is divided is one of few groups, and varies from dataset to dataset.
        return _by_deviation(deviation / metric, margin, wanted, lambda _: math.sqrt(1 + wanted**2 / (2 * degrees)))
    differences = fp32.values - int8.values
    if not np.isin([fp32.values, int8.values], (0.0, 1.0)).all():
        spread = float(differences.std(ddof=1)) / math.sqrt(count) / metric if count > 1 else 0.0
        wanted, excess = float(scipy.stats.norm.isf(level)), float(scipy.stats.kurtosis(differences)) + 2
        # So does that of samples of which a few differ by much more than others.
        return _by_deviation(
            spread, margin, wanted, lambda times: math.sqrt(1 + wanted**2 * max(0.0, excess) / (4 * count * times))
        )
    falls = None
    if fp32.confidences is not None and int8.confidences is not None and count >= FEWEST_FOR_STUDENT:
        falls = _spread_of_scores(fp32.confidences, int8.confidences)
    return _of_answers(count, float(np.mean(differences != 0)), metric, margin, level, falls)


def _spread_of_scores(fp32: NDArray[np.float64], int8: NDArray[np.float64]) -> float:
    return float((fp32 - int8).std(ddof=1)) / math.sqrt(len(fp32)) / abs(float(int8.mean()))


def _by_deviation(
    deviation: float, margin: float, wanted: float, varies: Callable[[float], float]
) -> Callable[[float], float] | None:
    """Take a loss whose standard deviation is known; models that do not differ tell nothing of it.

    Its score, which is to reach ``wanted``, has a standard deviation of its own, ``varies``, by how many times the
    samples there are.
    """
    if deviation == 0:
        return None

    def smallest(times: float) -> float:
        significant = (wanted + _FOUND * varies(times)) * deviation
        return float(max(margin + _FOUND * deviation / times**0.5, significant / times**0.5))

    return smallest


def _of_answers(
    count: int, changed: float, metric: float, margin: float, level: float, scores: float | None
) -> Callable[[float], float]:
    """Take right and wrong answers, of which a share changes either way and some are lost on top.

    ``scores`` is the relative standard deviation of the mean fall of the right class's score, if there is one; it is
    taken to fall by the share that is lost.
    """
    wanted = float(scipy.stats.norm.isf(level if scores is None else level / 2))

    def smallest(times: float) -> float:
        samples = count * times

        def missing(loss: float) -> float:
            """Below zero where so large a loss is found."""
            deviation = math.sqrt((changed + loss * metric) / samples) / metric
            by_answers = (wanted + _FOUND) * deviation
            by_scores = math.inf if scores is None else margin / 2 + (wanted + _FOUND) * scores / times**0.5
            return max(margin + _FOUND * deviation, min(by_answers, by_scores)) - loss

        top = 1.0
        while missing(top) > 0:
            top *= 2
        return float(scipy.optimize.brentq(missing, 1e-12, top)) if missing(1e-12) > 0 else 1e-12

    return smallest
