"""hyperopt's TPE for spaces of choices, for all variables at once.

``hyperopt.tpe.suggest`` builds a symbolic graph of some twenty nodes for each variable whenever it is asked, and
evaluates it node by node: 0.8 ms a variable. Of choices that graph is the same few steps for each variable. Here
hyperopt's own functions make them: losses are split once for all variables, and counts are arrays of all variables.
What is suggested is what ``hyperopt.tpe.suggest`` suggests for the same seed and history (tests/unit/test_tpe.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

import numpy as np
from hyperopt.pyll.stochastic import categorical, randint
from hyperopt.tpe import DEFAULT_LF, ap_split_trials, broadcast_best, linear_forgetting_weights
from numpy.typing import NDArray

from quantize_zoo.quantization import SearchSpace, Variable
from quantize_zoo.search.labels import Choices, below, labelled, roots

_ABSENT = -1  # the value of a variable that the other choices do not let exist
_FAILED = math.inf  # the loss of a trial that has none

Observation = tuple[Choices, float | None]  # with its loss; None if it failed


class Tpe:
    """Suggests choices, given those that were observed before.

    Args:
        space: what can be chosen.
        gamma: of the good trials, as hyperopt defines it.

    """

    def __init__(self, space: SearchSpace, gamma: float) -> None:
        self._gamma = gamma
        self._sizes = {label: len(each.branches) for label, each in labelled(space).items() if len(each.branches) > 1}
        self._parents = dict(_parents(space))
        self._order = list(_drawing_order(self._parents))
        self._columns = {label: column for column, label in enumerate(self._sizes)}
        self._widths = np.array(list(self._sizes.values()))
        self._values: NDArray[np.int64] = np.empty((0, len(self._sizes)), dtype=np.int64)
        self._losses: list[float] = []

    @property
    def observed(self) -> int:
        """How many choices were observed."""
        return len(self._losses)

    def observe(self, choices: Choices, loss: float | None) -> None:
        """Learn what choices are worth; None if they failed."""
        self._values = np.concatenate([self._values, self._row(choices)])
        self._losses.append(_FAILED if loss is None else loss)

    def suggest(
        self, seed: int, candidates: int, prior_weight: float = 1.0, besides: Sequence[Observation] = ()
    ) -> Choices:
        """Return the likeliest to be good of so many candidates of each variable.

        ``prior_weight`` is hyperopt's; ``besides`` counts as observed last, and is not remembered.
        """
        values = np.concatenate([self._values, *(self._row(choices) for choices, _ in besides)])
        losses = [*self._losses, *(_FAILED if loss is None else loss for _, loss in besides)]
        trials = np.arange(len(losses))
        good, bad = ap_split_trials(trials, trials, trials, losses, self._gamma)
        posteriors = [self._posterior(values[chosen.astype(np.int64)], prior_weight) for chosen in (good, bad)]
        likelihoods = [np.log(posterior) for posterior in posteriors]
        rng = np.random.default_rng(seed)

        def draw(label: str) -> int:
            column, size = self._columns[label], self._sizes[label]
            samples = categorical(posteriors[0][column, :size], rng, candidates)
            below_llik, above_llik = (each[column, samples] for each in likelihoods)
            return int(broadcast_best(samples, below_llik, above_llik)[0])

        return self._drawn(draw)

    def random(self, seed: int) -> Choices:
        """Return choices at random."""
        rng = np.random.default_rng(seed)
        return self._drawn(lambda label: int(randint(self._sizes[label], None, rng, 1)[0]))

    def _drawn(self, draw: Callable[[str], int]) -> Choices:
        """Draw each variable that the choices before let exist."""
        found: Choices = {}
        for label in self._order:
            if all(found.get(above) == branch for above, branch in self._parents[label]):
                found[label] = draw(label)
        return {label: found[label] for label in self._sizes if label in found}

    def _row(self, choices: Choices) -> NDArray[np.int64]:
        return np.array([[choices.get(label, _ABSENT) for label in self._sizes]], dtype=np.int64)

    def _posterior(self, values: NDArray[np.int64], prior_weight: float) -> NDArray[np.float64]:
        """Return the probability of each branch of each variable (variables, branches), of some trials' values.

        Branches that a variable does not have get 1, which nothing reads.
        """
        present = values != _ABSENT
        counted = present.sum(axis=0)
        weights = np.ones(values.shape)
        for count in np.unique(counted[counted >= DEFAULT_LF]):
            columns = counted == count
            position = np.maximum(np.cumsum(present[:, columns], axis=0) - 1, 0)
            weights[:, columns] = _weights(int(count))[position]
        most = int(self._widths.max())
        bins = (np.arange(len(self._widths)) * most + values)[present]
        counts = np.bincount(bins, weights[present], minlength=len(self._widths) * most).reshape(-1, most)
        found = np.ones(counts.shape)
        for width in np.unique(self._widths):  # a sum over more branches would be rounded otherwise
            rows = self._widths == width
            pseudocounts = counts[rows, :width] + prior_weight
            found[rows, :width] = pseudocounts / pseudocounts.sum(axis=1, keepdims=True)
        return found


@cache
def _weights(count: int) -> NDArray[np.float64]:
    return np.asarray(linear_forgetting_weights(count, DEFAULT_LF))


def _parents(space: SearchSpace) -> Iterator[tuple[str, tuple[tuple[str, int], ...]]]:
    """Yield each variable that has a choice, and the choices that let it exist."""
    todo: list[tuple[str, Variable, tuple[tuple[str, int], ...]]] = [(*root, ()) for root in roots(space).items()]
    while todo:
        label, variable, above = todo.pop()
        has_choice = len(variable.branches) > 1
        if has_choice:
            yield label, above
        for index, branch in enumerate(variable.branches):
            chosen = (*above, (label, index)) if has_choice else above
            todo += [(path, each, chosen) for path, each in below(label, index, branch).items()]


def _drawing_order(parents: Mapping[str, Sequence[tuple[str, int]]]) -> Iterator[str]:
    """Yield labels in the order in which hyperopt draws: descending, each after those that let it exist."""
    drawn: set[str] = set()
    for label in sorted(parents, reverse=True):
        for each in (*(above for above, _ in parents[label]), label):
            if each not in drawn:
                drawn.add(each)
                yield each
