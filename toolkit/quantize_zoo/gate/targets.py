"""The verdict on a cell: does its best model meet the accuracy and latency targets, and does INT8 pay at all?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantize_zoo.search import Trial, meets_accuracy
from quantize_zoo.store import CellRecord

VerdictStatus = Literal["met", "missed", "keep-fp32", "unavailable", "failed", "interrupted"]


@dataclass(frozen=True)
class Verdict:
    """A status, and why in words."""

    status: VerdictStatus
    reason: str


def judge(cell: CellRecord) -> Verdict:
    """Judge a cell by its best trial's accuracy and by the latency that was measured again after the search."""
    if cell.status == "unavailable" and cell.error is not None:
        return Verdict("unavailable", cell.error.what)
    if cell.status == "failed" and cell.error is not None:
        return Verdict("failed", cell.error.what)
    if cell.final is None:
        return Verdict("interrupted", f"{len(cell.trials)} trials were finished and stored")
    best = cell.trials[cell.final.trial]
    return _judge_best(cell, best)


def _judge_best(cell: CellRecord, best: Trial) -> Verdict:
    if best.score is None or cell.final is None:
        return Verdict("failed", "no trial could be measured")
    params = cell.params
    holdout = cell.final.holdout
    if not meets_accuracy(best.score.accuracy_loss, params):
        lost = 100 * best.score.accuracy_loss
        return Verdict("missed", f"no trial is within {params.accuracy_loss:g} % of FP32; the best loses {lost:.2f} %")
    if holdout is not None and holdout.accuracy_loss.low is not None:
        surely = 100 * holdout.accuracy_loss.low
        if surely > params.accuracy_loss:
            return Verdict("missed", f"on samples that the search never saw the best loses at least {surely:.2f} %")
    if cell.final.latency is None:
        return Verdict("met", "the accuracy target is met, scored on CPU; latency is not measured without the device")
    ratio = cell.final.latency.ratio
    if ratio.low is None or ratio.low <= 1:
        return Verdict("keep-fp32", "keep FP32: no INT8 model within the accuracy target is measurably faster")
    if ratio.value < params.latency_reduce:
        return Verdict("missed", f"{ratio.value:.2f}x is below the latency target of {params.latency_reduce:g}x")
    return Verdict("met", "accuracy and latency targets are met")
