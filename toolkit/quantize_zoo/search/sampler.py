"""hyperopt's TPE behind ask and tell, over the factored search space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK, Trials, hp, space_eval, tpe
from hyperopt.base import Domain

from quantize_zoo.quantization import OperationSpace, SearchSpace

STARTUP_TRIALS = 10
GAMMA = 0.3
EI_CANDIDATES = (
    24  # hyperopt's own; POT took the smallest number of choices, which leaves TPE hardly any to choose from
)

Choices = Mapping[str, Mapping[str, object]]


class TpeSampler:
    """Proposes choices (``ask``) and learns from their loss (``tell``); the same seed and losses give the same choices.

    Raises nothing; a space in which nothing can be chosen has ``has_choices`` False and must not be asked.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._expression = {operation.operation: _expression(operation) for operation in space}
        self.has_choices = any(operation.reachable > 1 for operation in space)
        self._domain = Domain(lambda choices: 0.0, self._expression)
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
        return ticket, space_eval(self._expression, values)

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
        indices = {label: [0] for label in self._domain.params}
        misc = {
            "tid": ticket,
            "cmd": self._domain.cmd,
            "workdir": None,
            "idxs": {label: [ticket] for label in indices},
            "vals": indices,
        }
        document = self._trials.new_trial_docs([ticket], [None], [{"status": STATUS_OK, "loss": loss}], [misc])[0]
        document["state"] = JOB_STATE_DONE
        self._trials.insert_trial_doc(document)
        self._trials.refresh()


def _expression(space: OperationSpace) -> Any:
    """Return the hyperopt expression of one operation: estimators are variables of a quantized operation only."""
    if True not in space.quantize:
        return {"quantize": False}
    quantized: dict[str, Any] = {"quantize": True}
    for tensor, presets in (("activations", space.activations), ("weights", space.weights)):
        if presets:
            quantized[tensor] = _variable(f"{space.operation}|{tensor}", presets)
    if False not in space.quantize:
        return quantized
    return hp.choice(f"{space.operation}|quantize", [quantized, {"quantize": False}])


def _variable(label: str, choices: tuple[str, ...]) -> Any:
    return hp.choice(label, list(choices)) if len(choices) > 1 else choices[0]
