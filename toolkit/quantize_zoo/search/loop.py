"""The trial loop: ask, build, score, measure, tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

from quantize_zoo.config import OptimizerParams
from quantize_zoo.errors import CellError, WorkerDiedError
from quantize_zoo.quantization import ModelOption, SearchSpace, option_hash, quantization_ratio
from quantize_zoo.search.labels import Choices, base_choices, option_of
from quantize_zoo.search.objective import Score, loss, meets_targets, relative_accuracy_loss
from quantize_zoo.search.sampler import TpeSampler
from quantize_zoo.search.startup import startup_choices
from quantize_zoo.search.trial import (
    Built,
    Measurement,
    Pruned,
    Scored,
    Seconds,
    Timed,
    Trial,
    TrialKind,
    best_trial,
)

# The share of a stage's trials that may go into its start.
_STARTUP_SHARE = 0.2


class CandidateScorer(Protocol):
    """Scores one candidate at a time: the one that was built last."""

    def build(self, option: ModelOption) -> Built:
        """Build the option's model in memory."""
        ...

    def score(self, *, prune: bool) -> Scored:
        """Measure its accuracy on the samples that the search sees; with ``prune`` end when that is hopeless."""
        ...

    def measure(self) -> Timed:
        """Measure its latency; the machine must be quiet meanwhile."""
        ...


@dataclass(frozen=True)
class StagePlan:
    """A stage of a search: where it starts, what it may choose, and when it ends.

    ``types`` and ``errors`` are as in ``startup_choices``; the stage goes on until there are ``until`` trials in all.
    """

    number: int
    base: ModelOption
    space: SearchSpace
    until: int
    types: Mapping[str, str]
    errors: Mapping[str, float]


def run_stage(plan: StagePlan, recorder: TrialRecorder, seed: int) -> Iterator[Trial]:
    """Yield finished trials, the base option's first; what the caller does with one is done before the next is asked.

    Trials of the stage that the recorder knows already are not repeated: the search goes on after them.

    Raises:
        CellError: the base option fails; a failure of any later option is a failed trial.

    """
    recorder.start_clock()
    params = recorder.params
    as_pot = params.compatibility == "pot"
    known = [trial for trial in recorder.trials if trial.stage == plan.number]
    if not known:
        base = recorder.record("base", plan.number, plan.base, base_choices(plan.space))
        if base.failure is not None:
            raise CellError(base.failure, where="the model that the search starts from", remedy="see the cell's log")
        yield base
        known = [base]
    if not plan.space.has_choices:
        return
    count = round(_STARTUP_SHARE * (plan.until - known[0].number))
    startup = [] if as_pot else startup_choices(plan.space, plan.types, plan.errors, count, (seed, plan.number))
    sampler = TpeSampler(plan.space, (seed, plan.number), startup, as_pot=as_pot)
    for trial in known:
        if trial.choices is not None:
            sampler.tell(dict(trial.choices), trial.loss)
    sampler.skip(len(known) - 1)

    with ThreadPoolExecutor(1) as thread:
        position = len(known) - 1
        choices = sampler.ask()
        while not recorder.is_finished(plan.until):
            # Asking takes as long as a part of a trial: the next is asked for while this one is scored, and so does not
            # know its loss. POT asked afterwards.
            upcoming = None if as_pot else thread.submit(sampler.ask)
            kind: TrialKind = "informed" if position < len(startup) else "search"
            option = option_of(plan.space, plan.base, choices)
            trial = recorder.record(kind, plan.number, option, choices, upcoming.result if upcoming else _nothing)
            following = upcoming.result() if upcoming else None
            sampler.tell(choices, trial.loss)
            yield trial
            position += 1
            choices = sampler.ask() if following is None else following


def _nothing() -> None:
    """Wait for nothing."""


