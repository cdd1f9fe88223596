"""What is far from accurate enough, and with it whatever quantizes more in the same way.

Quantizing one more operation seldom makes a model more accurate, and hardly ever by half of what such a trial loses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption
from quantize_zoo.search.objective import meets_accuracy
from quantize_zoo.search.trial import Trial

Choice = TypeVar("Choice")

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


class FarOff(Generic[Choice]):
    """The smallest choices that are far from accurate enough; none that something accurate contains.

    Args:
        contains: tells whether a choice quantizes all that another one does.

    """

    def __init__(self, contains: Callable[[Choice, Choice], bool]) -> None:
        self.smallest: list[Choice] = []
        self._contains = contains
        self._found: list[Choice] = []
        self._accurate: list[Choice] = []

    def tell(self, choice: Choice, *, accurate: bool, far_off: bool) -> None:
        """Learn what a trial has found of a choice."""
        if accurate:
            self._accurate.append(choice)
            self._found = [each for each in self._found if not self._contains(choice, each)]
        elif far_off and not any(self._contains(each, choice) for each in self._accurate):
            self._found.append(choice)
        self.smallest = []
        for each in self._found:
            if not self.has(each):
                self.smallest = [other for other in self.smallest if not self._contains(other, each)] + [each]

    def has(self, choice: Choice) -> bool:
        """Tell whether a choice contains one that is far off."""
        return any(self._contains(choice, each) for each in self.smallest)

    def forget(self) -> None:
        """Take nothing for far off any more."""
        self.smallest, self._found = [], []
