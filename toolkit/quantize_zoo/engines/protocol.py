"""The narrow protocol behind which cells are executed, so that another engine can take the local one's place."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from quantize_zoo.cell import Calibration, Cell, Finished, Prepared
from quantize_zoo.config import MatrixConfig
from quantize_zoo.gate import Check, GateResult
from quantize_zoo.gate.holding import FilesRequest, GateRequest
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import CandidateScorer, EvaluationPool
from quantize_zoo.store import ReferencePoint, WorkerUse


class CellWorker(CandidateScorer, Protocol):
    """Scores the candidates of one cell; called in the order below, by one caller.

    Every method raises ``QuantizeZooError`` and nothing else; ``WorkerDiedError`` means that no further call can
    succeed.
    """

    def prepare(self) -> Prepared:
        """Read model and data, score the FP32 model."""
        ...

    @property
    def pool(self) -> EvaluationPool | None:
        """What evaluates several candidates at once; None where there is one place only."""
        ...

    def references(self) -> tuple[ReferencePoint, ...]:
        """Score the models of other tools that the cell asks for."""
        ...

    def calibrate(self, base: ModelOption) -> Calibration:
        """Collect the statistics of all options of the search space around the base."""
        ...

    def compare(self, first: ModelOption, second: ModelOption) -> Estimate:
        """Measure the latency of two options in turns: time of the second / time of the first."""
        ...

    def finish(self, option: ModelOption, path: Path) -> Finished:
        """Write the option's model as IR and the answers beside it (``.npz``), and measure it again."""
        ...

    def export(self, option: ModelOption, path: Path) -> None:
        """Write the option's model as IR."""
        ...

    def compare_files(self, request: FilesRequest) -> tuple[Check, ...]:
        """Compare two model files on the cell's data."""
        ...

    def hold(self, request: GateRequest) -> GateResult:
        """Compare tonight with the cell's baseline."""
        ...

    def workers(self) -> tuple[WorkerUse, ...]:
        """Return who worked at the cell so far; nobody where it is this machine alone."""
        ...


class Engine(Protocol):
    """Opens a worker for a cell; leaving the context ends the worker, whatever it is doing."""

    @property
    def dashboard(self) -> str:
        """The address of the engine's own pages; empty if it has none."""
        ...

    def open(self, cell: Cell, log: Path) -> AbstractContextManager[CellWorker]:
        """Start a worker whose output goes to the log file."""
        ...

    def cpus(self, matrix: MatrixConfig) -> tuple[str, ...]:
        """Return the CPU models whose machines have cells of their own; one empty name where there is no difference."""
        ...

    def cells_at_once(self) -> int:
        """Return how many workers may be open at once."""
        ...
