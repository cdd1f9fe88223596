"""Who is told what happens in a night."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from quantize_zoo.cell import Cell
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import GateResult
from quantize_zoo.search import Trial
from quantize_zoo.store import Reference


class RunObserver(Protocol):
    """Told what happens, for progress; must not raise."""

    def cell_started(self, cell: Cell, position: int, total: int, left: float | None) -> None:
        """Announce a cell, and the seconds that the run still takes, None where nobody knows."""
        ...

    def reference_scored(self, cell: Cell, reference: Reference) -> None:
        """Announce the FP32 reference."""
        ...

    def noticed(self, cell: Cell, notes: Sequence[str]) -> None:
        """Tell what was noticed since the reference was announced."""
        ...

    def trial_finished(self, cell: Cell, trial: Trial, best: Trial | None) -> None:
        """Announce a trial that is stored, and the best so far."""
        ...

    def step_started(self, cell: Cell, step: str) -> None:
        """Announce what comes after the trials and takes a while, in a few words."""
        ...

    def gate_finished(self, cell: Cell, result: GateResult) -> None:
        """Announce what the comparison with the baseline found."""
        ...

    def cell_finished(self, cell: Cell, error: QuantizeZooError | None) -> None:
        """Announce the end of a cell."""
        ...
