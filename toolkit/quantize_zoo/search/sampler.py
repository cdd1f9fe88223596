"""hyperopt's TPE behind ask and tell, over the factored search space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK, Trials, hp, tpe
from hyperopt.base import Domain

from quantize_zoo.quantization import Branch, Choice, SearchSpace, Variable

STARTUP_TRIALS = 10
GAMMA = 0.3
EI_CANDIDATES = (
    24  # hyperopt's own; POT took the smallest number of choices, which leaves TPE hardly any to choose from
)


class Choices(NamedTuple):
    """What was chosen for each operation and for each tunable step of the pipeline."""

    operations: dict[str, Choice]
    steps: dict[str, Choice]


class TpeSampler:
    """Proposes choices (``ask``) and learns from their loss (``tell``); the same seed and losses give the same choices.

    Raises nothing; a space in which nothing can be chosen must not be asked.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._operations = {f"operation {name}": variable for name, variable in space.operations.items()}
        self._steps = {f"step {variable.name}": variable for variable in space.steps}
        roots = {**self._operations, **self._steps}
        self._domain = Domain(lambda choices: 0.0, [_expression(label, variable) for label, variable in roots.items()])
        self._trials = Trials()
        self._rng = np.random.default_rng(seed)
        self._asked: dict[int, dict[str, Any]] = {}

    def ask(self) -> tuple[int, Choices]:
        """Return a ticket for ``tell``, and for each operation what was chosen."""
        ticket = self._trials.new_trial_ids(1)[0]
        self._trials.refresh()
        document = tpe.suggest(
            [ticket],
            self._domain,
            self._trials,
            int(self._rng.integers(2**31 - 1)),
            n_startup_jobs=STARTUP_TRIALS,
            n_EI_candidates=EI_CANDIDATES,
            gamma=GAMMA,
            verbose=False,
        )[0]
        self._asked[ticket] = document
        values = {label: chosen[0] for label, chosen in document["misc"]["vals"].items() if chosen}
        return ticket, self._choices(values)

    def tell(self, ticket: int, loss: float | None) -> None:
        """Report the loss of what was asked; None if it failed."""
        document = self._asked.pop(ticket)
        document["state"] = JOB_STATE_DONE
        document["result"] = {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}
        self._trials.insert_trial_doc(document)
        self._trials.refresh()

    def observe_base(self, loss: float) -> None:
        """Tell the loss of the base option, which is the first choice everywhere."""
        ticket = self._trials.new_trial_ids(1)[0]
        first: dict[str, int] = {}
        for label, variable in {**self._operations, **self._steps}.items():
            first.update(_first_branches(label, variable))
        misc = {
            "tid": ticket,
            "cmd": self._domain.cmd,
            "workdir": None,
            "idxs": {label: [ticket] if label in first else [] for label in self._domain.params},
            "vals": {label: [first[label]] if label in first else [] for label in self._domain.params},
        }
        document = self._trials.new_trial_docs([ticket], [None], [{"status": STATUS_OK, "loss": loss}], [misc])[0]
        document["state"] = JOB_STATE_DONE
        self._trials.insert_trial_doc(document)
        self._trials.refresh()

    def _choices(self, values: Mapping[str, int]) -> Choices:
        operations = {
            label.removeprefix("operation "): _choice(label, variable, values)
            for label, variable in self._operations.items()
        }
        return Choices(
            operations, {variable.name: _choice(label, variable, values) for label, variable in self._steps.items()}
        )


def _below(label: str, index: int, branch: Branch) -> dict[str, Variable]:
    """Return the variables below a branch by their labels, which name the way to them and so are unique."""
    return {f"{label}={index}/{variable.name}": variable for variable in branch.below}


def _expression(label: str, variable: Variable) -> Any:
    """Return the hyperopt expression of a variable; one without a choice is no variable to hyperopt."""
    branches = [
        [_expression(*item) for item in _below(label, index, branch).items()]
        for index, branch in enumerate(variable.branches)
    ]
    return hp.choice(label, branches) if len(branches) > 1 else branches[0]


def _choice(label: str, variable: Variable, values: Mapping[str, int]) -> Choice:
    index = values.get(label, 0)
    branch = variable.branches[index]
    below = _below(label, index, branch)
    return {"value": branch.value, **{each.name: _choice(path, each, values) for path, each in below.items()}}


def _first_branches(label: str, variable: Variable) -> dict[str, int]:
    found = {label: 0} if len(variable.branches) > 1 else {}
    for path, each in _below(label, 0, variable.branches[0]).items():
        found.update(_first_branches(path, each))
    return found
