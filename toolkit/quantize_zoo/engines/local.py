"""The local engine: a spawned process for each cell, one at a time, since latency needs a quiet machine.

A crash in native code, an out-of-memory kill or a leak ends that process only. The two sides exchange messages over a
pipe; only this program's own values travel on it.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from quantize_zoo import errors, interrupts
from quantize_zoo.cell import Calibration, Cell, Finished, Prepared
from quantize_zoo.cell.session import CellSession
from quantize_zoo.config import MatrixConfig
from quantize_zoo.engines.protocol import CellWorker
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import Check, GateResult
from quantize_zoo.gate.holding import FilesRequest, GateRequest
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate
from quantize_zoo.scoring.environment import ISA_VARIABLE
from quantize_zoo.search import Built, Scored, Timed
from quantize_zoo.store import ReferencePoint, WorkerUse

_GRACE_SECONDS = 5


class LocalEngine:
    """Implements ``Engine`` with a spawned process.

    Args:
        statistics: the folder where collected statistics are kept.
        inputs: the folder for preprocessed inputs that do not fit into memory; what a killed process leaves there is
            removed with the next cell.

    """

    def __init__(self, statistics: Path, inputs: Path) -> None:
        self._statistics = statistics
        self._inputs = inputs

    @property
    def dashboard(self) -> str:
        """See ``Engine``; there are no pages."""
        return ""

    def cpus(self, matrix: MatrixConfig) -> tuple[str, ...]:
        """See ``Engine``."""
        return ("",)

    def cells_at_once(self) -> int:
        """See ``Engine``; latency needs a quiet machine."""
        return 1

    @contextmanager
    def open(self, cell: Cell, log: Path) -> Iterator[ProcessWorker]:
        """See ``Engine``."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        inputs = self._inputs / str(os.getpid())
        process = context.Process(
            target=_serve, args=(theirs, cell, self._statistics, inputs, log), name=cell.name, daemon=True
        )
        with _limited_to(cell.device.isa), interrupts.held():
            process.start()
        theirs.close()
        try:
            yield _ProcessWorker(ours, process)
        finally:
            # The worker leaves when its pipe is closed; a call that is under way is cut short.
            ours.close()
            process.join(_GRACE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
            _remove_leftovers(self._inputs)


class ProcessWorker(CellWorker, Protocol):
    """A worker that is a process of this machine."""

    @property
    def pid(self) -> int:
        """The process's."""
        ...

    def kill(self, cause: str) -> None:
        """End the process from another thread; the call that is under way fails with the cause."""
        ...


class _ProcessWorker:
    """Implements ``ProcessWorker`` by calling the same methods in the cell's process."""

    def __init__(self, connection: Connection, process: Any) -> None:
        self._connection = connection
        self._process = process
        self._cause = ""

    @property
    def pid(self) -> int:
        pid: int = self._process.pid
        return pid

    def kill(self, cause: str) -> None:
        self._cause = cause
        self._process.kill()

    def workers(self) -> tuple[WorkerUse, ...]:
        return ()

    def prepare(self) -> Prepared:
        prepared: Prepared = self._call("prepare")
        return prepared

    @property
    def pool(self) -> None:
        return None

    def references(self) -> tuple[ReferencePoint, ...]:
        points: tuple[ReferencePoint, ...] = self._call("references")
        return points

    def calibrate(self, base: ModelOption) -> Calibration:
        calibration: Calibration = self._call("calibrate", base)
        return calibration

    def build(self, option: ModelOption) -> Built:
        built: Built = self._call("build", option)
        return built

    def score(self, *, prune: bool) -> Scored:
        scored: Scored = self._call("score", prune=prune)
        return scored

    def measure(self) -> Timed:
        timed: Timed = self._call("measure")
        return timed

    def compare(self, first: ModelOption, second: ModelOption) -> Estimate:
        ratio: Estimate = self._call("compare", first, second)
        return ratio

    def finish(self, option: ModelOption, path: Path) -> Finished:
        finished: Finished = self._call("finish", option, path)
        return finished

    def export(self, option: ModelOption, path: Path) -> None:
        self._call("export", option, path)

    def compare_files(self, request: FilesRequest) -> tuple[Check, ...]:
        checks: tuple[Check, ...] = self._call("compare_files", request)
        return checks

    def hold(self, request: GateRequest) -> GateResult:
        result: GateResult = self._call("hold", request)
        return result

    def _call(self, method: str, *arguments: object, **named: object) -> Any:
        try:
            self._connection.send((method, arguments, named))
            succeeded, answer = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(_GRACE_SECONDS)
            raise errors.worker_died(self._cause or _cause_of_death(self._process.exitcode)) from None
        if succeeded:
            return answer
        raise answer


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is None:
        return "it closed its pipe and hangs"
    if exit_code >= 0:
        return f"exit status {exit_code}"
    name = signal.Signals(-exit_code).name
    return f"{name} (out of memory?)" if name == "SIGKILL" else name


@contextmanager
def _limited_to(isa: str | None) -> Iterator[None]:
    """Limit oneDNN in processes started meanwhile: it reads the variable once, when OpenVINO is loaded."""
    before = os.environ.get(ISA_VARIABLE)
    if isa is not None:
        os.environ[ISA_VARIABLE] = isa
    try:
        yield
    finally:
        if before is not None:
            os.environ[ISA_VARIABLE] = before
        elif isa is not None:
            del os.environ[ISA_VARIABLE]


def _remove_leftovers(inputs: Path) -> None:
    """Remove this process's folder of inputs, and those of processes that are gone."""
    for folder in inputs.glob("*"):
        ours = folder.name == str(os.getpid())
        if ours or not Path("/proc", folder.name).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _serve(connection: Connection, cell: Cell, statistics: Path, inputs: Path, log: Path) -> None:
    """Run in the cell's process: answer calls until the pipe is closed."""
    # Ctrl-C reaches the whole process group; the main process decides what it means and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _redirect_output(log)
    session: CellSession | None = None
    while True:
        try:
            method, arguments, named = connection.recv()
        except EOFError:
            return
        try:
            if session is None:
                session = CellSession(cell, statistics, inputs)
            reply = (True, getattr(session, method)(*arguments, **named))
        except QuantizeZooError as error:
            traceback.print_exc()
            reply = (False, error)
        except Exception as error:  # nothing foresaw it; the log has the traceback, the user gets one line
            traceback.print_exc()
            reply = (False, errors.unexpected(f"{type(error).__name__}: {error}"))
        try:
            connection.send(reply)
        except BrokenPipeError:
            return


def _redirect_output(log: Path) -> None:
    """Send what libraries print, native ones included, to the cell's log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
