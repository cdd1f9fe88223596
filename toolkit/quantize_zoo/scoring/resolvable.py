"""What a number of samples can tell of a model, whatever its answers are: how small a loss is more than none.

A metric that counts right answers cannot see less than an answer, nor, elsewhere, what is rarer than that: of a model
that answers every sample as FP32 does, all that is known is that it may still lose up to 3 in N (the rule of three:
Hanley and Lippman-Hand, If nothing goes wrong, is everything all right?, JAMA 249, 1983).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.scoring.estimate import CONFIDENCE
from quantize_zoo.text.counts import counted


def counts_answers(per_sample: NDArray[np.float64] | None) -> bool:
    """Tell whether a metric's values of samples are right and wrong answers."""
    return per_sample is not None and len(per_sample) > 0 and bool(np.isin(per_sample, (0.0, 1.0)).all())


def unseen_loss(samples: int) -> float:
    """Return the share of all answers that may be lost (95 %) where none of so many samples is."""
    return 1 - float((1 - CONFIDENCE) ** (1 / samples))


def samples_to_see(share: float) -> int:
    """Return how many samples, none of whose answers is lost, tell that no more than this share is (95 %)."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - share))


def resolution_note(percent: float, samples: int, fp32: float | None = None) -> str:
    """Say what it means that a target is below what the samples resolve; empty if it is not.

    Args:
        percent: the target, accuracy_loss: in percent of FP32's metric.
        samples: how many the search scores.
        fp32: FP32's metric, the share of answers that are right; before it is known no more than all can be.

    """
    least = "at least " if fp32 is None else ""
    fp32 = 1.0 if fp32 is None else abs(fp32)
    allowed = percent / 100 * fp32
    unseen = unseen_loss(samples)
    if allowed >= unseen:
        return ""
    answers = math.floor(allowed * samples + 1e-9)  # of a product that is a whole number
    told = f"accuracy_loss {percent:g} % is {answers} of {counted(samples, 'sample')}" if answers else (
        f"accuracy_loss {percent:g} % is less than one of {counted(samples, 'sample')}"
    )  # fmt: skip
    beyond = (
        f"a model that loses no answer of so few may still lose {least}{100 * unseen / fp32:.2g} % on others (95 %)"
    )
    needed = (
        f"to tell takes {least}{samples_to_see(allowed)} samples of the search"
        if allowed > 0
        else "no number of samples tells none"
    )
    return f"{told}: {beyond}; {needed}"
