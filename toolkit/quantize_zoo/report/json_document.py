"""``results.json``: all numbers of the pages, by the JSON Schema in ``results.schema.json``.

``schema_version`` grows with every change that a reader could stumble over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import TypeAdapter

from quantize_zoo.config import OptimizerParams, TrialsLoadMethod
from quantize_zoo.gate import GateResult, GateStatus, Trend, Verdict
from quantize_zoo.report.run_report import CellReport, Night, RunReport
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import Pruned, Score, Trial, TrialKind
from quantize_zoo.store import CellStatus, ErrorRecord, Final, Reference, ReferencePoint, RunStatus, WorkerUse


@dataclass(frozen=True)
class TrialDocument:
    """One trial; times end in ``_s``, and are in seconds."""

    number: int
    stage: int
    kind: TrialKind
    option_hash: str
    choices: Mapping[str, int] | None
    pruned: Pruned | None
    accuracy: Estimate | None
    metrics: dict[str, float | None] | None
    latency_us: Estimate | None
    fp32_latency_us: Estimate | None
    latency_ratio: Estimate | None
    latency_from: int | None
    score: Score | None
    loss: float | None
    reused_from: int | None
    where: str
    failure: str | None
    build_s: float
    compile_s: float
    accuracy_s: float
    latency_s: float
    overhead_s: float


@dataclass(frozen=True)
class CellDocument:
    """One cell: what it is, what was found, and all of its trials; ``nights`` are those up to this run."""

    model: str
    device: str
    status: CellStatus
    method: TrialsLoadMethod
    params: OptimizerParams
    error: ErrorRecord | None
    verdict: Verdict
    gate_status: GateStatus | None
    gate: GateResult | None
    reference: Reference | None
    references: tuple[ReferencePoint, ...]
    calibration_seconds: float | None
    sensitivity: dict[str, float]
    workers: tuple[WorkerUse, ...]
    best: int | None
    final: Final | None
    pareto: tuple[int, ...]
    trials_per_minute: float | None
    overhead_share: float | None
    nights: tuple[Night, ...]
    trends: tuple[Trend, ...]
    trials: tuple[TrialDocument, ...]


@dataclass(frozen=True)
class RunDocument:
    """One run, as the store has it."""

    id: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    matrix: str
    command: str
    seed: int
    require_targets: bool
    on_missing_device: str
    version: str


@dataclass(frozen=True)
class ResultsDocument:
    """All numbers of a run; ``missing`` are cells that have a baseline and are not in it."""

    schema_version: Literal[4]
    exit_status: int
    run: RunDocument
    cells: tuple[CellDocument, ...]
    missing: tuple[str, ...]


_RESULTS = TypeAdapter(ResultsDocument)


def json_value(report: RunReport) -> dict[str, Any]:
    """Return the document as plain values."""
    run = report.run
    document = ResultsDocument(
        4,
        report.exit_status,
        RunDocument(
            run.id, run.status, run.started_at, run.finished_at, run.matrix, run.command, run.seed,
            run.require_targets, run.on_missing_device, run.version,
        ),
        tuple(_cell(cell) for cell in report.cells),
        report.missing,
    )  # fmt: skip
    value: dict[str, Any] = _RESULTS.dump_python(document, mode="json")
    return value


def render_json(report: RunReport) -> str:
    """Return the document as text."""
    return json.dumps(json_value(report), indent=1, allow_nan=False) + "\n"


def _cell(cell: CellReport) -> CellDocument:
    record = cell.record
    return CellDocument(
        model=record.model,
        device=record.device,
        status=record.status,
        method=record.method,
        params=record.params,
        error=record.error,
        verdict=cell.verdict,
        gate_status=cell.gate_status,
        gate=cell.gate,
        reference=record.reference,
        references=record.references,
        calibration_seconds=record.calibration_seconds,
        sensitivity=record.sensitivity,
        workers=record.workers,
        best=cell.best.number if cell.best else None,
        final=record.final,
        pareto=cell.pareto,
        trials_per_minute=cell.trials_per_minute,
        overhead_share=cell.overhead_share,
        nights=cell.nights,
        trends=cell.trends,
        trials=tuple(_trial(trial) for trial in record.trials),
    )


def _trial(trial: Trial) -> TrialDocument:
    measured = trial.measurement
    latency = measured.latency if measured else None
    return TrialDocument(
        number=trial.number,
        stage=trial.stage,
        kind=trial.kind,
        option_hash=trial.option_hash,
        choices=trial.choices,
        pruned=trial.pruned,
        accuracy=measured.accuracy if measured else None,
        metrics=measured.metrics if measured else None,
        latency_us=latency.candidate_us if latency else None,
        fp32_latency_us=latency.reference_us if latency else None,
        latency_ratio=latency.ratio if latency else None,
        latency_from=measured.latency_from if measured else None,
        score=trial.score,
        loss=trial.loss,
        reused_from=trial.reused_from,
        where=trial.where,
        failure=trial.failure,
        build_s=trial.seconds.build,
        compile_s=trial.seconds.compile,
        accuracy_s=trial.seconds.accuracy,
        latency_s=trial.seconds.latency,
        overhead_s=trial.seconds.overhead,
    )
