"""Records as the plain values of a JSON column, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from quantize_zoo import errors
from quantize_zoo.config import OptimizerParams
from quantize_zoo.search import Trial
from quantize_zoo.store.processes import ProcessIdentity
from quantize_zoo.store.records import (
    Baseline,
    CellRecord,
    ErrorRecord,
    Final,
    Reference,
    ReferencePoint,
    Repository,
    RunPlan,
    RunRecord,
    StoredBaseline,
    WorkerUse,
)
from quantize_zoo.store.schema import BaselineRow, Cell, Run, TrialRow

Value = TypeVar("Value")

TRIAL = TypeAdapter(Trial)
REFERENCE = TypeAdapter(Reference)
FINAL = TypeAdapter(Final)
ERROR = TypeAdapter(ErrorRecord)
POINT = TypeAdapter(ReferencePoint)
BASELINE = TypeAdapter(Baseline)
WORKER = TypeAdapter(WorkerUse)
PARAMS = TypeAdapter(OptimizerParams)
PROCESS = TypeAdapter(ProcessIdentity)
PLAN = TypeAdapter(RunPlan)
REPOSITORY = TypeAdapter(Repository)
OBJECT = TypeAdapter(dict[str, Any])


def plain(adapter: TypeAdapter[Value], value: Value) -> dict[str, Any]:
    """Return a value as JSON has it: what is not a finite number is null.

    Raises:
        CellError: there must be a number where there is none; stored, it could not be read again.

    """
    text = adapter.dump_json(value)
    try:
        adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(each) for each in first["loc"])
        raise errors.not_storable(f"{type(value).__name__} {place}", first["msg"]) from error
    found: dict[str, Any] = json.loads(text)
    return found


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values that are finite numbers."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def run_record(session: Session, row: Run) -> RunRecord:
    """Return a run with its cells and their trials."""
    cells = session.scalars(select(Cell).where(Cell.run_id == row.id).order_by(Cell.id))
    return RunRecord(
        id=row.id,
        status=row.status,  # type: ignore[arg-type]  # the column holds what finish_run took
        started_at=row.started_at,
        finished_at=row.finished_at,
        matrix=row.matrix,
        command=row.command,
        seed=row.seed,
        require_targets=row.require_targets,
        on_missing_device=row.on_missing_device,
        version=row.version,
        cells=tuple(cell_record(session, cell) for cell in cells),
        plan=None if row.plan is None else PLAN.validate_python(row.plan),
        repository=None if row.repository is None else REPOSITORY.validate_python(row.repository),
    )


def cell_record(session: Session, row: Cell, *, trials: bool = True) -> CellRecord:
    """Return a cell, with its trials if these are asked for."""
    return CellRecord(
        id=row.id,
        run_id=row.run_id,
        model=row.model,
        device=row.device,
        status=row.status,  # type: ignore[arg-type]  # the column holds what set_final and end_cell took
        method=row.method,  # type: ignore[arg-type]  # the column holds what start_cell took
        params=PARAMS.validate_python(row.params),
        error=None if row.error is None else ERROR.validate_python(row.error),
        reference=None if row.reference is None else REFERENCE.validate_python(row.reference),
        calibration_seconds=row.calibration_seconds,
        sensitivity=row.sensitivity or {},
        workers=tuple(WORKER.validate_python(worker) for worker in row.workers or ()),
        final=None if row.final is None else FINAL.validate_python(row.final),
        trials=tuple(trials_of(session, row)) if trials else (),
        gate=row.gate,
        references=tuple(POINT.validate_python(point) for point in row.references or ()),
    )


def trials_of(session: Session, cell: Cell) -> list[Trial]:
    """Return the trials of a cell, after those of the cells that it goes on from."""
    chain = [cell.id]
    before = cell.continues
    while before is not None:
        chain.append(before)
        before = session.get_one(Cell, before).continues
    query = select(TrialRow.number, TrialRow.trial).where(TrialRow.cell_id.in_(chain)).order_by(TrialRow.number)
    return [TRIAL.validate_python({**row.trial, "number": row.number}) for row in session.execute(query)]


def baseline_record(row: BaselineRow) -> StoredBaseline:
    """Return a baseline."""
    return StoredBaseline(row.id, row.accepted_at, row.dropped_at, BASELINE.validate_python(row.content))
