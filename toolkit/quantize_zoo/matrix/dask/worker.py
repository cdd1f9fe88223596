"""What runs on a worker: cells' sessions, each in a process of its own, and the tasks that the client submits.

A crash of native code, a hang, or a want of memory ends the session's process and not the worker; the task says so.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin, get_worker

from quantize_zoo import __version__, errors
from quantize_zoo.errors import WorkerDiedError
from quantize_zoo.matrix.comparison import GateRequest
from quantize_zoo.matrix.dask.files import Cache, CellFiles
from quantize_zoo.matrix.dask.memory import MemoryGuard
from quantize_zoo.matrix.executor import CellWorker
from quantize_zoo.matrix.local import LocalExecutor, ProcessWorker
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import describe_environment, find_checker
from quantize_zoo.search import Built, Known, Scored, evaluate

PLUGIN = "quantize-zoo"
SESSIONS = 4  # that a worker keeps open: as many cells may be measured by one worker in turns
_MODEL = "model.xml"


@dataclass(frozen=True)
class Facts:
    """What a worker is: what must be the same on all of them, and what latency depends on."""

    host: str
    name: str
    cpu: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Calibrated:
    """The option that a search starts from, and the statistics that were collected for it, by file name."""

    base: ModelOption
    statistics: Mapping[str, bytes]


@dataclass(frozen=True)
class Done:
    """A task's result, the address of its worker, and the seconds that it took there."""

    value: Any
    address: str
    seconds: float


@dataclass(frozen=True)
class Written:
    """A task's result with the files that it wrote, by name."""

    value: Any
    files: Mapping[str, bytes]


class CellSessions(WorkerPlugin):
    """The worker's sessions, the longest unused one closed for another; each is made ready when a task needs it."""

    name = PLUGIN

    def __init__(self, cache_bytes: int) -> None:
        self._cache_bytes = cache_bytes

    def setup(self, worker: Any) -> None:
        """Make the worker's folder."""
        self._folder = Path(tempfile.mkdtemp(prefix="quantize-zoo-", dir=worker.local_directory))
        self.cache = Cache(Path(worker.local_directory) / "quantize-zoo-cache", self._cache_bytes)
        self._open: dict[str, Session] = {}  # by the cell's key, the one used last at the end
        self._lock = threading.Lock()
        self._guard = MemoryGuard(worker.memory_manager.memory_limit, self._processes)

    def teardown(self, worker: Any) -> None:
        """End the sessions."""
        self._guard.stop()
        for key in list(self._open):
            self.release(key)
        shutil.rmtree(self._folder, ignore_errors=True)

    def session(self, files: CellFiles) -> Session:
        """Return the cell's session."""
        with self._lock:
            session = self._open.pop(files.key, None)
            unused = list(self._open)[: len(self._open) - SESSIONS + 1] if session is None else []
        for key in unused:
            self.release(key)
        session = session or Session(files, self._folder / files.key, self.cache)
        with self._lock:
            self._open[files.key] = session
        return session

    def release(self, key: str) -> None:
        """End the session of a cell, if there is one; what it is doing is cut short."""
        with self._lock:
            session = self._open.pop(key, None)
        if session is not None:
            session.close()

    def _processes(self) -> list[ProcessWorker]:
        with self._lock:
            return [session.process for session in self._open.values()]


class Session:
    """A cell's process, which is prepared and calibrated once."""

    def __init__(self, files: CellFiles, folder: Path, cache: Cache) -> None:
        self._files = files
        self._folder = folder
        self._cache = cache
        self._base: ModelOption | None = None
        self._prepared: Any = None
        self._stack = ExitStack()
        cell = cache.localized(files)
        executor = LocalExecutor(folder / "statistics", folder / "inputs")
        self.process: ProcessWorker = self._stack.enter_context(executor.open(cell, folder / f"{cell.name}.log"))

    def close(self) -> None:
        """End the process."""
        self.process.kill("its cell is over")
        self._stack.close()
        self._cache.release(self._files)
        shutil.rmtree(self._folder, ignore_errors=True)

    def prepare(self) -> Any:
        """Return what is known before the first trial."""
        if self._prepared is None:
            self._prepared = self.process.prepare()
        return self._prepared

    def calibrate(self, base: ModelOption) -> Any:
        """Collect the statistics, and return them for the other workers too."""
        self.prepare()
        calibration = self.process.calibrate(base)
        self._base = base
        kept = {path.name: path.read_bytes() for path in (self._folder / "statistics").glob("*.npz")}
        return calibration, Calibrated(base, kept)

    def ready(self, calibrated: Calibrated) -> CellWorker:
        """Return the process, ready to build options around the base."""
        self.prepare()
        if self._base != calibrated.base:
            folder = self._folder / "statistics"
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in calibrated.statistics.items():
                (folder / name).write_bytes(content)
            self.process.calibrate(calibrated.base)
            self._base = calibrated.base
        return self.process


