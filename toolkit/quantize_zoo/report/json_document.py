"""``results.json``: all numbers of the pages, by the JSON Schema in ``results.schema.json``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial
from typing import Any, TypeVar

from quantize_zoo.gate import Check, GateResult, Verdict
from quantize_zoo.report.documents import (
    SCHEMA_VERSION,
    CellDocument,
    CheckDocument,
    ElsewhereDocument,
    FinalDocument,
    GateDocument,
    HoldoutDocument,
    LatencyDocument,
    MemberScoreDocument,
    PrunedDocument,
    ReferenceDocument,
    ReferencePointDocument,
    ResultsDocument,
    RunDocument,
    RunnerUpDocument,
    ScoreDocument,
    TrialDocument,
    VerdictDocument,
)
from quantize_zoo.report.findings import findings
from quantize_zoo.report.html import page_path
from quantize_zoo.report.operation_table import OperationTable
from quantize_zoo.report.run_report import CellReport, RunReport
from quantize_zoo.scoring import Estimate, PairedLatency
from quantize_zoo.search import MemberScore, Pruned, Score, Trial
from quantize_zoo.store import Elsewhere, Final, Holdout, Reference, RunnerUp
from quantize_zoo.text.plain import json_text, measured, plain

Value = TypeVar("Value")
Document = TypeVar("Document")


def json_value(report: RunReport) -> dict[str, Any]:
    """Return the document as plain values."""
    value: dict[str, Any] = plain(_document(report, tuple(_cell(cell) for cell in report.cells)))
    return value


def render_json(report: RunReport) -> str:
    """Return the document as text."""
    return "".join(json_parts(report))


def json_parts(report: RunReport) -> Iterator[str]:
    """Yield the document's text in parts, none of which is larger than a cell's: each cell is a line."""
    document = _document(report, ())
    between = "{"
    for field in fields(document):
        yield f'{between}"{field.name}":'
        between = ",\n"
        if field.name == "cells":
            yield "[" + ("\n" if report.cells else "")
            for index, cell in enumerate(report.cells):
                yield json_text(_cell(cell)) + (",\n" if index + 1 < len(report.cells) else "\n")
            yield "]"
        else:
            yield json_text(getattr(document, field.name))
    yield "}\n"


def check_document(check: Check) -> CheckDocument:
    """Return a comparison, its change by a name that tells what it is of."""
    change = {check.quantity: check.change}
    return CheckDocument(
        cause=check.cause,
        quantity=check.quantity,
        subject=check.subject,
        status=check.status,
        text=check.text,
        accuracy_loss_share=change.get("accuracy"),
        time_ratio=change.get("latency") or change.get("compile time"),
        bytes_ratio=change.get("size") or change.get("memory"),
        margin=check.margin,
        level=check.level,
        p_value=check.p_value,
        changed=check.changed,
        changed_count=check.changed_count,
        waived=check.waived,
        more_samples=check.more_samples,
        why=check.why,
        in_layers=check.in_layers,
        layer_times=check.layer_times,
        layer_deviations=check.layer_deviations,
    )


def _made(make: Callable[[Value], Document], value: Value | None) -> Document | None:
    """Return the document of what need not be there."""
    return None if value is None else make(value)


def _document(report: RunReport, cells: tuple[CellDocument, ...]) -> ResultsDocument:
    run = report.run
    return ResultsDocument(
        SCHEMA_VERSION,
        report.exit_status,
        RunDocument(
            run.id, run.status, run.started_at, run.finished_at, run.matrix, run.command, run.seed,
            run.require_targets, run.on_missing_device, run.version, run.repository,
        ),
        cells,
        report.absent,
        tuple(findings(report)),
    )  # fmt: skip


def _cell(cell: CellReport) -> CellDocument:
    record = cell.record
    table = OperationTable(record)
    reference = _made(partial(_reference, table=table), record.reference)
    final = _made(partial(_final, table=table), record.final)
    return CellDocument(
        name=record.name,
        page=page_path(cell),
        model=record.model,
        device=record.device,
        status=record.status,
        method=record.method,
        params=record.params,
        error=record.error,
        verdict=_verdict(cell.verdict),
        gate_status=cell.gate_status,
        gate=_made(_gate, cell.gate),
        operations=table.document(),
        reference=reference,
        references=tuple(
            ReferencePointDocument(
                point.name,
                point.accuracy,
                _made(_latency, point.latency),
                _made(_holdout, point.holdout),
                point.seconds,
                point.size_bytes,
                tuple(_elsewhere(each) for each in point.members),
            )
            for point in record.references
        ),
        calibration_seconds=record.calibration_seconds,
        workers=record.workers,
        best=cell.best.number if cell.best else None,
        optimism=cell.optimism,
        predictions=cell.predictions,
        final=final,
        pareto=cell.pareto,
        trials_per_minute=cell.trials_per_minute,
        overhead_share=cell.overhead_share,
        nights=cell.nights,
        trends=cell.trends,
        commits=cell.commits,
        trials=tuple(_trial(trial) for trial in record.trials),
    )


def _verdict(verdict: Verdict) -> VerdictDocument:
    return VerdictDocument(
        verdict.status, verdict.reason, verdict.cause, verdict.alarms, verdict.targets, verdict.warnings
    )


def _gate(gate: GateResult) -> GateDocument:
    checks = tuple(check_document(check) for check in gate.checks)
    return GateDocument(gate.baseline, gate.accepted_at, checks, gate.notes, gate.interrupted)


def _reference(reference: Reference, table: OperationTable) -> ReferenceDocument:
    executed = reference.executed and table.executed(reference.executed)
    survey = reference.survey and table.survey(reference.survey)
    known = {each.name: getattr(reference, each.name) for each in fields(ReferenceDocument)}
    return ReferenceDocument(**{**known, "executed": executed, "survey": survey})


def _final(final: Final, table: OperationTable) -> FinalDocument:
    return FinalDocument(
        trial=final.trial,
        latency=_made(_latency, final.latency),
        model=final.model,
        holdout=_made(_holdout, final.holdout),
        runner_up=_made(_runner_up, final.runner_up),
        others=final.others,
        answers=final.answers,
        figures=final.figures,
        layers=table.layers(final.layers),
        proof=final.proof,
        fp32_figures=final.fp32_figures,
        accuracy_loss_share=final.loss,
        portability=tuple(_elsewhere(each) for each in final.portability),
        members=tuple(_elsewhere(each) for each in final.members),
        slower=final.slower,
    )


def _elsewhere(found: Elsewhere) -> ElsewhereDocument:
    return ElsewhereDocument(
        found.environment, found.precision, found.fp32, found.int8, found.accuracy_loss,
        _made(_holdout, found.holdout), _made(_latency, found.latency), found.seconds, found.skipped,
    )  # fmt: skip


def _estimate(estimate: Estimate) -> Estimate:
    """Return a figure of which there are many: its bounds, and a time or a ratio of times, in six digits."""
    value = measured(estimate.value) if estimate.unit in ("us", "x") else estimate.value
    return replace(estimate, value=value, low=measured(estimate.low), high=measured(estimate.high))


def _latency(latency: PairedLatency) -> LatencyDocument:
    return LatencyDocument(
        _estimate(latency.reference_us),
        _estimate(latency.candidate_us),
        _estimate(latency.ratio),
        tuple((measured(fp32), measured(int8)) for fp32, int8 in latency.compilations),
        tuple((share, measured(fp32), measured(int8)) for share, fp32, int8 in latency.distribution),
    )


def _holdout(holdout: Holdout) -> HoldoutDocument:
    return HoldoutDocument(holdout.fp32, holdout.int8, holdout.accuracy_loss)


def _runner_up(second: RunnerUp) -> RunnerUpDocument:
    return RunnerUpDocument(second.trial, second.ratio)


def _pruned(pruned: Pruned) -> PrunedDocument:
    return PrunedDocument(pruned.accuracy, pruned.accuracy_loss)


def _score(score: Score) -> ScoreDocument:
    return ScoreDocument(
        score.accuracy_loss, measured(score.latency_ratio), score.quantization_ratio, score.size_ratio, score.slower
    )


def _member(score: MemberScore) -> MemberScoreDocument:
    speedup = None if score.latency is None else score.latency.ratio
    return MemberScoreDocument(score.name, score.accuracy, score.accuracy_loss, score.ended, speedup)


def _trial(trial: Trial) -> TrialDocument:
    found = trial.measurement
    latency = found.latency if found else None
    return TrialDocument(
        number=trial.number,
        stage=trial.stage,
        kind=trial.kind,
        option_hash=trial.option_hash,
        pruned=_made(_pruned, trial.pruned),
        accuracy=_estimate(found.accuracy) if found else None,
        metrics=found.metrics if found else None,
        latency_us=_estimate(latency.candidate_us) if latency else None,
        fp32_latency_us=_estimate(latency.reference_us) if latency else None,
        speedup=_estimate(latency.ratio) if latency else None,
        accuracy_loss_share=_estimate(found.accuracy_loss) if found and found.accuracy_loss else None,
        latency_from=found.latency_from if found else None,
        score=_made(_score, trial.score),
        objective=trial.loss,
        reused_from=trial.reused_from,
        where=trial.where,
        members=tuple(_member(each) for each in trial.members),
        failure=trial.failure,
        build_s=measured(trial.seconds.build),
        compile_s=measured(trial.seconds.compile),
        accuracy_s=measured(trial.seconds.accuracy),
        latency_s=measured(trial.seconds.latency),
        overhead_s=measured(trial.seconds.overhead),
    )
