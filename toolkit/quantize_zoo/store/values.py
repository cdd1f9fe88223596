"""Records as the plain values of a JSON column, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption
from quantize_zoo.search import Survey, Trial
from quantize_zoo.store.adapters import WHOLE, Value, plain, read, stored
from quantize_zoo.store.chains import chain_of
from quantize_zoo.store.contents import content_of
from quantize_zoo.store.digits import in_digits
from quantize_zoo.store.layers import joined_layers
from quantize_zoo.store.options import plain_option, read_option
from quantize_zoo.store.processes import ProcessIdentity
from quantize_zoo.store.records import (
    Baseline,
    CellRecord,
    Elsewhere,
    ErrorRecord,
    Final,
    NightRecord,
    PastNight,
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
SENSITIVITY = TypeAdapter(dict[str, float])
# What a cell's reference has in common with those of other nights.
FACTS = frozenset(
    {"identity", "execution", "environment", "checker", "operation_types", "model_path", "model_hash", "inputs"}
)
_NO_OPTION = ModelOption({})
_WORKERS = TypeAdapter(tuple[WorkerUse, ...], config=WHOLE)
_POINTS = TypeAdapter(tuple[ReferencePoint, ...], config=WHOLE)
# Their parts are read before, each by its own name; what is left are the plain columns.
_RUN = TypeAdapter(RunRecord)
_CELL = TypeAdapter(CellRecord)
_STORED = TypeAdapter(StoredBaseline)
_SURVEY = stored(Survey)
_PAST_NIGHT = TypeAdapter(PastNight)
_NIGHTS = TypeAdapter(list[NightRecord])
_RUN_COLUMNS = (
    "status", "started_at", "finished_at", "matrix", "command", "seed", "require_targets", "on_missing_device",
    "version",
)  # fmt: skip
_CELL_COLUMNS = ("id", "run_id", "model", "device", "status", "method", "calibration_seconds", "gate")


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
    reference = row.reference
    if isinstance(reference, dict) and row.facts_id is not None:
        facts = content_of(session, row.facts_id, f"{place}.reference")
        reference = read(OBJECT, facts, f"{place}.reference") | reference
    sensitivity = {}
    if row.sensitivity_id is not None:
        sensitivity = content_of(session, row.sensitivity_id, f"{place}.sensitivity")

    def optional(adapter: TypeAdapter[Value], name: str) -> Value | None:
        value = getattr(row, name)
        return None if value is None else read(adapter, value, f"{place}.{name}")

    final = None
    if row.final is not None:
        told = row.final
        if row.layers_id is not None:
            names = content_of(session, row.layers_id, f"{place}.final.layers")
            told = joined_layers(told, names, f"{place}.final")
        final = read(FINAL, told, f"{place}.final")
    found = {
        **{name: getattr(row, name) for name in _CELL_COLUMNS},
        "params": read(PARAMS, row.params, f"{place}.params"),
        "error": optional(ERROR, "error"),
        "reference": None if reference is None else read(REFERENCE, reference, f"{place}.reference"),
        "sensitivity": read(SENSITIVITY, sensitivity, f"{place}.sensitivity"),
        "workers": optional(_WORKERS, "workers") or (),
        "final": final,
        "trials": tuple(trials_of(session, row.id)) if trials else (),
        "references": optional(_POINTS, "references") or (),
    }
    if final is not None:
        for name in (final.model, final.answers):
            _inside(name, f"{place}.final")
        if trials and final.trial not in {trial.number for trial in found["trials"][final.trial :][:1]}:
            raise ValueError(f"{place}.final.trial: there is no trial {final.trial}")
    return read(_CELL, found, place)


def survey_of(session: Session, cell_id: int) -> Survey | None:
    """Return the newest survey of a cell and those that it goes on from; raises as ``trials_of``."""
    surveyed, found = plain_survey(session, cell_id)
    return None if found is None else read(_SURVEY, found, f"cell {surveyed}.reference.survey")


def plain_survey(session: Session, cell_id: int) -> tuple[int, object]:
    """Return the same as it is stored, and the cell that has it."""
    for each in chain_of(session, cell_id):
        reference = session.scalar(select(Cell.reference).where(Cell.id == each))
        survey = reference.get("survey") if isinstance(reference, dict) else None
        if survey is not None:
            return each, survey
    return cell_id, None


def trials_of(session: Session, cell_id: int, number: int | None = None) -> list[Trial]:
    """Return the trials of a cell, after those of the cells that it goes on from; or the one of a number.

    Raises:
        ValueError: one of them is not what was stored, or a cell goes on from itself.

    """
    query = select(TrialRow.number, TrialRow.trial, Cell.base_id).join(Cell, TrialRow.cell_id == Cell.id)
    query = query.where(TrialRow.cell_id.in_(chain_of(session, cell_id))).order_by(TrialRow.number)
    if number is not None:
        query = query.where(TrialRow.number == number)
    bases: dict[int | None, ModelOption] = {}

    def base(content: int | None, place: str) -> ModelOption:
        if content not in bases:
            bases[content] = base_option(session, content, place)
        return bases[content]

    return [
        read_trial(row.number, row.trial, lambda: base(row.base_id, place), place)  # noqa: B023  # it is called at once
        for row in session.execute(query)
        for place in (f"cell {cell_id}, trial {row.number}",)
    ]


def base_option(session: Session, content: int | None, place: str) -> ModelOption:
    """Return the option that a cell's trials are stored against.

    Raises:
        ValueError: it is not there, or not what was stored.

    """
    if content is None:
        raise ValueError(f"{place}.option: the option that it is stored against is not there")
    place = f"{place}.option, that it is stored against"
    return read_option(content_of(session, content, place), lambda: _NO_OPTION, place)


def plain_trial(trial: Trial, base: ModelOption | None) -> dict[str, Any]:
    """Return all of a trial but its number as plain values; see ``read_trial``.

    Raises:
        CellError: there must be a number where there is none.

    """
    found = plain(TRIAL, replace(trial, option=_NO_OPTION)) | {"option": plain_option(trial.option, base)}
    del found["number"]
    shortened: dict[str, Any] = in_digits(found)
    return shortened


def read_trial(number: int, value: object, base: Callable[[], ModelOption], place: str) -> Trial:
    """Return a trial; ``base`` gives the option that its own was stored against.

    Raises:
        ValueError: it is not what ``plain_trial`` made.

    """
    found = read(OBJECT, value, place)
    option = read_option(found.get("option"), base, f"{place}.option")
    return read(TRIAL, {**found, "option": option, "number": number}, place)


def plain_baseline(baseline: Baseline) -> dict[str, Any]:
    """Return a baseline as plain values.

    Raises:
        CellError: there must be a number where there is none.

    """
    return plain(BASELINE, replace(baseline, option=_NO_OPTION)) | {"option": plain_option(baseline.option)}


def baseline_record(row: BaselineRow) -> StoredBaseline:
    """Return a baseline.

    Raises:
        ValueError: it is not what was stored.

    """
    place = f"baseline {row.id}"
    content = read(OBJECT, row.content, place)
    option = read_option(content.get("option"), lambda: _NO_OPTION, f"{place}.option")
    found = {
        "id": row.id,
        "accepted_at": row.accepted_at,
        "dropped_at": row.dropped_at,
        "content": read(BASELINE, {**content, "option": option}, place),
    }
    return read(_STORED, found, place)


def night_records(rows: Iterable[Any]) -> list[NightRecord]:
    """Return nights, of rows that have their fields by name.

    Raises:
        ValueError: a figure is none.

    """
    return read(_NIGHTS, [dict(row._mapping) for row in rows], "nights")


def past_nights(rows: Iterable[Any]) -> dict[tuple[str, str], list[PastNight]]:
    """Return nights by model and device, of rows in their order.

    Raises:
        ValueError: a figure is none.

    """
    found: dict[tuple[str, str], list[PastNight]] = {}
    for row in rows:
        night = {
            "seconds": row.seconds,
            "search_seconds": row.search_seconds or 0.0,
            "trials": row.search_trials or 0,
            "method": row.method,
            "best": row.best_option,
            "speedup": row.speedup,
            "ended": row.search_ended is not None,
            "alarmed": row.status == "failed" or row.gate_status in ("regressed", "failed"),
        }
        found.setdefault((row.model, row.device), []).append(read(_PAST_NIGHT, night, f"nights of {row.model}"))
    return found


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
