"""What a list of trials shows of each: read on its own, without options and all else that a run's report needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from quantize_zoo.config.keys import cell_label
from quantize_zoo.scoring.figure import Estimate
from quantize_zoo.store.adapters import read
from quantize_zoo.store.chains import chain_in, with_those_before
from quantize_zoo.store.schema import Cell, TrialRow


@dataclass(frozen=True)
class ListedLatency:
    """FP32 time / INT8 time; see ``quantize_zoo.scoring.PairedLatency``."""

    ratio: Estimate


@dataclass(frozen=True)
class ListedMeasurement:
    """What was measured; see ``quantize_zoo.search.Measurement``."""

    accuracy: Estimate
    latency: ListedLatency | None


@dataclass(frozen=True)
class ListedScore:
    """What the objective sees; see ``quantize_zoo.search.Score``."""

    accuracy_loss: float
    quantization_ratio: float
    slower: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListedMember:
    """A member of a fleet that was asked; see ``quantize_zoo.search.MemberScore``."""

    name: str


@dataclass(frozen=True)
class ListedTrial:
    """A trial of a cell in a list; its figures are those of ``quantize_zoo.search.Trial``."""

    number: int
    measurement: ListedMeasurement | None
    score: ListedScore | None
    loss: float | None
    failure: str | None
    members: tuple[ListedMember, ...] = ()


@dataclass(frozen=True)
class ListedCell:
    """A cell in a list, with its trials in order; ``best`` is the number of the one that was called best."""

    name: str
    best: int | None
    trials: tuple[ListedTrial, ...]


_AT_ONCE = 20  # trials: whole ones take fifty times as much memory as what is shown of them
_TRIAL = TypeAdapter(ListedTrial)
_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def listed_cells(session: Session, run_id: str) -> Iterator[ListedCell]:
    """Return the cells of a run, in its order.

    Raises:
        ValueError: what is shown of a trial is not what was stored, or a cell goes on from itself.

    """
    chosen = Cell.run_id == run_id
    ask = with_those_before(chosen)
    befores = {row.id: row.continues for row in session.execute(ask)}
    known: dict[int, list[ListedTrial]] = {}
    query = select(TrialRow.cell_id, TrialRow.number, TrialRow.trial).order_by(TrialRow.cell_id, TrialRow.number)
    query = query.where(TrialRow.cell_id.in_(select(ask.subquery().c.id)))
    for row in session.execute(query.execution_options(yield_per=_AT_ONCE)):
        place = f"cell {row.cell_id}, trial {row.number}"
        whole: dict[str, Any] = read(_OBJECT, row.trial, place)
        known.setdefault(row.cell_id, []).append(read(_TRIAL, {**whole, "number": row.number}, place))
    cells = session.execute(select(Cell.id, Cell.model, Cell.device, Cell.best).where(chosen).order_by(Cell.id))
    for cell in cells:
        trials = [trial for each in reversed(chain_in(befores, cell.id)) for trial in known.get(each, ())]
        yield ListedCell(cell_label(cell.model, cell.device), cell.best, tuple(trials))
