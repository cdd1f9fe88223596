"""What surely misses the accuracy target, and with it whatever quantizes more in the same way.

Quantizing one more operation seldom makes a model more accurate, and never by as much as such a trial is off.
"""

from __future__ import annotations

from collections.abc import Collection

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption
from quantize_zoo.search.objective import meets_accuracy
from quantize_zoo.search.trial import Trial

_FAR = 0.5  # of a loss without an interval has to be beyond the target


def is_far_off(trial: Trial, params: OptimizerParams, measured: Collection[str] = ()) -> bool:
    """Tell whether a trial surely loses too much: all of its loss's interval is beyond the target.

    Where there is none the loss has to be far beyond. One that was ended early has none: if its structure was
    ``measured`` before, it may have been ended since others are as fast and more accurate, and a member of a fleet ends
    what misses the target by a single sample.
    """
    known = trial.pruned or trial.score
    if known is None or (trial.pruned and trial.structure in measured):
        return False
    loss = trial.measurement.accuracy_loss if trial.measurement else None
    least = _FAR * known.accuracy_loss if loss is None or loss.low is None else loss.low
    return not meets_accuracy(least, params)


def contains(option: ModelOption, other: ModelOption) -> bool:
    """Tell whether an option quantizes all that another one does, in the same way."""
    same_way = option.steps == other.steps
    return same_way and all(
        option.operations[name] == choice for name, choice in other.operations.items() if choice.quantize
    )
