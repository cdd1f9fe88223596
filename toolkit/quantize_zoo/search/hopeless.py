"""What is far from accurate enough, and with it whatever quantizes more in the same way.

Quantizing one more operation seldom makes a model more accurate, and hardly ever by half of what such a trial loses.
What accurate trials quantize is not to blame for a loss that is much larger than theirs: the others are.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable
from itertools import count
from typing import Generic, TypeVar

from quantize_zoo.config import OptimizerParams
from quantize_zoo.search.objective import meets_accuracy
from quantize_zoo.search.trial import Trial

Item = TypeVar("Item", bound=Hashable)

_FAR = 0.5  # of a loss has to be beyond the target
_LEAST = 0.01  # of FP32's metric that is lost, however low the target is


def times_too_far(trial: Trial, params: OptimizerParams, measured: Collection[str]) -> float:
    """Return how many times the loss that is allowed a trial loses: surely, and by half of what it seems to lose.

    0 where that is not more than once: what contains it may be accurate enough.

    Args:
        trial: a finished one.
        params: of the search, with the target.
        measured: the structures that were measured before it. What is ended early of these may have been ended since
            others are as fast and more accurate, which is no news of the target.

    """
    known = trial.pruned or trial.score
    if known is None or known.accuracy_loss < _LEAST or (trial.pruned and trial.structure in measured):
        return 0.0
    loss = trial.measurement.accuracy_loss if trial.measurement else None
    surely = known.accuracy_loss if loss is None or loss.low is None else loss.low
    lost = min(surely, _FAR * known.accuracy_loss)
    if meets_accuracy(lost, params):
        return 0.0
    return max(1.0, lost / max(params.accuracy_loss / 100, _FAR * _LEAST))


class FarOff(Generic[Item]):
    """The smallest sets of choices that are far from accurate enough; none that something accurate contains.

    Of a set that loses many times what is allowed, what accurate sets share with it is taken away: what is left is to
    blame. Errors that do not depend on each other add up by their squares, and a loss grows with these no faster than
    with their square; so with each set that is taken away the square root of how often it loses what is allowed becomes
    less by one.
    """

    def __init__(self) -> None:
        self.smallest: list[frozenset[Item]] = []
        self._found: list[tuple[frozenset[Item], float]] = []
        self._accurate: list[frozenset[Item]] = []
        self._clearing: list[frozenset[Item]] = []

    def tell(self, chosen: frozenset[Item], *, accurate: bool, times: float, clears: bool = True) -> None:
        """Learn what a trial has found of a set: whether it is accurate enough, or so many times too far from that.

        What is accurate in another way than the others are quantized ``clears`` nothing in them.
        """
        if accurate:
            self._accurate.append(chosen)
            if clears:
                self._clearing.append(chosen)
            self._found = [each for each in self._found if not each[0] <= chosen]
        elif times and not any(chosen <= each for each in self._accurate):
            self._found.append((chosen, times))
        else:
            return
        self.smallest = []
        for each in (self._to_blame(*found) for found in self._found):
            if not self.has(each):
                self.smallest = [other for other in self.smallest if not each <= other] + [each]

    def has(self, chosen: frozenset[Item]) -> bool:
        """Tell whether a set contains one that is far off."""
        return any(each <= chosen for each in self.smallest)

    @property
    def blames(self) -> bool:
        """Whether one of them is what accurate sets left of another: no trial has shown that it is far off."""
        tried = {chosen for chosen, _ in self._found}
        return any(each not in tried for each in self.smallest)

    def forget(self) -> None:
        """Take nothing for far off any more, nor for cleared."""
        self.smallest, self._found, self._clearing = [], [], []

    def _to_blame(self, chosen: frozenset[Item], times: float) -> frozenset[Item]:
        """Return what is left without accurate sets, those that take most first; all, if what is left is accurate."""
        left = chosen
        for number in count(2):
            taken = max((left & each for each in self._clearing), key=len, default=None)
            if not taken or number**2 > times:
                break
            left -= taken
        return chosen if any(left <= each for each in self._accurate) else left
