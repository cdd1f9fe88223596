"""A trial: an option and what was measured of the model that it makes."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate, Execution, PairedLatency
from quantize_zoo.scoring.latency import TARGET_HALF_WIDTH
from quantize_zoo.search.members import MemberScore
from quantize_zoo.search.objective import Score, is_allowed, shortfall

TrialKind = Literal["base", "informed", "search", "eval", "baseline"]


@dataclass(frozen=True)
class Seconds:
    """Wall time of a trial's parts; ``overhead`` is all that is none of the others (asking, storing, waiting)."""

    build: float = 0.0
    compile: float = 0.0
    accuracy: float = 0.0
    latency: float = 0.0
    overhead: float = 0.0

    @property
    def total(self) -> float:
        """Wall time of the trial."""
        return self.build + self.compile + self.accuracy + self.latency + self.overhead


@dataclass(frozen=True)
class Built:
    """A candidate that was built.

    ``candidate`` is equal for options that make the same model, ``structure`` for those that run through the same
    kernels. ``size_ratio`` is FP32 bytes / bytes of its weights.
    """

    candidate: str
    structure: str
    seconds: float
    size_ratio: float | None = None


@dataclass(frozen=True)
class Scored:
    """The accuracy of a candidate on the samples that the search sees.

    ``accuracy`` is the tuned metric, ``metrics`` are all of the checker's, ``per_sample`` (samples,) is the tuned
    metric of each sample where it has such values. ``hopeless`` tells that the pass was ended early: then there are no
    ``metrics``, and ``accuracy`` is of the samples seen. ``accuracy_loss`` is that of all samples, with the interval
    that the samples of FP32 and of the candidate give together, where they do. Of a fleet's candidate ``members``
    are those that were asked, ``accuracy_loss`` is of the one that loses most, the others are of the one that leads.
    """

    accuracy: Estimate
    metrics: dict[str, float]
    per_sample: Any
    hopeless: bool
    compile_seconds: float
    seconds: float
    members: tuple[MemberScore, ...] = ()
    accuracy_loss: Estimate | None = None


@dataclass(frozen=True)
class Timed:
    """The latency of a candidate, None without its device, and what it really ran in.

    Of a fleet's candidate ``members`` have the latencies on each, and ``slower`` names those on which it is surely
    slower than FP32 and must not be.
    """

    latency: PairedLatency | None
    execution: Execution
    compile_seconds: float
    seconds: float
    members: Mapping[str, PairedLatency] = field(default_factory=dict)
    slower: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """Accuracy and latency of one candidate; see ``Scored`` and ``Timed``.

    ``latency_from`` is the trial whose latency it is, if that was of the same structure. ``accuracy_loss`` has the
    interval of the loss, where one can be given.
    """

    accuracy: Estimate
    metrics: dict[str, float | None]
    latency: PairedLatency | None
    execution: Execution
    latency_from: int | None = None
    accuracy_loss: Estimate | None = None


@dataclass(frozen=True)
class Pruned:
    """What is known of a candidate whose evaluation was ended early: accuracy on the samples seen so far."""

    accuracy: Estimate
    accuracy_loss: float


@dataclass(frozen=True)
class Trial:
    """One finished trial of a stage.

    ``failure`` tells why there is no measurement, ``pruned`` what is known instead of one, ``reused_from`` whose result
    it is. ``where`` is the machine that measured it, if that was not the one that ran the search. Of a fleet's trial
    ``members`` are those that were asked, in that order.
    """

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
    stage: int = 0
    candidate: str = ""
    structure: str = ""
    pruned: Pruned | None = None
    where: str = ""
    members: tuple[MemberScore, ...] = ()


