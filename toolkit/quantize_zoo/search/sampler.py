"""hyperopt's TPE behind ask and tell, over the factored search space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK, Trials, hp, tpe
from hyperopt.base import Domain

from quantize_zoo.quantization import SearchSpace, Variable
from quantize_zoo.search.labels import Choices, below, labelled, roots

GAMMA = 0.3
EI_CANDIDATES = 24  # hyperopt's own
_POT_RANDOM_TRIALS = 10


class TpeSampler:
    """Proposes choices (``ask``) and learns from their loss (``tell``).

    What is asked for depends on the seed, on what was told, and on how often it was asked before. A space in which
    nothing can be chosen must not be asked.

    Args:
        space: what can be chosen.
        seed: of the choices; numbers of a sequence, so that the stages of a search differ.
        startup: choices to propose before TPE does.
        as_pot: search as POT did: start at random, and look at as many candidates as the fewest choices that a
            variable has.

    """

    def __init__(
        self, space: SearchSpace, seed: Sequence[int], startup: Sequence[Choices] = (), *, as_pot: bool = False
    ) -> None:
        sizes = [len(variable.branches) for variable in labelled(space).values() if len(variable.branches) > 1]
        self._candidates = min(sizes) if as_pot else EI_CANDIDATES
        self._prior_weight = 1 / self._candidates if as_pot else 1.0
        self._random_trials = _POT_RANDOM_TRIALS if as_pot else 0
        self._domain = Domain(lambda choices: 0.0, [_expression(*root) for root in roots(space).items()])
        self._trials = Trials()
        self._seed = list(seed)
        self._startup = list(startup)
        self._asked = 0

    def ask(self) -> Choices:
        """Return what to evaluate next."""
        position, self._asked = self._asked, self._asked + 1
        if position < len(self._startup):
            return self._startup[position]
        ticket = self._trials.new_trial_ids(1)[0]
        rng = np.random.default_rng([*self._seed, position])
        document = tpe.suggest(
            [ticket],
            self._domain,
            self._trials,
            int(rng.integers(2**31 - 1)),
            prior_weight=self._prior_weight,
            n_startup_jobs=self._random_trials,
            n_EI_candidates=self._candidates,
            gamma=GAMMA,
            verbose=False,
        )[0]
        return {label: int(chosen[0]) for label, chosen in document["misc"]["vals"].items() if len(chosen)}

    def tell(self, choices: Choices, loss: float | None) -> None:
        """Report the loss of choices, asked for or not; None if they failed."""
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
        self._trials.insert_trial_doc(document)
        self._trials.refresh()

    def skip(self, count: int) -> None:
        """Go on as if so many had been asked for already: a search that is continued."""
        self._asked = count


def _expression(label: str, variable: Variable) -> Any:
    """Return the hyperopt expression of a variable; one without a choice is no variable to hyperopt."""
    branches = [
        [_expression(*item) for item in below(label, index, branch).items()]
        for index, branch in enumerate(variable.branches)
    ]
    return hp.choice(label, branches) if len(branches) > 1 else branches[0]
