"""As what a cell is run if its device is not here."""

from __future__ import annotations

from dataclasses import replace

from quantize_zoo.cell import Cell
from quantize_zoo.config import MatrixConfig
from quantize_zoo.scoring import is_available


def stand_ins(cell: Cell, matrix: MatrixConfig) -> list[Cell]:
    """Return as what a cell is run if its device is not there: a fleet with another member leading, or on the CPU."""
    others = () if cell.fleet is None or matrix.on_missing_device == "fail" else cell.fleet.members[1:]
    on_cpu = [replace(cell, scored_on_cpu=True)] if matrix.on_missing_device == "score_on_cpu" else []
    return [*(replace(cell, device=member) for member in others), *on_cpu]


def as_run_here(cell: Cell, matrix: MatrixConfig) -> Cell:
    """Return a cell as this machine runs it: as its first stand-in that is here, as itself where none is."""
    ways = (cell, *stand_ins(cell, matrix))
    return next((each for each in ways if is_available(each.scoring_device)), cell)
