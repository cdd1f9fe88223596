"""The local engine: a process for each cell, one at a time, since latency needs a quiet machine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from quantize_zoo.cell import Calibration, Cell, Finished, Prepared
from quantize_zoo.cell.session import CellSession
from quantize_zoo.config import MatrixConfig
from quantize_zoo.engines.process import CellProcess, start_process
from quantize_zoo.engines.protocol import CellWork
from quantize_zoo.gate import GateResult
from quantize_zoo.gate.holding import GateRequest
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import Evaluation, EvaluationPool, Known, Survey
from quantize_zoo.store import Elsewhere, ReferencePoint, WorkerUse


class LocalEngine:
    """Implements ``Engine`` with a process of this machine.

    Args:
        statistics: the folder where collected statistics are kept.
        inputs: the folder for preprocessed inputs that do not fit into memory.

    """

    def __init__(self, statistics: Path, inputs: Path) -> None:
        self._statistics = statistics
        self._inputs = inputs

    @property
    def dashboard(self) -> str:
        """See ``Engine``; there are no pages."""
        return ""

    def cpus(self, matrix: MatrixConfig) -> tuple[str, ...]:
        """See ``Engine``; this machine has one."""
        return ("",)

    def cells_at_once(self) -> int:
        """See ``Engine``; latency needs a quiet machine."""
        return 1

    def start(self, cell: Cell, log: Path) -> AbstractContextManager[CellProcess]:
        """Start a cell's process for other work than a night's: comparing files, exporting trials."""
        return start_process(cell, log, self._statistics, self._inputs)

    @contextmanager
    def open(self, cell: Cell, log: Path) -> Iterator[CellWork]:
        """See ``Engine``."""
        with ThreadPoolExecutor(1, thread_name_prefix="trial") as thread, self.start(cell, log) as process:
            yield _LocalWork(process, thread)

    def usage(self, work: CellWork) -> tuple[WorkerUse, ...]:
        """See ``Engine``; this machine alone."""
        return ()

    def cut_short(self) -> None:
        """See ``Engine``; the cell runs in the thread that is interrupted, and its process ends with that."""


class _LocalWork:
    """Implements ``CellWork`` and ``EvaluationPool`` by a process."""

    def __init__(self, process: CellProcess, thread: ThreadPoolExecutor) -> None:
        self._process = process
        self._thread = thread

    def prepare(self) -> Prepared:
        return self._process.call(CellSession.prepare)

    def references(self) -> tuple[ReferencePoint, ...]:
        return self._process.call(CellSession.references)

    def calibrate(self, base: ModelOption) -> Calibration:
        return self._process.call(CellSession.calibrate, base)

    def survey(self, base: ModelOption) -> Survey | None:
        return self._process.call(CellSession.survey, base)

    @property
    def pool(self) -> EvaluationPool:
        return self

    def capacity(self) -> int:
        return 1

    def submit(self, option: ModelOption, known: Known, *, prune: bool) -> Future[Evaluation]:
        return self._thread.submit(self._process.call, CellSession.evaluate, option, known, prune=prune)

    def busy(self) -> AbstractContextManager[object]:
        return self._process.quiet

    def compare(self, first: ModelOption, second: ModelOption) -> Estimate:
        return self._process.call(CellSession.compare, first, second)

    def finish(self, option: ModelOption, accuracy: float, path: Path) -> Finished:
        return self._process.call(CellSession.finish, option, accuracy, path)

    def elsewhere(self, path: Path, seconds: float) -> tuple[Elsewhere, ...]:
        return self._process.call(CellSession.elsewhere, path, seconds)

    def hold(self, request: GateRequest) -> GateResult:
        return self._process.call(CellSession.hold, request)
