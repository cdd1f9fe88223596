"""The one value that all reports are made of. Every figure on a page is computed here or before, none in a template."""

from __future__ import annotations

import math
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from quantize_zoo import errors
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import (
    MOST_NIGHTS,
    GateResult,
    GateStatus,
    Trend,
    Verdict,
    VerdictStatus,
    failed_report,
    find_trend,
    judge,
)
from quantize_zoo.matrix.repository import CommitRange, commits_between
from quantize_zoo.report.absent import AbsentCell, absent_cells
from quantize_zoo.report.differences import EnvironmentRow, OperationRow, environment_rows, operation_rows
from quantize_zoo.report.place import Place, find_place
from quantize_zoo.report.predictions import Predictions, predictions
from quantize_zoo.scoring import Estimate, PairedLatency
from quantize_zoo.search import ERROR_RATE, BestSoFar, Optimism, Trial, best_trial, pareto_front, predicted_optimism
from quantize_zoo.store import (
    Baseline,
    CellRecord,
    ErrorRecord,
    NightRecord,
    RunRecord,
    Store,
    StoredBaseline,
    current_baselines,
)
from quantize_zoo.terms import LARGEST

# The worst first; what is against a baseline before what is against targets.
STATUS_ORDER = (
    "regressed", "failed", "interrupted", "data-changed", "inconclusive", "changed", "waived", "trend", "missing",
    "missed", "undecided", "keep-fp32", "improved", "pass", "met", "new", "unavailable", "note",
)  # fmt: skip
_GATE = TypeAdapter(GateResult)
_GOOD: tuple[GateStatus, ...] = ("pass", "improved", "changed", "data-changed")  # nights that a regression came after
_HERE = Place()


@dataclass(frozen=True)
class Night:
    """What a cell was in one run; ``holdout`` is INT8's metric there, ``speedup`` FP32 time / INT8 time.

    A figure that is not finite is None.
    """

    run_id: str
    fp32: float | None
    holdout: float | None
    speedup: float | None


@dataclass(frozen=True)
class CellReport:
    """A cell, its verdict, and what the page draws.

    ``commits`` of a regressed cell are those since the last good night, where that is known.
    """

    record: CellRecord
    verdict: Verdict
    best: Trial | None
    pareto: tuple[int, ...]
    best_so_far: tuple[int, ...]  # for each trial the number of the best one up to it; -1 before the first score
    operations: tuple[OperationRow, ...]
    environment: tuple[EnvironmentRow, ...]
    minutes: float
    overhead_share: float | None  # share of the trials' time that is not build, compile, accuracy or latency
    trials_per_minute: float | None
    pruned_trials: int
    pruning_error_rate: float
    gate: GateResult | None
    has_baseline: bool
    baseline: Baseline | None  # what the gate held the cell against
    nights: tuple[Night, ...] = ()
    trends: tuple[Trend, ...] = ()
    drawn: bool = True  # False where the charts cannot be
    commits: CommitRange | None = None
    optimism: Optimism | None = None  # of the choice among the trials; None where losses have no interval
    predictions: Predictions | None = None  # None where the search had no survey

    @property
    def seconds(self) -> float:
        """How long its steps took as far as that is stored: preparing, other tools, calibration and trials."""
        prepared = self.record.reference.seconds if self.record.reference else 0.0
        others = sum(point.seconds for point in self.record.references)
        return prepared + others + (self.record.calibration_seconds or 0.0) + 60 * self.minutes

    @property
    def latency(self) -> PairedLatency | None:
        """The best model's latency: measured again at the end, or the trial's own where the cell did not get there."""
        if self.record.final is not None:
            return self.record.final.latency
        return self.best.measurement.latency if self.best and self.best.measurement else None

    @property
    def loss(self) -> Estimate | None:
        """The best model's loss on the samples of the search, with its interval where that is stored."""
        if self.record.final is not None and self.record.final.loss is not None:
            return self.record.final.loss
        score = self.best.score if self.best else None
        return None if score is None else Estimate(score.accuracy_loss, None, None, "", 0)

    @property
    def unresolved(self) -> float | None:
        """By how much the best model's loss may be off (95 %), where the samples cannot tell whether the target is met.

        That is more than the target allows to lose; None where all of the interval is on one side of the target.
        """
        loss, allowed = self.loss, self.record.params.accuracy_loss / 100
        if loss is None or loss.low is None or loss.high is None or not loss.low <= allowed < loss.high:
            return None
        half = (loss.high - loss.low) / 2
        return half if half > allowed else None

    @property
    def status(self) -> VerdictStatus:
        """What the cell is in one word; see ``Verdict``."""
        return self.verdict.status

    @property
    def gate_status(self) -> GateStatus | None:
        """What the cell is against its baseline; None where no cell has one."""
        return self.verdict.gate_status


