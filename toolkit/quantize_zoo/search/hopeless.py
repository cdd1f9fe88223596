"""What is far from accurate enough, and with it whatever quantizes more in the same way.

Quantizing one more operation seldom makes a model more accurate, and hardly ever by half of what such a trial loses.
"""

from __future__ import annotations

from collections.abc import Collection

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption
from quantize_zoo.search.objective import meets_accuracy
from quantize_zoo.search.trial import Trial

_FAR = 0.5  # of a loss has to be beyond the target
_LEAST = 0.01  # of FP32's metric that is lost, however low the target is


def is_far_off(trial: Trial, params: OptimizerParams, measured: Collection[str]) -> bool:
    """Tell whether a trial loses so much that what contains it is none to try: surely, and twice what is allowed.

    Args:
        trial: a finished one.
        params: of the search, with the target.
        measured: the structures that were measured before it. What is ended early of these may have been ended since
            others are as fast and more accurate, which is no news of the target.

    """
    known = trial.pruned or trial.score
    if known is None or known.accuracy_loss < _LEAST or (trial.pruned and trial.structure in measured):
        return False
    loss = trial.measurement.accuracy_loss if trial.measurement else None
    surely = known.accuracy_loss if loss is None or loss.low is None else loss.low
    return not meets_accuracy(min(surely, _FAR * known.accuracy_loss), params)


def contains(option: ModelOption, other: ModelOption) -> bool:
    """Tell whether an option quantizes all that another one does, in the same way."""
    same_way = option.steps == other.steps
    return same_way and all(
        option.operations[name] == choice for name, choice in other.operations.items() if choice.quantize
    )
