"""What the steps of a night work with."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quantize_zoo import interrupts
from quantize_zoo.cell import Cell
from quantize_zoo.config import MatrixConfig, OptimizerParams
from quantize_zoo.engines.protocol import CellWork, Engine
from quantize_zoo.matrix.observer import RunObserver
from quantize_zoo.store import Store, StoredBaseline


@dataclass(frozen=True)
class Night:
    """A run under way: its cells, where its files go, who does the work, and who is told.

    ``models`` is the folder with canonical FP32 models, ``baselines`` that with the models of baselines; ``stop`` is
    set when the run is to end before its cells do. ``beside`` names cells that other runs of the same night have, each
    with as how many it counts.
    """

    run_id: str
    matrix: MatrixConfig
    cells: tuple[Cell, ...]
    seed: int
    folder: Path
    models: Path
    baselines: Path
    engine: Engine
    store: Store
    observer: RunObserver
    stop: threading.Event
    beside: Mapping[str, int] = field(default_factory=dict)

    def cells_with(self, baselines: Collection[str]) -> int:
        """Return how many cells of the night have a baseline, by which its level is divided.

        A fleet counts as many as it has members.
        """
        checked = {**self.beside, **{cell.key.label: cell.counts_as for cell in self.cells}}
        return sum(count for name, count in checked.items() if name in baselines)


@dataclass(frozen=True)
class Desk:
    """Where the steps of one cell are done: the cell, its row in the store, its work, and the night it belongs to.

    ``baseline`` is what the cell is held against.
    """

    cell: Cell
    cell_id: int
    work: CellWork
    night: Night
    baseline: StoredBaseline | None = None

    @property
    def params(self) -> OptimizerParams:
        """Parameters of the search."""
        return self.cell.model.optimizer.params

    def stop_if_asked(self) -> None:
        """Raise KeyboardInterrupt if the run is to end; a library may have swallowed the one that was raised."""
        interrupts.check()
        if self.night.stop.is_set():
            raise KeyboardInterrupt
