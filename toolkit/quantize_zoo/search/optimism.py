"""By how much the chosen model's loss looks better than it is, since it was chosen on the samples that it is told of.

Of many candidates with like losses the one is taken whose samples were kind to it. How much that is worth follows from
how uncertain the losses are, how far apart they lie, and how the choice is made: the losses are taken for the truth,
once they were shrunk to what is more than noise (James and Stein, 1961), drawn anew with their errors, and one of them
is chosen as the search does (a parametric bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, chapter
17). Candidates err on the same samples and so alike, which is left out: what is predicted is rather too much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

from quantize_zoo.config import OptimizerParams
from quantize_zoo.search.objective import is_allowed
from quantize_zoo.search.trial import Trial, half_width

_DRAWS = 1000
_FEWEST = 2  # that there is a choice among
_MOST = 500  # candidates: comparing all with each other takes their square


@dataclass(frozen=True)
class Optimism:
    """``loss`` is the share of FP32's metric by which the choice among so many candidates flatters the chosen one."""

    loss: float
    candidates: int


def predicted_optimism(trials: Sequence[Trial], params: OptimizerParams, seed: int = 0) -> Optimism | None:
    """Return what choosing the best of the trials is predicted to flatter it by; None where there is no choice.

    Only those count that may be within the target by their interval, and are allowed else: of these the fastest is
    chosen, or the one of least loss of those that are not measurably slower. Of more than 500 the fastest ones count.
    """
    allowed = params.accuracy_loss / 100
    found = []
    for trial in trials:
        loss = trial.measurement.accuracy_loss if trial.measurement else None
        if trial.reused_from is None and trial.score and loss and loss.low is not None and loss.high is not None:
            may_be_chosen = is_allowed(replace(trial.score, accuracy_loss=loss.low), params)
            found.append((trial, may_be_chosen, loss.value, loss.low, loss.high))
    possible = [each for each in found if each[1]]
    if len(possible) < _FEWEST:
        return None
    possible = sorted(possible, key=lambda each: -each[0].score.speed if each[0].score else 0.0)[:_MOST]
    values, lows, highs = (np.array(column) for column in list(zip(*possible, strict=True))[2:])
    errors = (highs - lows) / 2 / scipy.stats.norm.isf(0.025)
    chosen = [each[0] for each in possible]
    speeds = np.array([trial.score.speed if trial.score else 0.0 for trial in chosen])
    widths = np.array([half_width(trial) for trial in chosen])
    near = speeds[:, None] - speeds <= np.hypot(widths[:, None], widths)  # not measurably slower than the first
    noise = errors * np.random.default_rng(seed).normal(size=(_DRAWS, len(chosen)))
    drawn = _shrunk(values, errors) + noise
    within = drawn <= allowed
    fastest = np.where(within, speeds, -np.inf).argmax(axis=1)
    rivals = np.where(within.any(axis=1, keepdims=True), within & near[fastest], True)
    taken = np.where(rivals, drawn, np.inf).argmin(axis=1)
    return Optimism(max(0.0, -float(noise[np.arange(_DRAWS), taken].mean())), len(chosen))


def _shrunk(values: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values nearer to their mean, by the share of their spread that is error."""
    spread = float(values.var(ddof=1)) if len(values) > 1 else 0.0
    kept = max(0.0, 1 - float(np.mean(errors**2)) / spread) if spread > 0 else 0.0
    return np.asarray(values.mean() + kept * (values - values.mean()))