class TrialRecorder:
    """Makes trials of options; knows what was evaluated before, and the time since the last trial was finished.

    A configuration that was evaluated already, or that makes the same model, is not evaluated again; its result counts
    as a new observation. The latency of a structure is measured once.

    Args:
        scorer: what builds and measures.
        params: of the search.
        fp32_accuracy: what accuracy losses refer to.
        higher_is_better: which way the tuned metric gets better.
        trials: those that a search that is continued has already, whose latencies hold here.

    """

    def __init__(
        self,
        scorer: CandidateScorer,
        params: OptimizerParams,
        fp32_accuracy: float,
        trials: Sequence[Trial] = (),
        *,
        higher_is_better: bool = True,
    ) -> None:
        self.params = params
        self.trials = list(trials)
        self._scorer = scorer
        self._fp32_accuracy = fp32_accuracy
        self._higher_is_better = higher_is_better
        self._started = self._last = time.perf_counter()

    def start_clock(self) -> None:
        """Count the time from now on as the next trial's."""
        self._last = time.perf_counter()

    def is_finished(self, until: int) -> bool:
        """Tell whether there are enough trials, the time is over, or the targets are met and that is all one wants."""
        if len(self.trials) >= until:
            return True
        minutes = (time.perf_counter() - self._started) / 60
        if self.params.max_minutes is not None and minutes >= self.params.max_minutes:
            return True
        best = best_trial(self.trials, self.params) if self.params.stop_on_target else None
        return best is not None and best.score is not None and meets_targets(best.score, self.params)

    def record(
        self,
        kind: TrialKind,
        stage: int,
        option: ModelOption,
        choices: Choices | None,
        wait_for_quiet: Callable[[], object] = _nothing,
    ) -> Trial:
        """Evaluate an option; ``wait_for_quiet`` is called before latency is measured."""
        trial = Trial(
            number=len(self.trials),
            kind=kind,
            option=option,
            option_hash=option_hash(option),
            measurement=None,
            score=None,
            loss=None,
            reused_from=None,
            failure=None,
            seconds=Seconds(),
            stage=stage,
            choices=choices,
        )
        known = next((each for each in self.trials if each.option_hash == trial.option_hash), None)
        try:
            finished = self._measured(trial, wait_for_quiet) if known is None else _reused(trial, known)
        except WorkerDiedError:
            raise
        except CellError as error:
            finished = replace(trial, failure=error.what)
        now = time.perf_counter()
        overhead = max(0.0, now - self._last - finished.seconds.total)
        self._last = now
        finished = replace(finished, seconds=replace(finished.seconds, overhead=overhead))
        self.trials.append(finished)
        return finished

    def _measured(self, trial: Trial, wait_for_quiet: Callable[[], object]) -> Trial:
        built = self._scorer.build(trial.option)
        trial = replace(
            trial, candidate=built.candidate, structure=built.structure, seconds=Seconds(build=built.seconds)
        )
        same = next((each for each in self.trials if each.candidate == built.candidate), None)
        if same is not None:
            return _reused(trial, same)
        # The first model of a stage is what the others are compared with.
        prune = trial.kind != "base" and self.params.compatibility is None
        scored = self._scorer.score(prune=prune)
        accuracy_loss = relative_accuracy_loss(
            self._fp32_accuracy, scored.accuracy.value, higher_is_better=self._higher_is_better
        )
        seconds = replace(trial.seconds, compile=scored.compile_seconds, accuracy=scored.seconds)
        if scored.hopeless:
            # Its latency is not known; the search is told that of the base, which is the origin of the loss's scale.
            known = self._base_score(Score(accuracy_loss, 1.0, 1.0)).latency_ratio
            value = self._loss(Score(accuracy_loss, known, quantization_ratio(trial.option)))
            return replace(trial, pruned=Pruned(scored.accuracy, accuracy_loss), loss=value, seconds=seconds)
        twin = next((each for each in self.trials if each.structure == built.structure and each.measurement), None)
        if twin is None or twin.measurement is None:
            wait_for_quiet()
            timed = self._scorer.measure()
            compiled = seconds.compile + timed.compile_seconds
            seconds = replace(seconds, compile=compiled, latency=timed.seconds)
            latency, execution, origin = timed.latency, timed.execution, None
        else:
            latency, execution = twin.measurement.latency, twin.measurement.execution
            origin = twin.number if twin.measurement.latency_from is None else twin.measurement.latency_from
        measurement = Measurement(scored.accuracy, scored.metrics, scored.per_sample, latency, execution, origin)
        ratio = None if latency is None else latency.ratio.value
        score = Score(accuracy_loss, ratio, quantization_ratio(trial.option))
        return replace(trial, measurement=measurement, score=score, loss=self._loss(score), seconds=seconds)

    def _loss(self, score: Score) -> float:
        return loss(score, self._base_score(score), self.params)

    def _base_score(self, otherwise: Score) -> Score:
        """Return the score of the first trial, which sets the scales of the loss."""
        return next((trial.score for trial in self.trials if trial.score is not None), otherwise)


def _reused(trial: Trial, known: Trial) -> Trial:
    origin = known.number if known.reused_from is None else known.reused_from
    return replace(
        trial,
        candidate=known.candidate,
        structure=known.structure,
        measurement=known.measurement,
        score=known.score,
        loss=known.loss,
        failure=known.failure,
        pruned=known.pruned,
        reused_from=origin,
    )
