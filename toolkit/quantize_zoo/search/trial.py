"""A trial: an option and what was measured of the model that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate, Execution, PairedLatency
from quantize_zoo.search.objective import Score, rank

TrialKind = Literal["base", "search"]


@dataclass(frozen=True)
class Seconds:
    """Wall time of a trial's parts; ``overhead`` is all that is none of the others (asking, storing, waiting)."""

    build: float
    compile: float
    accuracy: float
    latency: float
    overhead: float = 0.0

    @property
    def total(self) -> float:
        """Wall time of the trial."""
        return self.build + self.compile + self.accuracy + self.latency + self.overhead


@dataclass(frozen=True)
class Measurement:
    """Accuracy and latency of one candidate.

    ``accuracy`` is the tuned metric, ``metrics`` are all of the checker's, ``per_sample`` (samples,) is the
    tuned metric of each sample where it has such values.
    """

    accuracy: Estimate
    metrics: dict[str, float]
    per_sample: Any
    latency: PairedLatency
    execution: Execution
    seconds: Seconds


@dataclass(frozen=True)
class Trial:
    """One finished trial; ``failure`` tells why there is no measurement, ``reused_from`` whose measurement it is."""

    number: int
    kind: TrialKind
    option: ModelOption
    option_hash: str
    measurement: Measurement | None
    score: Score | None
    loss: float | None
    reused_from: int | None
    failure: str | None
    seconds: Seconds


def best_trial(trials: Sequence[Trial], params: OptimizerParams) -> Trial | None:
    """Return the fastest trial within the accuracy target, else the one with the lowest loss; None if all failed."""
    scored = [
        (rank(trial.score, trial.loss, params), trial) for trial in trials if trial.score and trial.loss is not None
    ]
    return min(scored, key=lambda pair: pair[0])[1] if scored else None


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that no other trial beats in both accuracy loss and latency ratio, the fastest first."""
    front: list[Trial] = []
    scored = [(trial.score, trial) for trial in trials if trial.score and trial.reused_from is None]
    for score, trial in sorted(scored, key=lambda pair: (-pair[0].latency_ratio, pair[0].accuracy_loss)):
        if not front or score.accuracy_loss < _loss_of(front[-1]):
            front.append(trial)
    return front


def _loss_of(trial: Trial) -> float:
    return trial.score.accuracy_loss if trial.score else float("inf")