class BestSoFar:
    """The best of the trials that were added; a trial that is no faster than the fastest costs one comparison."""

    def __init__(self, params: OptimizerParams, trials: Iterable[Trial] = ()) -> None:
        self._params = params
        self._within: list[Trial] = []
        self._fastest: Trial | None = None
        self.trial: Trial | None = None
        for trial in trials:
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Look at one more trial."""
        if trial.score is None or trial.measurement is None:
            return
        if not is_allowed(trial.score, self._params):
            beyond = _beyond(trial, self._params)
            if not self._within and (self.trial is None or beyond < _beyond(self.trial, self._params)):
                self.trial = trial
            return
        self._within.append(trial)
        if self._fastest is None or self.trial is None or _slowness(trial) < _slowness(self._fastest):
            self._fastest = trial
            near = [each for each in self._within if not _is_faster(trial, each)]
            self.trial = min(near, key=_preference)
        elif not _is_faster(self._fastest, trial):
            self.trial = min(self.trial, trial, key=_preference)


def best_trial(trials: Iterable[Trial], params: OptimizerParams) -> Trial | None:
    """Return the best of the trials; None if none was measured.

    Within the targets of accuracy and size the fastest; of those that are not measurably slower, the most accurate: see
    ``half_width``. If nothing is within these, the one that is the least beyond them, accuracy first; as POT's search
    has it the one with the lowest loss, in which speed may outweigh any accuracy.
    """
    return BestSoFar(params, trials).trial


def ranked(trials: Sequence[Trial], params: OptimizerParams) -> list[Trial]:
    """Return the measured trials, the best one first; see ``best_trial``."""
    measured = [trial for trial in trials if trial.score is not None and trial.measurement is not None]
    allowed = [t for t in measured if t.score is not None and is_allowed(t.score, params)]
    rest = sorted(allowed, key=_slowness)
    missed = [t for t in measured if t.score is not None and not is_allowed(t.score, params)]
    widest = max(map(half_width, rest), default=0.0)
    order = []
    while rest:
        least = _speed(rest[0]) - math.hypot(half_width(rest[0]), widest)  # slower ones surely are
        near = (
            each for each in rest[: bisect_right(rest, -least, key=_negative_speed)] if not _is_faster(rest[0], each)
        )
        order.append(min(near, key=_preference))
        rest.remove(order[-1])
    return order + sorted(missed, key=lambda trial: _beyond(trial, params))


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that no other trial beats in both accuracy loss and speed, the fastest first."""
    front: list[Trial] = []
    scored = [(trial.score, trial) for trial in trials if trial.score and trial.reused_from is None]
    for score, trial in sorted(scored, key=lambda pair: (-pair[0].speed, pair[0].accuracy_loss)):
        if not front or score.accuracy_loss < _accuracy_loss(front[-1]):
            front.append(trial)
    return front


def _beyond(trial: Trial, params: OptimizerParams) -> tuple[float, ...]:
    """Return what decides between trials that are not allowed; the lowest is best."""
    if params.compatibility == "pot":
        return (_loss(trial),)
    assert trial.score is not None, "only measured trials are ranked"
    return (*shortfall(trial.score, params), *_slowness(trial))


def _is_faster(one: Trial, other: Trial) -> bool:
    """Tell whether the difference of two latency ratios is beyond the 95 % interval of a difference."""
    return _speed(one) - _speed(other) > math.hypot(half_width(one), half_width(other))


def half_width(trial: Trial) -> float:
    """Return half of the width of the 95 % interval of a trial's latency ratio, as choices count it; 0 without one.

    That is no more than what measuring aims at. On a machine that was too busy for it nearly nothing is measurably
    slower than the fastest, and the most accurate would be chosen however slow it seems.
    """
    latency = trial.measurement.latency if trial.measurement else None
    if latency is None or latency.ratio.low is None or latency.ratio.high is None:
        return 0.0
    return min((latency.ratio.high - latency.ratio.low) / 2, TARGET_HALF_WIDTH * latency.ratio.value)


def _speed(trial: Trial) -> float:
    assert trial.score is not None, "only measured trials are ranked"
    return trial.score.speed


def _negative_speed(trial: Trial) -> float:
    return -_speed(trial)


def _slowness(trial: Trial) -> tuple[float, float, int]:
    return _negative_speed(trial), _accuracy_loss(trial), trial.number


def _preference(trial: Trial) -> tuple[float, tuple[float, float, int]]:
    """Return what decides between trials none of which is measurably slower; the lowest is best."""
    return _accuracy_loss(trial), _slowness(trial)


def _loss(trial: Trial) -> float:
    return math.inf if trial.loss is None else trial.loss


def _accuracy_loss(trial: Trial) -> float:
    return math.inf if trial.score is None else trial.score.accuracy_loss
