"""hyperopt's TPE behind ask and tell, over the factored search space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from quantize_zoo.quantization import SearchSpace
from quantize_zoo.search.labels import Choices, base_choices, choices_at, labelled
from quantize_zoo.search.tpe import Tpe

GAMMA = 0.3
EI_CANDIDATES = 24  # hyperopt's own
# Of many candidates TPE takes the likeliest, the same again and again; of fewer it takes others.
_FEWER_CANDIDATES = (EI_CANDIDATES, 4, 1)
_TURNS = 2  # of which one is TPE's
# TPE takes some times as long as a neighbour: the more are pending, the rarer are its turns, and it gets one try.
_PENDING_A_TURN = 4
_LARGEST_STEP = 3  # variables that a neighbour changes
_LOOKED_AT = 1000  # choices, for one that is not hopeless
_NEIGHBOURS_TRIED = 50
_POT_RANDOM_TRIALS = 10


class TpeSampler:
    """Proposes choices (``ask``) and learns from their loss (``tell``).

    TPE and a neighbour of the best so far take turns: TPE learns what is good on the whole, a neighbour is one step
    from what is good already. What was proposed before is not proposed again: a space is used up in the end. What is
    asked for depends on the seed, on what was told, and on how often it was asked before. A space in which nothing can
    be chosen must not be asked.

    Args:
        space: what can be chosen.
        seed: of the choices; numbers of a sequence, so that the stages of a search differ.
        startup: choices to propose before.
        as_pot: search as POT did: start at random, then TPE only, which looks at as many candidates as the fewest
            choices that a variable has, and may propose anything twice.
        is_known: tells of choices that nothing is to be learned of, since others make the same option.
        is_hopeless: tells of choices that are proposed when nothing else is left.

    """

    def __init__(
        self,
        space: SearchSpace,
        seed: Sequence[int],
        startup: Sequence[Choices] = (),
        *,
        as_pot: bool = False,
        is_known: Callable[[Choices], bool] = lambda _: False,
        is_hopeless: Callable[[Choices], bool] = lambda _: False,
    ) -> None:
        self._space = space
        self._sizes = {label: len(each.branches) for label, each in labelled(space).items() if len(each.branches) > 1}
        self._as_pot = as_pot
        self._tpe = Tpe(space, GAMMA)
        self._seed = list(seed)
        self._startup = list(startup)
        self._is_known = is_known
        self._is_hopeless = is_hopeless
        self._asked = 0
        self._proposed: set[frozenset[tuple[str, int]]] = set()
        self._losses: list[float] = []
        self._best: tuple[float, Choices] | None = None

    def ask(self, pending: Sequence[Choices] = ()) -> Choices | None:
        """Return what to evaluate next, None if nothing is left; ``pending`` are asked for and not told yet.

        TPE takes these for trials with the mean loss (the constant liar of Ginsbourger, Le Riche and Carraro, 2010),
        so that it looks elsewhere.
        """
        position = self._asked
        choices = self._propose(position, np.random.default_rng([*self._seed, position]), pending)
        if choices is not None:
            self._asked += 1
            self._proposed.add(frozenset(choices.items()))
        return choices

    def take(self, choices: Choices) -> Choices | None:
        """Propose what somebody else has found, if it was not proposed before: it counts as asked for."""
        if not self._is_new(choices):
            return None
        self._asked += 1
        self._proposed.add(frozenset(choices.items()))
        return choices

    def tell(self, choices: Choices, loss: float | None) -> None:
        """Report the loss of choices, asked for or not; None if they failed."""
        self._tpe.observe(choices, loss)
        self._proposed.add(frozenset(choices.items()))
        if loss is None:
            return
        self._losses.append(loss)
        if self._best is None or loss < self._best[0]:
            self._best = (loss, choices)

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return self._asked

    def skip(self, count: int) -> None:
        """Go on as if so many had been asked for already: a search that is continued."""
        self._asked = count

    def _propose(self, position: int, rng: np.random.Generator, pending: Sequence[Choices]) -> Choices | None:
        if position < len(self._startup) and self._is_new(self._startup[position]):
            return self._startup[position]
        if self._as_pot:
            fewest = min(self._sizes.values())
            if self._tpe.observed < _POT_RANDOM_TRIALS:
                return self._tpe.random(_seed(rng))
            return self._tpe.suggest(_seed(rng), fewest, prior_weight=1 / fewest)
        if self._best is None or position % (_TURNS + len(pending) // _PENDING_A_TURN):
            neighbour = self._neighbour(rng)
            if neighbour is not None:
                return neighbour
        lies = [(each, float(np.mean(self._losses))) for each in pending] if self._losses else []
        for candidates in _FEWER_CANDIDATES[:1] if pending else _FEWER_CANDIDATES:
            choices = self._tpe.suggest(_seed(rng), candidates, besides=lies)
            if self._is_new(choices) and not self._is_hopeless(choices):
                return choices
        return self._neighbour(rng) or self._left(rng)

    def _is_new(self, choices: Choices) -> bool:
        key = frozenset(choices.items())
        if key not in self._proposed and self._is_known(choices):
            self._proposed.add(key)
        return key not in self._proposed

    def _left(self, rng: np.random.Generator) -> Choices | None:
        """Return any choices that were not proposed, from a random one on; None if all were."""
        size = self._space.reachable
        start = int.from_bytes(rng.bytes(size.bit_length() // 8 + 1), "big") % size

        def others(count: int) -> Iterator[Choices]:
            found = (choices_at(self._space, (start + step) % size) for step in range(count))
            return (choices for choices in found if self._is_new(choices))

        promising = (choices for choices in others(min(size, _LOOKED_AT)) if not self._is_hopeless(choices))
        return next(promising, None) or next(others(size), None)

    def _neighbour(self, rng: np.random.Generator) -> Choices | None:
        """Return the best choices so far, or the base's, with a few changed; None if all such were proposed."""
        best = base_choices(self._space) if self._best is None else self._best[1]
        labels = [label for label in best if label in self._sizes]
        for _ in range(_NEIGHBOURS_TRIED):
            step = min(len(labels), int(rng.integers(1, _LARGEST_STEP + 1)))
            changed = dict(best)
            for index in rng.choice(len(labels), size=step, replace=False):
                label = labels[index]
                changed[label] = int((changed[label] + rng.integers(1, self._sizes[label])) % self._sizes[label])
            choices = base_choices(self._space, changed)
            if self._is_new(choices) and not self._is_hopeless(choices):
                return choices
        return None


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31 - 1))
