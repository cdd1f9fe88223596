"""Runs go, and what stays can be read as before: cells keep the trials that they go on from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select, text, union, update
from sqlalchemy.orm import Session

from quantize_zoo.store import values
from quantize_zoo.store.chains import HAS_TRIALS
from quantize_zoo.store.contents import content_id
from quantize_zoo.store.options import plain_option
from quantize_zoo.store.schema import Cell, Content, Run, TrialRow

_AT_ONCE = 500  # values in a statement: databases limit them
_ENDED = ("done", "failed", "unavailable")  # what a cell of a night is in the end


@dataclass(frozen=True)
class OldRuns:
    """What is older than the nights that are kept: runs by id, and the files of models that only these were run on.

    The nights that are kept begin ``since`` then; None where there are no more than these. Models are not told of
    while a run is under way, which may have found any of them.
    """

    runs: tuple[str, ...] = ()
    models: frozenset[str] = frozenset()
    since: datetime | None = None


def old_runs(session: Session, nights: int, kept: Collection[str]) -> OldRuns:
    """Return the runs that are older than so many of the newest nights, the newest first.

    A night is a run in which a cell ended. Of older runs those stay that are ``kept``, are running, or have what a cell
    has last: the last run in which it was finished, and that of its last search.
    """
    ended = select(Cell.id).where(Cell.run_id == Run.id, Cell.status.in_(_ENDED)).exists()
    begun = select(Run.started_at).where(ended).order_by(Run.started_at.desc(), Run.id.desc())
    since = session.scalar(begun.offset(nights - 1).limit(1))
    if since is None:
        return OldRuns()
    last = (
        _newest_of_each(Cell.status == "done"),
        _newest_of_each(Cell.method != "eval", or_(HAS_TRIALS, Cell.continues.is_not(None))),
    )
    needed = set(session.scalars(select(Cell.run_id).where(or_(*(Cell.id.in_(each) for each in last))).distinct()))
    known = Run.id.is_not(None)  # SQLite takes a key of NULL
    older = select(Run.id, Run.status).where(known, Run.started_at < since)
    older = older.order_by(Run.started_at.desc(), Run.id.desc())
    old = [run.id for run in session.execute(older) if run.status != "running" and run.id not in needed.union(kept)]
    if session.scalar(select(Run.id).where(Run.status == "running").limit(1)) is not None:
        return OldRuns(tuple(old), since=since)
    going = frozenset(old)
    used: dict[bool, set[int]] = {True: set(), False: set()}  # of what goes, and of what stays
    for facts_id, run_id in session.execute(select(Cell.facts_id, Cell.run_id).distinct()):
        if facts_id is not None:
            used[run_id in going].add(facts_id)
    models = {gone: _model_paths(session, used[gone]) for gone in used}
    return OldRuns(tuple(old), frozenset(models[True] - models[False]), since)


def _newest_of_each(*chosen: ColumnElement[bool]) -> Any:
    """Ask for the newest of the chosen cells of each model and device."""
    return select(func.max(Cell.id)).where(*chosen).group_by(Cell.model, Cell.device)


def _model_paths(session: Session, facts: Collection[int]) -> set[str]:
    """Return the files of the canonical models that facts of references name."""
    found: set[str] = set()
    for part in _parts(sorted(facts)):
        for each in session.scalars(select(Content.content).where(Content.id.in_(part))):
            if isinstance(each, dict) and each.get("model_path"):
                found.add(str(each["model_path"]))
    return found


def delete_runs(session: Session, doomed: Sequence[str]) -> None:
    """Delete runs by their ids.

    Raises:
        ValueError: trials that are to stay are not what was stored.

    """
    if session.get_bind().dialect.name == "postgresql":
        # A content that is found now and stored with a cell in a moment would be deleted in between.
        session.execute(text("LOCK TABLE contents IN ACCESS EXCLUSIVE MODE"))
    cells = [cell for part in _parts(doomed) for cell in session.scalars(select(Cell.id).where(Cell.run_id.in_(part)))]
    _keep_trials(session, frozenset(cells))
    for part in _parts(cells):
        session.execute(delete(TrialRow).where(TrialRow.cell_id.in_(part)))
        session.execute(update(Cell).where(Cell.id.in_(part)).values(continues=None))
    for part in _parts(cells):
        session.execute(delete(Cell).where(Cell.id.in_(part)))
    for part in _parts(doomed):
        session.execute(delete(Run).where(Run.id.in_(part)))
    columns = (Cell.facts_id, Cell.base_id, Cell.sensitivity_id, Cell.layers_id)
    used = union(*(select(column).where(column.is_not(None)) for column in columns))
    session.execute(delete(Content).where(Content.id.not_in(used)).execution_options(synchronize_session=False))


def _keep_trials(session: Session, doomed: frozenset[int]) -> None:
    """Give cells that stay the trials, and the survey, of those that they go on from and that go."""
    going_on = select(Cell.id, Cell.continues).where(Cell.continues.is_not(None)).order_by(Cell.id)
    for cell_id, before in session.execute(going_on).all():
        if cell_id in doomed or before not in doomed:
            continue
        cell = session.get_one(Cell, cell_id)
        own = set(session.scalars(select(TrialRow.number).where(TrialRow.cell_id == cell_id)))
        trials = [trial for trial in values.trials_of(session, cell_id) if trial.number not in own]
        if trials and cell.base_id is None:
            cell.base_id = content_id(session, plain_option(trials[0].option))
        base = values.base_option(session, cell.base_id, f"cell {cell_id}") if trials else None
        for trial in trials:
            content = values.plain_trial(trial, base)
            session.add(TrialRow(cell_id=cell_id, number=trial.number, trial=content))
        if isinstance(cell.reference, dict):
            _, survey = values.plain_survey(session, cell_id)
            cell.reference = {**cell.reference, "survey": survey}
        cell.continues = None
    session.flush()


def _parts(items: Sequence[object]) -> Iterator[list[object]]:
    rest = iter(items)
    while part := list(islice(rest, _AT_ONCE)):
        yield part
