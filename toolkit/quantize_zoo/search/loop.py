"""The trial loop: ask, evaluate, tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from quantize_zoo.config import OptimizerParams
from quantize_zoo.errors import CellError, WorkerDiedError
from quantize_zoo.quantization import ModelOption, SearchSpace, assemble, option_hash, quantization_ratio
from quantize_zoo.search.objective import Score, loss, relative_accuracy_loss
from quantize_zoo.search.sampler import TpeSampler
from quantize_zoo.search.trial import Measurement, Seconds, Trial, TrialKind

Evaluate = Callable[[ModelOption], Measurement]


@dataclass(frozen=True)
class SearchPlan:
    """What a search needs to know: where it starts, what it may choose, the FP32 metric, parameters and seed."""

    base: ModelOption
    space: SearchSpace
    fp32_accuracy: float
    params: OptimizerParams
    seed: int


def iterate_trials(plan: SearchPlan, evaluate: Evaluate) -> Iterator[Trial]:
    """Yield finished trials, the base option's first; what the caller does with one is done before the next is asked.

    A configuration that was evaluated already is not evaluated again; its result counts as a new observation.

    Raises:
        CellError: the base option fails; a failure of any later option is a failed trial.

    """
    recorder = _Recorder(plan, evaluate)
    base = recorder.record(0, "base", plan.base)
    if base.failure is not None or base.loss is None:
        raise CellError(base.failure or "", where="the fully quantized model", remedy="see the cell's log")
    yield base
    if not plan.space.has_choices:
        return
    sampler = TpeSampler(plan.space, plan.seed)
    sampler.observe_base(base.loss)
    for number in range(1, plan.params.max_trials):
        if plan.params.max_minutes is not None and recorder.minutes() >= plan.params.max_minutes:
            return
        ticket, choices = sampler.ask()
        trial = recorder.record(number, "search", assemble(plan.base, choices.operations, choices.steps))
        sampler.tell(ticket, trial.loss)
        yield trial


class _Recorder:
    """Makes trials of options; knows what was evaluated before, and the time since the last trial was finished."""

    def __init__(self, plan: SearchPlan, evaluate: Evaluate) -> None:
        self._plan = plan
        self._evaluate = evaluate
        self._known: dict[str, Trial] = {}
        self._base_score: Score | None = None
        self._started = self._last = time.perf_counter()

    def minutes(self) -> float:
        return (time.perf_counter() - self._started) / 60

    def record(self, number: int, kind: TrialKind, option: ModelOption) -> Trial:
        key = option_hash(option)
        known = self._known.get(key)
        if known is not None:
            seconds = Seconds(0.0, 0.0, 0.0, 0.0, self._lap())
            return replace(known, number=number, kind=kind, option=option, reused_from=known.number, seconds=seconds)
        try:
            trial = self._measured(number, kind, option, key)
        except WorkerDiedError:
            raise
        except CellError as error:
            spent = Seconds(0.0, 0.0, 0.0, 0.0, self._lap())
            trial = Trial(number, kind, option, key, None, None, None, None, error.what, spent)
        self._known[key] = trial
        return trial

    def _measured(self, number: int, kind: TrialKind, option: ModelOption, key: str) -> Trial:
        measurement = self._evaluate(option)
        accuracy_loss = relative_accuracy_loss(self._plan.fp32_accuracy, measurement.accuracy.value)
        score = Score(accuracy_loss, measurement.latency.ratio.value, quantization_ratio(option))
        self._base_score = self._base_score or score
        value = loss(score, self._base_score, self._plan.params)
        spent = measurement.seconds
        seconds = replace(spent, overhead=max(0.0, self._lap() - spent.total))
        return Trial(number, kind, option, key, measurement, score, value, None, None, seconds)

    def _lap(self) -> float:
        now = time.perf_counter()
        lap, self._last = now - self._last, now
        return lap
