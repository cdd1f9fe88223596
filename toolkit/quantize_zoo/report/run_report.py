"""The one value that all reports are made of. Every figure on a page is computed here or before, none in a template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from quantize_zoo.gate import GateResult, GateStatus, Trend, Verdict, find_trend, judge
from quantize_zoo.quantization import TensorOption
from quantize_zoo.scoring import PairedLatency
from quantize_zoo.search import ERROR_RATE, Trial, best_trial, pareto_front
from quantize_zoo.store import CellRecord, RunRecord

SCHEMA_VERSION = 3
_GATE = TypeAdapter(GateResult)


@dataclass(frozen=True)
class OperationRow:
    """One operation of the best model, in graph order."""

    name: str
    type: str
    quantized: bool
    activations: str
    weights: str


@dataclass(frozen=True)
class CellReport:
    """A cell, its verdict, and what the page draws."""

    record: CellRecord
    verdict: Verdict
    best: Trial | None
    pareto: tuple[int, ...]
    best_so_far: tuple[int, ...]  # for each trial the number of the best one up to it; -1 before the first score
    operations: tuple[OperationRow, ...]
    minutes: float
    overhead_share: float | None  # share of the trials' time that is not build, compile, accuracy or latency
    trials_per_minute: float | None
    pruned_trials: int
    pruning_error_rate: float
    gate: GateResult | None
    gate_status: GateStatus | None  # None where nothing has a baseline
    trends: tuple[Trend, ...] = ()

    @property
    def latency(self) -> PairedLatency | None:
        """The best model's latency: measured again at the end, or the trial's own where the cell did not get there."""
        if self.record.final is not None:
            return self.record.final.latency
        return self.best.measurement.latency if self.best and self.best.measurement else None


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


def make_run_report(
    run: RunRecord, baselines: Sequence[str] = (), nights: Mapping[str, Sequence[CellRecord]] | None = None
) -> RunReport:
    """Judge all cells of a run and derive what the pages show.

    Args:
        run: the run.
        baselines: the names of cells that have one.
        nights: by the name of a cell its records in this and earlier runs, the oldest first.

    """
    history = nights or {}
    cells = tuple(_cell_report(cell, gated=bool(baselines), nights=history.get(cell.name, ())) for cell in run.cells)
    names = {cell.record.name for cell in cells}
    return RunReport(run, cells, tuple(name for name in baselines if name not in names))


def _cell_report(cell: CellRecord, *, gated: bool, nights: Sequence[CellRecord]) -> CellReport:
    best = cell.trials[cell.final.trial] if cell.final else best_trial(cell.trials, cell.params)
    seconds = [trial.seconds for trial in cell.trials]
    total = sum(part.total for part in seconds)
    gate = None if cell.gate is None else _GATE.validate_python(cell.gate)
    overhead = sum(part.overhead for part in seconds)
    return CellReport(
        record=cell,
        verdict=judge(cell),
        best=best,
        pareto=tuple(trial.number for trial in pareto_front(cell.trials)),
        best_so_far=_best_so_far(cell),
        operations=_operations(cell, best),
        minutes=total / 60,
        overhead_share=overhead / total if total else None,
        trials_per_minute=60 * len(cell.trials) / total if total else None,
        pruned_trials=sum(trial.pruned is not None for trial in cell.trials),
        pruning_error_rate=ERROR_RATE,
        gate=gate,
        gate_status=_gate_status(cell, gate, gated=gated),
        trends=tuple(_trends(nights)),
    )


def _trends(nights: Sequence[CellRecord]) -> Iterator[Trend]:
    """Yield figures that have shifted over the nights; latency as FP32 / INT8, so that machines compare."""
    finals = [(night.reference, night.final) for night in nights if night.reference and night.final]
    series = {
        f"FP32 {finals[-1][0].metric}" if finals else "": [reference.accuracy.value for reference, _ in finals],
        "INT8 on the holdout": [final.holdout.int8.value for _, final in finals if final.holdout],
        "FP32 / INT8 time": [final.latency.ratio.value for _, final in finals if final.latency],
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


def _operations(cell: CellRecord, best: Trial | None) -> tuple[OperationRow, ...]:
    if best is None or cell.reference is None:
        return ()
    types = cell.reference.operation_types
    # JSON objects come back in any order from some databases; the reference's is the graph's.
    rows = []
    for name in types:
        option = best.option.operations[name]
        activations = _tensor(option.activations) if option.quantize else ""
        weights = _tensor(option.weights) if option.quantize and option.weights is not None else ""
        rows.append(OperationRow(name, types[name], option.quantize, activations, weights))
    return tuple(rows)


def _tensor(tensor: TensorOption) -> str:
    config = tensor.config
    return f"INT{config.bits} {config.mode} {config.granularity}, {tensor.range_estimator}"
