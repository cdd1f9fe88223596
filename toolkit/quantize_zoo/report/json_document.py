"""``results.json``: all numbers of the pages."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from quantize_zoo.report.run_report import SCHEMA_VERSION, CellReport, RunReport
from quantize_zoo.search import Trial
from quantize_zoo.store import CellRecord, RunRecord

_RUN = TypeAdapter(RunRecord)
_CELL = TypeAdapter(CellRecord)
_TRIAL = TypeAdapter(Trial)


def json_value(report: RunReport) -> dict[str, Any]:
    """Return the document as plain values."""
    run = _RUN.dump_python(report.run, mode="json", exclude={"cells"})
    cells = [_cell(cell) for cell in report.cells]
    return {"schema_version": SCHEMA_VERSION, "exit_status": report.exit_status, "run": run, "cells": cells}


def render_json(report: RunReport) -> str:
    """Return the document as text."""
    return json.dumps(json_value(report), indent=1, allow_nan=False) + "\n"


def _cell(cell: CellReport) -> dict[str, Any]:
    record = _CELL.dump_python(cell.record, mode="json", exclude={"trials", "id", "run_id"})
    return {
        **record,
        "gate_status": cell.gate_status,
        "verdict": {"status": cell.verdict.status, "reason": cell.verdict.reason},
        "best": cell.best.number if cell.best else None,
        "pareto": list(cell.pareto),
        "trials_per_minute": cell.trials_per_minute,
        "overhead_share": cell.overhead_share,
        "trials": [_trial(trial) for trial in cell.record.trials],
    }


def _trial(trial: Trial) -> dict[str, Any]:
    measured = trial.measurement
    plain = _TRIAL.dump_python(trial, mode="json", exclude={"option": True, "measurement": {"per_sample"}})
    latency = (plain["measurement"] or {}).get("latency") or {}
    seconds = {f"{part}_s": value for part, value in plain["seconds"].items()}
    return {
        "number": trial.number,
        "stage": trial.stage,
        "kind": trial.kind,
        "option_hash": trial.option_hash,
        "choices": plain["choices"],
        "pruned": plain["pruned"],
        "accuracy": plain["measurement"]["accuracy"] if measured else None,
        "metrics": measured.metrics if measured else None,
        "latency_us": latency.get("candidate_us"),
        "fp32_latency_us": latency.get("reference_us"),
        "latency_ratio": latency.get("ratio"),
        "latency_from": measured.latency_from if measured else None,
        "score": plain["score"],
        "loss": trial.loss,
        "reused_from": trial.reused_from,
        "failure": trial.failure,
        **seconds,
    }
