"""The narrow protocol behind which cells are executed, so that another engine can take the local one's place."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from quantize_zoo.graph import Placement
from quantize_zoo.matrix.cells import Cell
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import PairedLatency
from quantize_zoo.search import Measurement
from quantize_zoo.store import Reference


@dataclass(frozen=True)
class Prepared:
    """What a worker knows before the first trial: the reference, what can be quantized, and the preset's option."""

    reference: Reference
    placement: Placement
    base: ModelOption


class CellWorker(Protocol):
    """Scores the candidates of one cell; called in the order below, by one caller.

    Every method raises ``QuantizeZooError`` and nothing else; ``WorkerDiedError`` means that no further call can
    succeed.
    """

    def prepare(self) -> Prepared:
        """Read model and data, score the FP32 model."""
        ...

    def calibrate(self, base: ModelOption) -> float:
        """Collect the statistics of all options of the search space around the base; return the seconds spent."""
        ...

    def evaluate(self, option: ModelOption) -> Measurement:
        """Build the option's model in memory and measure its accuracy and latency."""
        ...

    def finish(self, option: ModelOption, path: Path) -> PairedLatency:
        """Write the option's model as IR and measure its latency again, independently of the trial's."""
        ...


class Executor(Protocol):
    """Opens a worker for a cell; leaving the context ends the worker, whatever it is doing."""

    def open(self, cell: Cell, log: Path) -> AbstractContextManager[CellWorker]:
        """Start a worker whose output goes to the log file."""
        ...
