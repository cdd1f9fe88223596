"""Cells that go on from others: whose trials come before theirs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from quantize_zoo.store.schema import Cell, TrialRow

HAS_TRIALS = select(TrialRow.id).where(TrialRow.cell_id == Cell.id).exists()  # of its own


def newest_of_each(*chosen: ColumnElement[bool]) -> Any:
    """Ask for the newest of the chosen cells of each model and device."""
    return select(func.max(Cell.id)).where(*chosen).group_by(Cell.model, Cell.device)


def last_searches() -> Any:
    """Ask for the cell of each model and device that searched last, and so has trials or goes on from some."""
    return newest_of_each(Cell.method != "eval", or_(HAS_TRIALS, Cell.continues.is_not(None)))


def with_those_before(chosen: ColumnElement[bool]) -> Select[tuple[int, int | None]]:
    """Ask for the cells that are chosen and all that they go on from: each by its id, and the one before it."""
    found = select(Cell.id, Cell.continues).where(chosen).cte("found", recursive=True)
    before = select(Cell.id, Cell.continues).join(found, Cell.id == found.c.continues)
    every = found.union(before)  # of each once, so that a circle has an end
    return select(every.c.id, every.c.continues)


def chain_in(befores: Mapping[int, int | None], cell_id: int) -> list[int]:
    """Return a cell, and those that it goes on from, the newest first; ``befores`` tells the one before each.

    Raises:
        ValueError: one of them is not there, or a cell goes on from itself.

    """
    chain: list[int] = []
    before: int | None = cell_id
    while before is not None:
        if before in chain or before not in befores:
            problem = "and that one from it" if before in befores else "which is not there"
            raise ValueError(f"cell {chain[-1] if chain else before} goes on from cell {before}, {problem}")
        chain.append(before)
        before = befores[before]
    return chain


def stored_trials(session: Session) -> dict[tuple[str, str], int]:
    """Return how many trials the last search of each model and device has, with those that it goes on from.

    One that is damaged has none here; the cell that goes on with it says so.
    """
    searches = session.execute(select(Cell.id, Cell.model, Cell.device).where(Cell.id.in_(last_searches()))).all()
    chains = with_those_before(Cell.id.in_(last_searches())).subquery()
    befores = {row.id: row.continues for row in session.execute(select(chains))}
    counted = select(TrialRow.cell_id, func.count().label("trials")).group_by(TrialRow.cell_id)
    rows = session.execute(counted.where(TrialRow.cell_id.in_(select(chains.c.id))))
    own = {row.cell_id: row.trials for row in rows}
    found: dict[tuple[str, str], int] = {}
    for search in searches:
        with suppress(ValueError):
            chain = chain_in(befores, search.id)
            found[search.model, search.device] = sum(own.get(each, 0) for each in chain)
    return found


def chain_of(session: Session, cell_id: int) -> list[int]:
    """Return the chain of one cell; raises as ``chain_in``."""
    return chain_in({row.id: row.continues for row in session.execute(with_those_before(Cell.id == cell_id))}, cell_id)
