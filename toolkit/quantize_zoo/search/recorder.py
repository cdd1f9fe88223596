"""Trials are made here, of what was found out of an option and of what is known of the trials before it."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption, option_hash, quantization_ratio
from quantize_zoo.scoring import Estimate, PairedLatency
from quantize_zoo.search.evaluation import Evaluation, Known
from quantize_zoo.search.members import asking_order
from quantize_zoo.search.objective import Score, is_allowed, loss, meets_size, meets_targets, relative_accuracy_loss
from quantize_zoo.search.trial import BestSoFar, Measurement, Pruned, Seconds, Trial, TrialKind, pareto_front


class TrialRecorder:
    """Makes trials of evaluations; knows what was evaluated before.

    A configuration that was evaluated already, or that makes the same model, is not evaluated again; its result counts
    as a new observation. The latency of a structure is measured once.

    Args:
        params: of the search.
        fp32_accuracy: what accuracy losses refer to.
        higher_is_better: which way the tuned metric gets better.
        trials: those that a search that is continued has already, whose latencies hold here.
        prunes: trials may be ended early.
        members: of a fleet that are here, in its order.

    """

    def __init__(
        self,
        params: OptimizerParams,
        fp32_accuracy: float,
        trials: Sequence[Trial] = (),
        *,
        higher_is_better: bool = True,
        prunes: bool = True,
        members: Sequence[str] = (),
    ) -> None:
        self.params = params
        self._members = tuple(members)
        self.trials: list[Trial] = []
        self._best = BestSoFar(params)
        # The first trial of each configuration, model and measured structure, and the first that has a score.
        self._by_option: dict[str, Trial] = {}
        self._by_candidate: dict[str, Trial] = {}
        self._by_structure: dict[str, Trial] = {}
        self._first_scored: Score | None = None
        self._fp32_accuracy = fp32_accuracy
        self._higher_is_better = higher_is_better
        self._prunes = prunes and params.compatibility is None
        self._started = time.perf_counter()
        for trial in trials:
            self._keep(trial)

    @property
    def best(self) -> Trial | None:
        """The best of the trials; see ``best_trial``."""
        return self._best.trial

    def is_finished(self, until: int) -> bool:
        """Tell whether there are enough trials, the time is over, or the targets are met and that is all one wants."""
        return len(self.trials) >= until or bool(self.why_over())

    def why_over(self) -> str:
        """Say why there are no more trials, however many were asked for; empty if nothing forbids them."""
        minutes = (time.perf_counter() - self._started) / 60
        if self.params.max_minutes is not None and minutes >= self.params.max_minutes:
            return f"its time is over, {self.params.max_minutes:.2g} minutes for calibration, surveys and trials"
        best = self.best if self.params.stop_on_target else None
        if best is None or best.score is None or best.option.is_fp32:  # as fast as FP32, whatever was measured
            return ""
        return "the targets are met" if meets_targets(best.score, self.params) else ""

    def draft(self, kind: TrialKind, stage: int, option: ModelOption) -> Trial:
        """Return a trial that has not begun."""
        return Trial(
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
        )

    def is_known(self, trial: Trial) -> bool:
        """Tell whether the trial's configuration was evaluated before."""
        return trial.option_hash in self._by_option

    def known(self) -> Known:
        """Return what needs no second look."""
        known = Known(frozenset(self._by_candidate), self._hopeless, self._least_losses())
        if not self._members:
            return known
        asked = (each.members for each in self.trials if each.reused_from is None)
        order = asking_order(self._members, asked, self.params.accuracy_loss / 100)
        found = self.best is not None and self.best.score is not None and is_allowed(self.best.score, self.params)
        return replace(known, members=order, found=found)

    @property
    def _hopeless(self) -> float:
        """What none loses that may be the best: the target, or the best's loss, the least, while nothing meets it."""
        least = math.inf if self.best is None or self.best.score is None else self.best.score.accuracy_loss
        return max(self.params.accuracy_loss / 100, least)

    def _least_losses(self) -> dict[str, float]:
        """Return of each structure the least loss of the trials that were as fast; infinite where that is not known.

        Where size is a target, those that miss it are nobody's rivals.
        """
        rivals = [each for each in self.trials if each.score and meets_size(each.score.size_ratio, self.params)]
        front = [each.score for each in pareto_front(rivals) if each.score]  # the faster, the less accurate
        speeds = [-each.speed for each in front]
        least = {}
        for structure, trial in self._by_structure.items():
            found = 0 if trial.score is None else bisect_right(speeds, -trial.score.speed)
            least[structure] = front[found - 1].accuracy_loss if found else math.inf
        return least

    def may_prune(self, trial: Trial) -> bool:
        """Tell whether a trial may be ended early; a stage's first model is what the others are compared with,
        that of ``eval`` is what was asked for, and the baseline's has to be known.
        """
        return trial.kind not in ("base", "eval", "baseline") and self._prunes

    def finish(self, trial: Trial, outcome: Evaluation | str | None, seconds: float) -> Trial:
        """Return the finished trial, and know it from now on.

        Args:
            trial: the draft.
            outcome: what was found out, why nothing was, or None for a configuration that is known.
            seconds: wall time since the trial began.

        """
        trial = replace(trial, number=len(self.trials))
        same = self._by_option.get(trial.option_hash)
        if same is not None:
            finished = _reused(trial, same)
        elif isinstance(outcome, Evaluation):
            finished = self._measured(trial, outcome)
        else:
            finished = replace(trial, failure=outcome)
        overhead = max(0.0, seconds - finished.seconds.total)
        finished = replace(finished, seconds=replace(finished.seconds, overhead=overhead))
        self._keep(finished)
        return finished

    def _keep(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._best.add(trial)
        self._by_option.setdefault(trial.option_hash, trial)
        if trial.candidate:
            self._by_candidate.setdefault(trial.candidate, trial)
        if trial.measurement:
            self._by_structure.setdefault(trial.structure, trial)
        if self._first_scored is None:
            self._first_scored = trial.score

    def _measured(self, trial: Trial, found: Evaluation) -> Trial:
        built, scored = found.built, found.scored
        trial = replace(
            trial, candidate=built.candidate, structure=built.structure, seconds=Seconds(build=built.seconds)
        )
        same = self._by_candidate.get(built.candidate)
        if same is not None or scored is None:
            assert same is not None, "only a known model is not scored"
            return _reused(trial, same)
        if found.failure:
            return replace(trial, failure=found.failure)
        trial = replace(trial, members=scored.members)
        accuracy_loss = relative_accuracy_loss(
            self._fp32_accuracy, scored.accuracy.value, higher_is_better=self._higher_is_better
        )
        if scored.members:
            accuracy_loss = max(each.accuracy_loss for each in scored.members)
        seconds = replace(trial.seconds, compile=scored.compile_seconds, accuracy=scored.seconds)
        if scored.hopeless:
            # Its latency is not known, if its structure is not: the search is told that of the base, which is the
            # origin of the loss's scale.
            twin = self._by_structure.get(built.structure)
            likely = self._base_score(Score(accuracy_loss, 1.0, 1.0)) if twin is None else twin.score
            known = None if likely is None else likely.latency_ratio
            value = self._loss(Score(accuracy_loss, known, quantization_ratio(trial.option), built.size_ratio))
            return replace(trial, pruned=Pruned(scored.accuracy, accuracy_loss), loss=value, seconds=seconds)
        twin = self._by_structure.get(built.structure)
        timed = found.timed
        if timed is not None:
            compiled = seconds.compile + timed.compile_seconds
            seconds = replace(seconds, compile=compiled, latency=timed.seconds)
        if twin is None or twin.measurement is None:
            assert timed is not None, "only a known structure is not measured"
            latency, execution, origin = timed.latency, timed.execution, None
            latencies, slower = timed.members, timed.slower
            if trial.option.is_fp32:
                latency, slower = latency and _as_fp32(latency), ()
                latencies = {name: _as_fp32(each) for name, each in latencies.items()}
            trial = replace(trial, where=found.where)
        else:
            latency, execution = twin.measurement.latency, twin.measurement.execution
            latencies = {each.name: each.latency for each in twin.members if each.latency is not None}
            slower = () if twin.score is None else twin.score.slower
            origin = twin.number if twin.measurement.latency_from is None else twin.measurement.latency_from
        measurement = Measurement(
            scored.accuracy, dict(scored.metrics), latency, execution, origin, scored.accuracy_loss
        )
        ratio = None if latency is None else latency.ratio.value
        score = Score(accuracy_loss, ratio, quantization_ratio(trial.option), built.size_ratio, slower)
        members = tuple(replace(each, latency=latencies.get(each.name)) for each in trial.members)
        trial = replace(trial, members=members)
        return replace(trial, measurement=measurement, score=score, loss=self._loss(score), seconds=seconds)

    def _loss(self, score: Score) -> float:
        return loss(score, self._base_score(score), self.params)

    def _base_score(self, otherwise: Score) -> Score:
        """Return the score of the first trial, which sets the scales of the loss."""
        return self._first_scored or otherwise


def _as_fp32(latency: PairedLatency) -> PairedLatency:
    """Return what was measured of FP32 against itself: whatever differs is noise."""
    return replace(latency, ratio=Estimate(1.0, 1.0, 1.0, "x", latency.ratio.samples))


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
        members=known.members,
        reused_from=origin,
    )
