"""The one value that all reports are made of. Every figure on a page is computed here or before, none in a template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from quantize_zoo.gate import GateResult, GateStatus, Trend, Verdict, find_trend, judge
from quantize_zoo.report.differences import EnvironmentRow, OperationRow, environment_rows, operation_rows
from quantize_zoo.scoring import PairedLatency
from quantize_zoo.search import ERROR_RATE, Trial, best_trial, pareto_front
from quantize_zoo.store import Baseline, CellRecord, RunRecord, Store, StoredBaseline, current_baselines

# The worst first; what is against a baseline before what is against targets.
STATUS_ORDER = (
    "failed", "regressed", "interrupted", "inconclusive", "changed", "waived", "trend", "missing", "missed",
    "keep-fp32", "improved", "pass", "met", "new", "unavailable", "note",
)  # fmt: skip
_GATE = TypeAdapter(GateResult)


@dataclass(frozen=True)
class Night:
    """What a cell was in one run; ``holdout`` is INT8's metric there, ``ratio`` FP32 time / INT8 time."""

    run_id: str
    fp32: float
    holdout: float | None
    ratio: float | None


@dataclass(frozen=True)
class CellReport:
    """A cell, its verdict, and what the page draws."""

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
    gate_status: GateStatus | None  # None where nothing has a baseline
    baseline: Baseline | None  # what the gate held the cell against
    nights: tuple[Night, ...] = ()
    trends: tuple[Trend, ...] = ()

    @property
    def latency(self) -> PairedLatency | None:
        """The best model's latency: measured again at the end, or the trial's own where the cell did not get there."""
        if self.record.final is not None:
            return self.record.final.latency
        return self.best.measurement.latency if self.best and self.best.measurement else None

    @property
    def status(self) -> str:
        """What the cell is in one word: against its baseline where it has one, else against its targets."""
        if self.gate_status is None or self.gate_status == "new":
            return self.verdict.status
        return self.gate_status


@dataclass(frozen=True)
class RunReport:
    """A run with its verdicts, against its targets and against its baselines."""

    run: RunRecord
    cells: tuple[CellReport, ...]
    missing: tuple[str, ...] = ()  # cells that have a baseline and are not in the run

    @property
    def exit_status(self) -> int:
        """Return the exit status of design: 130 interrupted, 3 a failed cell, 1 a missed target, 0 all well."""
        statuses = {cell.verdict.status for cell in self.cells}
        if self.run.status == "interrupted" or "interrupted" in statuses:
            return 130
        gates = {cell.gate_status for cell in self.cells}
        if "failed" in statuses | gates or ("unavailable" in statuses and self.run.on_missing_device == "fail"):
            return 3
        if "regressed" in gates:
            return 1
        if self.run.require_targets and statuses & {"missed", "keep-fp32"}:
            return 1
        return 0


def report_of(run: RunRecord, store: Store) -> RunReport:
    """Return a run's report, with what the store knows of baselines and of earlier nights."""
    nights = {cell.name: store.nights(cell.model, cell.device, until=run.id) for cell in run.cells}
    return make_run_report(run, store.baselines(history=True), nights)


def make_run_report(
    run: RunRecord,
    baselines: Sequence[StoredBaseline] = (),
    nights: Mapping[str, Sequence[CellRecord]] | None = None,
) -> RunReport:
    """Judge all cells of a run and derive what the pages show.

    Args:
        run: the run.
        baselines: all that there ever were.
        nights: by the name of a cell its records in this and earlier runs, the oldest first.

    """
    history = nights or {}
    known = {baseline.id: baseline.content for baseline in baselines}
    gated = [baseline.name for baseline in current_baselines(baselines)]
    cells = tuple(
        _cell_report(cell, known, gated=bool(gated), nights=_nights(history.get(cell.name, ()))) for cell in run.cells
    )
    names = {cell.record.name for cell in cells}
    return RunReport(run, cells, tuple(name for name in gated if name not in names))


def _cell_report(
    cell: CellRecord, baselines: Mapping[int, Baseline], *, gated: bool, nights: tuple[Night, ...]
) -> CellReport:
    best = cell.trials[cell.final.trial] if cell.final else best_trial(cell.trials, cell.params)
    seconds = [trial.seconds for trial in cell.trials]
    total = sum(part.total for part in seconds)
    gate = None if cell.gate is None else _GATE.validate_python(cell.gate)
    baseline = None if gate is None else baselines.get(gate.baseline)
    overhead = sum(part.overhead for part in seconds)
    return CellReport(
        record=cell,
        verdict=judge(cell),
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
        gate_status=_gate_status(cell, gate, gated=gated),
        baseline=baseline,
        nights=nights,
        trends=tuple(_trends(nights)),
    )


def _nights(records: Sequence[CellRecord]) -> tuple[Night, ...]:
    return tuple(
        Night(
            record.run_id,
            record.reference.accuracy.value,
            record.final.holdout.int8.value if record.final.holdout else None,
            record.final.latency.ratio.value if record.final.latency else None,
        )
        for record in records
        if record.reference and record.final
    )


def _trends(nights: Sequence[Night]) -> Iterator[Trend]:
    """Yield figures that have shifted over the nights; latency as FP32 / INT8, so that machines compare."""
    series = {
        "FP32 accuracy": [night.fp32 for night in nights],
        "INT8 on the holdout": [night.holdout for night in nights if night.holdout is not None],
        "FP32 / INT8 time": [night.ratio for night in nights if night.ratio is not None],
    }
    for quantity, values in series.items():
        trend = find_trend(quantity, values)
        if trend is not None:
            yield trend


def _gate_status(cell: CellRecord, gate: GateResult | None, *, gated: bool) -> GateStatus | None:
    if gate is not None:
        return gate.status
    if not gated:
        return None
    if cell.status in ("unavailable", "failed"):
        return "unavailable" if cell.status == "unavailable" else "failed"
    return "new"


def _best_so_far(cell: CellRecord) -> tuple[int, ...]:
    numbers = []
    for count in range(1, len(cell.trials) + 1):
        best = best_trial(cell.trials[:count], cell.params)
        numbers.append(-1 if best is None else best.number)
    return tuple(numbers)
