"""hyperopt's TPE behind ask and tell, over the factored search space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK, Trials, hp, tpe
from hyperopt.base import Domain, trials_from_docs

from quantize_zoo.quantization import SearchSpace, Variable
from quantize_zoo.search.labels import Choices, base_choices, below, labelled, roots

GAMMA = 0.3
EI_CANDIDATES = 24  # hyperopt's own
# Of many candidates TPE takes the likeliest, the same again and again; of fewer it takes others.
_FEWER_CANDIDATES = (EI_CANDIDATES, 4, 1)
_TURNS = 2  # of which one is TPE's
# TPE takes 50 ms and more, a neighbour one: the more are pending, the rarer are TPE's turns, and it gets one try.
_PENDING_A_TURN = 4
_LARGEST_STEP = 3  # variables that a neighbour changes
_NEIGHBOURS_TRIED = 50
_POT_RANDOM_TRIALS = 10


class TpeSampler:
    """Proposes choices (``ask``) and learns from their loss (``tell``).

    TPE and a neighbour of the best so far take turns: TPE learns what is good on the whole, a neighbour is one step
    from what is good already. What was proposed before is not proposed again, as long as there is something else.
    What is asked for depends on the seed, on what was told, and on how often it was asked before. A space in which
    nothing can be chosen must not be asked.

    Args:
        space: what can be chosen.
        seed: of the choices; numbers of a sequence, so that the stages of a search differ.
        startup: choices to propose before.
        as_pot: search as POT did: start at random, then TPE only, which looks at as many candidates as the fewest
            choices that a variable has, and may propose anything twice.

    """

    def __init__(
        self, space: SearchSpace, seed: Sequence[int], startup: Sequence[Choices] = (), *, as_pot: bool = False
    ) -> None:
        self._space = space
        self._sizes = {label: len(each.branches) for label, each in labelled(space).items() if len(each.branches) > 1}
        self._as_pot = as_pot
        self._domain = Domain(lambda choices: 0.0, [_expression(*root) for root in roots(space).items()])
        self._trials = Trials()
        self._seed = list(seed)
        self._startup = list(startup)
        self._asked = 0
        self._proposed: list[Choices] = []
        self._best: tuple[float, Choices] | None = None

    def ask(self, pending: Sequence[Choices] = ()) -> Choices:
        """Return what to evaluate next; ``pending`` are asked for and not told yet.

        TPE takes these for trials with the mean loss (the constant liar of Ginsbourger, Le Riche and Carraro, 2010),
        so that it looks elsewhere.
        """
        position, self._asked = self._asked, self._asked + 1
        choices = self._propose(position, np.random.default_rng([*self._seed, position]), pending)
        self._proposed.append(choices)
        return choices

    def tell(self, choices: Choices, loss: float | None) -> None:
        """Report the loss of choices, asked for or not; None if they failed."""
        self._trials.insert_trial_doc(self._document(choices, loss))
        self._trials.refresh()
        self._proposed.append(choices)
        if loss is not None and (self._best is None or loss < self._best[0]):
            self._best = (loss, choices)

    def _document(self, choices: Choices, loss: float | None) -> Any:
        """Return hyperopt's record of a finished trial."""
        ticket = self._trials.new_trial_ids(1)[0]
        misc = {
            "tid": ticket,
            "cmd": self._domain.cmd,
            "workdir": None,
            "idxs": {label: [ticket] if label in choices else [] for label in self._domain.params},
            "vals": {label: [choices[label]] if label in choices else [] for label in self._domain.params},
        }
        result = {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}
        document = self._trials.new_trial_docs([ticket], [None], [result], [misc])[0]
        document["state"] = JOB_STATE_DONE
        return document

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return self._asked

    def skip(self, count: int) -> None:
        """Go on as if so many had been asked for already: a search that is continued."""
        self._asked = count

    def _propose(self, position: int, rng: np.random.Generator, pending: Sequence[Choices]) -> Choices:
        if position < len(self._startup):
            return self._startup[position]
        if self._as_pot:
            fewest = min(self._sizes.values())
            return self._tpe(rng, self._trials, fewest, prior_weight=1 / fewest, random_trials=_POT_RANDOM_TRIALS)
        if self._best is None or position % (_TURNS + len(pending) // _PENDING_A_TURN):
            neighbour = self._neighbour(rng)
            if neighbour is not None:
                return neighbour
        known = self._with_lies(pending)
        for candidates in _FEWER_CANDIDATES[:1] if pending else _FEWER_CANDIDATES:
            choices = self._tpe(rng, known, candidates)
            if choices not in self._proposed:
                return choices
        return self._neighbour(rng) or choices

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
            if choices not in self._proposed:
                return choices
        return None

    def _with_lies(self, pending: Sequence[Choices]) -> Trials:
        losses = [loss for loss in self._trials.losses() if loss is not None]
        if not pending or not losses:
            return self._trials
        lies = [self._document(each, float(np.mean(losses))) for each in pending]
        return trials_from_docs([*self._trials.trials, *lies], validate=False)

    def _tpe(
        self,
        rng: np.random.Generator,
        known: Trials,
        candidates: int,
        *,
        prior_weight: float = 1.0,
        random_trials: int = 0,
    ) -> Choices:
        ticket = self._trials.new_trial_ids(1)[0]
        document = tpe.suggest(
            [ticket],
            self._domain,
            known,
            int(rng.integers(2**31 - 1)),
            prior_weight=prior_weight,
            n_startup_jobs=random_trials,
            n_EI_candidates=candidates,
            gamma=GAMMA,
            verbose=False,
        )[0]
        return {label: int(chosen[0]) for label, chosen in document["misc"]["vals"].items() if len(chosen)}


def _expression(label: str, variable: Variable) -> Any:
    """Return the hyperopt expression of a variable; one without a choice is no variable to hyperopt."""
    branches = [
        [_expression(*item) for item in below(label, index, branch).items()]
        for index, branch in enumerate(variable.branches)
    ]
    return hp.choice(label, branches) if len(branches) > 1 else branches[0]
