"""What the survey of a cell's operations predicted of its trials, beside what they turned out to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from quantize_zoo.search import Frontier
from quantize_zoo.store import CellRecord

_FEWEST = 5  # trials that a correlation is told of


@dataclass(frozen=True)
class Prediction:
    """A trial's predicted and measured FP32 / INT8 time, its predicted change of the output and its measured loss.

    Speeds are None where the device is not here or tells no times of layers.
    """

    trial: int
    predicted_speedup: float | None
    speedup: float | None
    output_change: float
    accuracy_loss: float


@dataclass(frozen=True)
class Predictions:
    """All of a cell's, and the rank correlations (Spearman's) of predicted and measured; None of too few trials."""

    trials: tuple[Prediction, ...]
    gain_correlation: float | None
    loss_correlation: float | None


def predictions(cell: CellRecord) -> Predictions | None:
    """Return what was predicted of the trials that were measured, each structure and model once; None unsurveyed.

    Of those with compressed weights nothing was, and of one that quantizes nothing there is nothing to predict.
    """
    survey = None if cell.reference is None else cell.reference.survey
    if survey is None:
        return None
    frontier = Frontier(survey.operations, members=survey.members)
    found = []
    for trial in cell.trials:
        if trial.score is None or trial.reused_from is not None:
            continue
        if trial.option.has_compressed_weights or trial.option.is_fp32:
            continue
        quantized = frontier.mask([name for name, choice in trial.option.operations.items() if choice.quantize])
        told = None if survey.speedup is None else frontier.speedup(quantized)
        measured, lost = trial.score.latency_ratio, trial.score.accuracy_loss
        found.append(Prediction(trial.number, told, measured, frontier.change(quantized), lost))
    gains = [(each.predicted_speedup, each.speedup) for each in found if each.predicted_speedup and each.speedup]
    losses = [(each.output_change, each.accuracy_loss) for each in found]
    return Predictions(tuple(found), _correlation(gains), _correlation(losses))


def _correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    columns = np.array(pairs, dtype=float).reshape(-1, 2)
    columns = columns[np.isfinite(columns).all(axis=1)]
    if len(columns) < _FEWEST or (np.ptp(columns, axis=0) == 0).any():
        return None
    return float(scipy.stats.spearmanr(columns[:, 0], columns[:, 1]).statistic)
