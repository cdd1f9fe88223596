"""Records as the plain values of a JSON column, and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from quantize_zoo import errors
from quantize_zoo.config import OptimizerParams
from quantize_zoo.search import Trial
from quantize_zoo.store.processes import ProcessIdentity
from quantize_zoo.store.records import (
    Baseline,
    CellRecord,
    Elsewhere,
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
from quantize_zoo.text.slugs import slug

Value = TypeVar("Value")
_WHOLE = ConfigDict(extra="forbid")


def stored(kind: type[Value]) -> TypeAdapter[Value]:
    """Return what reads and writes a dataclass in the store: a key that it does not have is refused, at any depth.

    Passed over, a damaged name of a key would be a value that is missing without a word.
    """
    # Pydantic takes a configuration for what is no dataclass itself, and hands it down to those within.
    whole: Any = kind | None
    return cast("TypeAdapter[Value]", TypeAdapter(whole, config=_WHOLE))


TRIAL = stored(Trial)
REFERENCE = stored(Reference)
FINAL = stored(Final)
ELSEWHERE = stored(Elsewhere)
ERROR = stored(ErrorRecord)
POINT = stored(ReferencePoint)
BASELINE = stored(Baseline)
WORKER = stored(WorkerUse)
PARAMS = TypeAdapter(OptimizerParams)
PROCESS = stored(ProcessIdentity)
PLAN = stored(RunPlan)
REPOSITORY = stored(Repository)
OBJECT = TypeAdapter(dict[str, Any])
_FORMER = frozenset({"per_sample", "seconds"})  # of a measurement, in releases up to 0.1.0
_WORKERS = TypeAdapter(tuple[WorkerUse, ...], config=_WHOLE)
_POINTS = TypeAdapter(tuple[ReferencePoint, ...], config=_WHOLE)
# Their parts are read before, each by its own name; what is left are the plain columns.
_RUN = TypeAdapter(RunRecord)
_CELL = TypeAdapter(CellRecord)
_STORED = TypeAdapter(StoredBaseline)
_RUN_COLUMNS = (
    "status", "started_at", "finished_at", "matrix", "command", "seed", "require_targets", "on_missing_device",
    "version",
)  # fmt: skip
_CELL_COLUMNS = ("id", "run_id", "model", "device", "status", "method", "calibration_seconds", "gate")


def plain(adapter: TypeAdapter[Value], value: Value) -> dict[str, Any]:
    """Return a value as JSON has it: what is not a finite number is null.

    Raises:
        CellError: there must be a number where there is none; stored, it could not be read again.

    """
    text = adapter.dump_json(value)
    try:
        adapter.validate_json(text)
    except ValidationError as error:
        place, told = _first_problem(error)
        raise errors.not_storable(f"{type(value).__name__} {place.removeprefix('.')}", told) from error
    found: dict[str, Any] = json.loads(text)
    return found


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values that are finite numbers."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def read(adapter: TypeAdapter[Value], value: object, place: str) -> Value:
    """Return a value that was stored as JSON has it; ``place`` tells where it stands.

    Raises:
        ValueError: it is not what ``plain`` made; the message tells where and why.

    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{place}{problem_of(error)}") from error


def problem_of(error: ValidationError) -> str:
    """Return the first thing that is wrong: ``.latency.ratio: input should be a valid dictionary``."""
    return ": ".join(_first_problem(error))


def _first_problem(error: ValidationError) -> tuple[str, str]:
    first = error.errors(include_url=False, include_input=False)[0]
    place = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in first["loc"])
    told = first["msg"].removeprefix("Value error, ")
    return place, f"{told[:1].lower()}{told[1:]}"


def run_record(session: Session, row: Run) -> RunRecord:
    """Return a run with its cells and their trials.

    Raises:
        ValueError: something in it is not what was stored.

    """
    cells = session.scalars(select(Cell).where(Cell.run_id == row.id).order_by(Cell.id))
    place = f"run {row.id}"
    found = {
        "id": _file_name(row.id, f"{place}.id"),
        **{name: getattr(row, name) for name in _RUN_COLUMNS},
        "cells": tuple(cell_record(session, cell) for cell in cells),
        "plan": None if row.plan is None else read(PLAN, row.plan, f"{place}.plan"),
        "repository": None if row.repository is None else read(REPOSITORY, row.repository, f"{place}.repository"),
    }
    return read(_RUN, found, place)


def cell_record(session: Session, row: Cell, *, trials: bool = True) -> CellRecord:
    """Return a cell, with its trials if these are asked for.

    Raises:
        ValueError: something in it is not what was stored.

    """
    place = f"cell {row.id}"

    def optional(adapter: TypeAdapter[Value], name: str) -> Value | None:
        value = getattr(row, name)
        return None if value is None else read(adapter, value, f"{place}.{name}")

    final = optional(FINAL, "final")
    found = {
        **{name: getattr(row, name) for name in _CELL_COLUMNS},
        "params": read(PARAMS, row.params, f"{place}.params"),
        "error": optional(ERROR, "error"),
        "reference": optional(REFERENCE, "reference"),
        "sensitivity": row.sensitivity or {},
        "workers": optional(_WORKERS, "workers") or (),
        "final": final,
        "trials": tuple(trials_of(session, row)) if trials else (),
        "references": optional(_POINTS, "references") or (),
    }
    if final is not None:
        for name in (final.model, final.answers):
            _inside(name, f"{place}.final")
        if trials and final.trial not in {trial.number for trial in found["trials"][final.trial :][:1]}:
            raise ValueError(f"{place}.final.trial: there is no trial {final.trial}")
    return read(_CELL, found, place)


def trials_of(session: Session, cell: Cell) -> list[Trial]:
    """Return the trials of a cell, after those of the cells that it goes on from.

    Raises:
        ValueError: one of them is not what was stored, or a cell goes on from itself.

    """
    chain = [cell.id]
    before = cell.continues
    while before is not None:
        earlier = session.get(Cell, before)
        if before in chain or earlier is None:
            problem = "which is not there" if earlier is None else "and that one from it"
            raise ValueError(f"cell {chain[-1]} goes on from cell {before}, {problem}")
        chain.append(before)
        before = earlier.continues
    query = select(TrialRow.number, TrialRow.trial).where(TrialRow.cell_id.in_(chain)).order_by(TrialRow.number)
    return [
        read(TRIAL, {**_today(read(OBJECT, row.trial, place)), "number": row.number}, place)
        for row in session.execute(query)
        for place in (f"cell {cell.id}, trial {row.number}",)
    ]


def _today(trial: dict[str, Any]) -> dict[str, Any]:
    """Return a trial without what releases up to 0.1.0 kept as well."""
    found = {key: value for key, value in trial.items() if key != "choices"}
    if isinstance(measurement := found.get("measurement"), dict):
        found["measurement"] = {key: value for key, value in measurement.items() if key not in _FORMER}
    return found


def baseline_record(row: BaselineRow) -> StoredBaseline:
    """Return a baseline.

    Raises:
        ValueError: it is not what was stored.

    """
    place = f"baseline {row.id}"
    found = {
        "id": row.id,
        "accepted_at": row.accepted_at,
        "dropped_at": row.dropped_at,
        "content": read(BASELINE, row.content, place),
    }
    return read(_STORED, found, place)


def _file_name(name: str, place: str) -> str:
    """Refuse what would lead out of a folder where a run's own is to be."""
    if slug(name) != name:
        raise ValueError(f"{place}: it is no name of a folder")
    return name


def _inside(name: str, place: str) -> None:
    """Refuse what leads out of the run's folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError(f"{place}: {name!r} leads out of the run's folder")