_FLEET_FIGURES = (
    "of a fleet accuracy is that of the member that leads, loss that of the member that loses most, latency the mean of"
    " all"
)


@dataclass(frozen=True)
class RunReport:
    """A run with its verdicts, against its targets and against its baselines.

    ``absent`` are cells that have a baseline, or were to be run, and are not in it.
    """

    run: RunRecord
    cells: tuple[CellReport, ...]
    absent: tuple[AbsentCell, ...] = ()
    newest: bool = False  # of all runs in its store
    place: Place = _HERE

    @property
    def fleet_figures(self) -> str:
        """Whose figures those of a fleet are; nothing in a run without one."""
        references = (cell.record.reference for cell in self.cells)
        return _FLEET_FIGURES if any(each is not None and each.fleet for each in references) else ""

    @property
    def interrupted(self) -> bool:
        """Whether the run ended before it was done, or a cell or its comparison did."""
        found = {status for cell in self.cells for status in (cell.verdict.target_status, cell.gate_status)}
        return self.run.status == "interrupted" or "interrupted" in found

    @property
    def exit_status(self) -> int:
        """130 interrupted (by SIGTERM 143, which the caller knows), 1 a regression or a required target missed, 3 a
        failed cell, 0 all well.
        """
        if self.interrupted:
            return 130
        alarms = {alarm for cell in self.cells for alarm in cell.verdict.alarms}
        if alarms & {"regression", "missed target"}:
            return 1
        return 3 if "failure" in alarms else 0


def report_of(run: RunRecord, store: Store, reports: Path) -> RunReport:
    """Return a run's report, with what the store knows of baselines and of other nights.

    Args:
        run: the run.
        store: where it is stored.
        reports: the folder that its own folder is in.

    """
    baselines = {each.id: each for each in store.baselines()}
    named = {each.name: (each.content.model, each.content.device) for each in baselines.values()}
    run_names = {cell.name for cell in run.cells}
    gates = {
        name: gate
        for name, parts in named.items()
        if name not in run_names and (gate := store.last_gate(*parts, until=run.id))
    }
    nights = {cell.name: store.nights(cell.model, cell.device, run.id, MOST_NIGHTS) for cell in run.cells}
    former = store.baselines_by_id({number for cell in run.cells for number in _held_against(cell)} - baselines.keys())
    place = find_place(run.matrix, reports, store.url)
    newest = store.newest_run() == run.id
    made = make_run_report(
        run, list(baselines.values()), nights, former=former, gates=gates, newest=newest, place=place
    )
    return replace(made, cells=tuple(_with_commits(cell, run, store) for cell in made.cells))


def _held_against(cell: CellRecord) -> Iterator[int]:
    """Yield the id of the baseline that a cell was held against, if one can be read."""
    number = None if cell.gate is None else cell.gate.get("baseline")
    if isinstance(number, int) and 0 < number <= LARGEST:
        yield number


def _with_commits(cell: CellReport, run: RunRecord, store: Store) -> CellReport:
    """Return a regressed cell with the commits since the last good night, or since its baseline."""
    if cell.gate_status != "regressed" or run.repository is None:
        return cell
    record = cell.record
    good = store.runs_that_were(_GOOD, record.model, record.device, run.id)
    if cell.baseline is not None:
        good.append(cell.baseline.run_id)
    repositories = store.repositories()
    since = next((run_id for run_id in good if run_id in repositories and run_id != run.id), None)
    if since is None:
        return cell
    return replace(cell, commits=commits_between(run.repository, since, repositories[since].commit))


