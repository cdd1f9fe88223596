"""Cells that go on from others: whose trials come before theirs."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from quantize_zoo.store.schema import Cell, TrialRow

HAS_TRIALS = select(TrialRow.id).where(TrialRow.cell_id == Cell.id).exists()  # of its own


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


def chain_of(session: Session, cell_id: int) -> list[int]:
    """Return the chain of one cell; raises as ``chain_in``."""
    return chain_in({row.id: row.continues for row in session.execute(with_those_before(Cell.id == cell_id))}, cell_id)