def facts(dask_worker: Any = None) -> Facts:
    """Return what this process is, or the worker that it is."""
    environment = describe_environment()
    versions = {
        "quantize-zoo": __version__,
        "OpenVINO": environment.openvino,
        "the accuracy checker": find_checker().version,
        "NumPy": environment.numpy,
        "distributed": metadata.version("distributed"),
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }
    name = "" if dask_worker is None else str(dask_worker.name)
    return Facts(socket.gethostname(), name, environment.cpu, versions)


def prepare(limit: float, files: CellFiles) -> Done:
    """Run ``CellWorker.prepare``, for at most ``limit`` seconds, as all tasks."""
    return _guarded(limit, files, Session.prepare)


def references(limit: float, files: CellFiles) -> Done:
    """Run ``CellWorker.references``."""

    def task(session: Session) -> Any:
        session.prepare()
        return session.process.references()

    return _guarded(limit, files, task)


def calibrate(limit: float, files: CellFiles, base: ModelOption) -> Done:
    """Run ``CellWorker.calibrate``."""
    return _guarded(limit, files, lambda session: session.calibrate(base))


def evaluate_option(
    limit: float,
    files: CellFiles,
    calibrated: Calibrated,
    option: ModelOption,
    known: Known,
    prune: bool,
    measure: bool,
) -> Done:
    """Build and score an option, and measure it unless another worker is to do that."""

    def task(session: Session) -> Any:
        process = session.ready(calibrated)
        found = evaluate(process if measure else _Unmeasured(process), option, known, prune=prune)
        timed = found.timed if measure else None
        return replace(found, timed=timed, where=socket.gethostname() if timed else "")

    return _guarded(limit, files, task)


def measure_option(limit: float, files: CellFiles, calibrated: Calibrated, option: ModelOption) -> Done:
    """Build an option and measure its latency; return the machine's name too."""

    def task(session: Session) -> Any:
        process = session.ready(calibrated)
        process.build(option)
        return process.measure(), socket.gethostname()

    return _guarded(limit, files, task)


def compare(limit: float, files: CellFiles, calibrated: Calibrated, first: ModelOption, second: ModelOption) -> Done:
    """Run ``CellWorker.compare``."""
    return _guarded(limit, files, lambda session: session.ready(calibrated).compare(first, second))


def finish(limit: float, files: CellFiles, calibrated: Calibrated, option: ModelOption) -> Done:
    """Run ``CellWorker.finish``; the model and its answers come back as files."""

    def task(session: Session) -> Written:
        with tempfile.TemporaryDirectory() as folder:
            value = session.ready(calibrated).finish(option, Path(folder, _MODEL))
            return Written(value, _read(Path(folder)))

    return _guarded(limit, files, task)


def hold(
    limit: float, files: CellFiles, calibrated: Calibrated, request: GateRequest, contents: Mapping[str, bytes]
) -> Done:
    """Run ``CellWorker.hold`` on the files of the request, with the runtimes that are here; pictures come back."""

    def task(session: Session) -> Written:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for path, content in contents.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
            run = folder / "run"
            run.mkdir(exist_ok=True)
            here = tuple(each for each in request.runtimes if each.python.is_file())
            local = replace(
                request, folder=folder / "baselines", model=run / request.model.name, run=run, runtimes=here
            )
            value = session.ready(calibrated).hold(local)
            return Written(value, _read(run / "thumbnails"))

    return _guarded(limit, files, task)


class _Unmeasured:
    """Builds and scores; measuring is another worker's."""

    def __init__(self, session: CellWorker) -> None:
        self._session = session

    def build(self, option: ModelOption) -> Built:
        return self._session.build(option)

    def score(self, *, prune: bool) -> Scored:
        return self._session.score(prune=prune)

    def measure(self) -> Any:
        return None


async def missing_files(files: CellFiles, dask_worker: Any) -> list[str]:
    """Return the hashes of a cell's files that are neither here by path nor in the cache; beside the tasks."""

    def look() -> list[str]:
        return [] if files.here else _sessions(dask_worker).cache.missing(files)

    return await asyncio.to_thread(look)


async def keep_files(contents: Mapping[str, bytes], dask_worker: Any) -> None:
    """Take files of cells into the cache, by the hash of their content."""
    await asyncio.to_thread(_sessions(dask_worker).cache.keep, contents)


async def release(key: str, dask_worker: Any) -> None:
    """End the session of a cell, if there is one."""
    await asyncio.to_thread(_sessions(dask_worker).release, key)


def _sessions(worker: Any) -> CellSessions:
    sessions = worker.plugins[PLUGIN]
    assert isinstance(sessions, CellSessions), "the client registered it"
    return sessions


def _guarded(limit: float, files: CellFiles, task: Callable[[Session], Any]) -> Done:
    """Run a task in the cell's session, which ends if it takes too long; one whose process died is no use any more."""
    worker = get_worker()
    sessions = _sessions(worker)
    started = time.perf_counter()
    session = sessions.session(files)
    alarm = threading.Timer(limit, session.process.kill, [f"it hung for {limit:.0f} s"])
    alarm.start()
    try:
        return Done(task(session), worker.address, time.perf_counter() - started)
    except WorkerDiedError as error:
        sessions.release(files.key)
        raise errors.session_lost(error.what, worker.address) from error
    finally:
        alarm.cancel()


def _read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}