def make_run_report(
    run: RunRecord,
    baselines: Sequence[StoredBaseline] = (),
    nights: Mapping[str, Sequence[NightRecord]] | None = None,
    *,
    former: Sequence[StoredBaseline] = (),
    gates: Mapping[str, tuple[str, dict[str, Any]]] | None = None,
    newest: bool = False,
    place: Place = _HERE,
) -> RunReport:
    """Judge all cells of a run and derive what the pages show; a cell that cannot be judged is a failed one.

    Args:
        run: the run.
        baselines: those that hold.
        nights: by the name of a cell what it was in this and the runs before, the oldest first.
        former: baselines that hold no longer, and that a cell of the run was held against.
        gates: by the name of a cell that is not in the run the last one in which it was held against a baseline, and
            what was found there.
        newest: whether the run is the newest of its store.
        place: where the run is stored.

    """
    history = nights or {}
    current = current_baselines(baselines)
    known = {baseline.id: baseline.content for baseline in (*former, *baselines)}
    gated = [baseline.name for baseline in current]

    def judged(cell: CellRecord) -> CellReport:
        try:
            return _cell_report(cell, run, known, gated, _nights(history.get(cell.name, ())))
        except Exception as error:  # of this cell; the others are to be reported
            return bare_report(cell, None, errors.cell_unreportable("the verdict", *described(error)))

    cells = tuple(judged(cell) for cell in run.cells)
    return RunReport(run, cells, tuple(absent_cells(run, current, gates or {})), newest, place)


def described(error: Exception) -> tuple[str, str]:
    """Return what an error of ours says, and the file and line where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return errors.described(error), place


def bare_report(cell: CellRecord, verdict: Verdict | None, error: QuantizeZooError) -> CellReport:
    """Return a cell of which nothing is told but its name, what it was started as, and why that is all."""
    told = ErrorRecord(error.what, error.where, error.remedy)
    record = CellRecord(
        cell.id, cell.run_id, cell.model, cell.device, "failed", cell.method, cell.params, told, None, None, None, ()
    )
    judged = replace(failed_report(verdict, error.what), targets=(), checks=())
    return CellReport(
        record, judged, None, (), (), (), (), 0.0, None, None, 0, ERROR_RATE, None, has_baseline=False, baseline=None
    )


def _cell_report(
    cell: CellRecord,
    run: RunRecord,
    baselines: Mapping[int, Baseline],
    gated: Collection[str],
    nights: tuple[Night, ...],
) -> CellReport:
    best = cell.trials[cell.final.trial] if cell.final else best_trial(cell.trials, cell.params)
    seconds = [trial.seconds for trial in cell.trials]
    total = sum(part.total for part in seconds)
    gate = None if cell.gate is None else _GATE.validate_python(cell.gate)
    baseline = None if gate is None else baselines.get(gate.baseline)
    overhead = sum(part.overhead for part in seconds)
    return CellReport(
        record=cell,
        verdict=judge(cell, run, gate, gated, baseline.latency if baseline else None),
        best=best,
        pareto=tuple(trial.number for trial in pareto_front(cell.trials)),
        best_so_far=_best_so_far(cell),
        operations=operation_rows(cell, best, baseline),
        environment=environment_rows(cell, baseline),
        minutes=total / 60,
        overhead_share=overhead / total if total else None,
        trials_per_minute=60 * len(cell.trials) / total if total else None,
        pruned_trials=sum(trial.pruned is not None for trial in cell.trials),
        pruning_error_rate=ERROR_RATE,
        gate=gate,
        has_baseline=cell.name in gated,
        baseline=baseline,
        nights=nights,
        trends=tuple(_trends(nights)),
        optimism=predicted_optimism(cell.trials, cell.params),
        predictions=predictions(cell),
    )


def _nights(records: Sequence[NightRecord]) -> tuple[Night, ...]:
    return tuple(
        Night(each.run_id, _finite(each.fp32), _finite(each.holdout), _finite(each.speedup)) for each in records
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _trends(nights: Sequence[Night]) -> Iterator[Trend]:
    """Yield figures that have shifted over the nights; latency as FP32 / INT8, so that machines compare."""
    series = {
        "FP32 accuracy": [night.fp32 for night in nights if night.fp32 is not None],
        "INT8 on the holdout": [night.holdout for night in nights if night.holdout is not None],
        "FP32 / INT8 time": [night.speedup for night in nights if night.speedup is not None],
    }
    for quantity, values in series.items():
        trend = find_trend(quantity, values)
        if trend is not None:
            yield trend


def _best_so_far(cell: CellRecord) -> tuple[int, ...]:
    numbers, best = [], BestSoFar(cell.params)
    for trial in cell.trials:
        best.add(trial)
        numbers.append(-1 if best.trial is None else best.trial.number)
    return tuple(numbers)
