"""The narrow protocol behind which the work of cells is done, so that another engine can take the local one's place."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from quantize_zoo.cell import Calibration, Cell, Finished, Prepared
from quantize_zoo.config import MatrixConfig
from quantize_zoo.gate import GateResult
from quantize_zoo.gate.holding import GateRequest
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import EvaluationPool, Survey
from quantize_zoo.store import Elsewhere, ReferencePoint, WorkerUse


class CellWork(Protocol):
    """The work of one cell that is open.

    Who may call what, when, from which thread: one thread, that of the cell, calls everything, and nothing after the
    engine's context is left. ``prepare`` comes first, once. ``calibrate`` comes before whatever takes an option, and
    again whenever the base or the scope changes. ``pool`` is the search's: while an evaluation of it is pending,
    nothing else is called. Each call returns when it is done, except ``pool.submit``, whose work goes on elsewhere.

    Every method raises ``QuantizeZooError`` and nothing else; ``WorkerDiedError`` means that no further call can
    succeed. A call that takes much longer than the cell's others is ended by the engine and raises that, too.
    """

    def prepare(self) -> Prepared:
        """Read model and data, score the FP32 model."""
        ...

    def references(self) -> tuple[ReferencePoint, ...]:
        """Score the models of other tools that the cell asks for."""
        ...

    def calibrate(self, base: ModelOption) -> Calibration:
        """Collect the statistics of all options of the search space around the base."""
        ...

    def survey(self, base: ModelOption) -> Survey | None:
        """Find out what quantizing each operation saves and changes; None where it cannot be found out."""
        ...

    @property
    def pool(self) -> EvaluationPool:
        """What evaluates options: one at a time, or several."""
        ...

    def compare(self, first: ModelOption, second: ModelOption) -> Estimate:
        """Measure the latency of two options in turns: time of the second / time of the first."""
        ...

    def finish(self, option: ModelOption, accuracy: float, path: Path) -> Finished:
        """Write the option's model as IR, prove that it computes what its trial did, and measure it again.

        ``accuracy`` is the trial's; the answers are written beside the model (``.npz``).
        """
        ...

    def elsewhere(self, path: Path, seconds: float) -> tuple[Elsewhere, ...]:
        """Score the model that ``finish`` wrote in other environments, for so many seconds at most."""
        ...

    def hold(self, request: GateRequest) -> GateResult:
        """Compare tonight with the cell's baseline."""
        ...


class Engine(Protocol):
    """Opens the work of cells. ``open`` may be called by as many threads at once as ``cells_at_once`` says."""

    @property
    def dashboard(self) -> str:
        """The address of the engine's own pages; empty if it has none."""
        ...

    def cpus(self, matrix: MatrixConfig) -> tuple[str, ...]:
        """Return the CPU models whose machines have cells of their own; one empty name where there is no difference."""
        ...

    def cells_at_once(self) -> int:
        """Return how many cells may be open at once."""
        ...

    def open(self, cell: Cell, log: Path) -> AbstractContextManager[CellWork]:
        """Start the work of a cell, whose output goes to the log file; leaving ends it, whatever it is doing."""
        ...

    def usage(self, work: CellWork) -> tuple[WorkerUse, ...]:
        """Return who worked at a cell that is open; nobody where it is this machine alone."""
        ...

    def cut_short(self) -> None:
        """End what all open cells are doing, from any thread: their calls raise."""
        ...
