"""Runs go, and what stays can be read as before: cells keep the trials that they go on from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from sqlalchemy import delete, select, text, union, update
from sqlalchemy.orm import Session

from quantize_zoo.store import values
from quantize_zoo.store.contents import content_id
from quantize_zoo.store.options import plain_option
from quantize_zoo.store.schema import Cell, Content, Run, TrialRow

_AT_ONCE = 500  # values in a statement: databases limit them


def delete_old_runs(session: Session, newest: int, kept: Collection[str]) -> list[str]:
    """Delete all runs but the newest ones, those that are kept, and those that are running; return their ids.

    Raises:
        ValueError: trials that are to stay are not what was stored.

    """
    if session.get_bind().dialect.name == "postgresql":
        # A content that is found now and stored with a cell in a moment would be deleted in between.
        session.execute(text("LOCK TABLE contents IN ACCESS EXCLUSIVE MODE"))
    known = select(Run.id, Run.status).where(Run.id.is_not(None)).order_by(Run.started_at.desc(), Run.id.desc())
    older = [run.id for run in session.execute(known).all()[newest:] if run.status != "running"]
    doomed = [run_id for run_id in older if run_id not in kept]
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
    return doomed


def _keep_trials(session: Session, doomed: frozenset[int]) -> None:
    """Give cells that stay the trials of those that they go on from and that go."""
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
        cell.continues = None
    session.flush()


def _parts(items: Sequence[object]) -> Iterator[list[object]]:
    rest = iter(items)
    while part := list(islice(rest, _AT_ONCE)):
        yield part
