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
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin, get_worker

from quantize_zoo import __version__, errors
from quantize_zoo.cell.session import CellSession
from quantize_zoo.engines.dask.files import Cache, CellFiles
from quantize_zoo.engines.dask.memory import MemoryGuard
from quantize_zoo.engines.dask.places import OPERATION, Connections, Hosting
from quantize_zoo.engines.dask.statistics import Calibrated, MachineStatistics, Told
from quantize_zoo.engines.process import CellProcess, start_process
from quantize_zoo.errors import WorkerDiedError
from quantize_zoo.gate.holding import GateRequest
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import MachineKind, describe_environment, describe_kind, find_checker
from quantize_zoo.search import Known

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
    kind: MachineKind = field(default_factory=MachineKind)


@dataclass(frozen=True)
class Done:
    """A task's result, the address of its worker, and the seconds that it took there.

    ``longest`` are the seconds of the longest call of each kind in the cell's session.
    """

    value: Any
    address: str
    seconds: float
    longest: Mapping[str, float] = field(default_factory=dict)


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
        self.files: dict[str, CellFiles] = {}  # by the cell's key, as all that follows
        self.statistics = MachineStatistics(self._folder / "statistics")
        self.calibrated: dict[str, Told] = {}
        self.places: dict[str, Mapping[str, str]] = {}
        self._open: dict[str, Session] = {}  # the one used last at the end
        self._lock = threading.Lock()
        self._guard = MemoryGuard(worker.memory_manager.memory_limit, self._processes)
        self._worker = worker
        worker.handlers[OPERATION] = Hosting(self._folder / "members", self.cache).serve

    def teardown(self, worker: Any) -> None:
        """End the sessions."""
        self._guard.stop()
        for key in list(self._open):
            self.end(key)
        shutil.rmtree(self._folder, ignore_errors=True)

    def session(self, key: str) -> Session:
        """Return the session of a cell whose files were announced."""
        with self._lock:
            session = self._open.pop(key, None)
            unused = list(self._open)[: len(self._open) - SESSIONS + 1] if session is None else []
        for each in unused:
            self.end(each)
        if session is None:
            connections = Connections(self._worker, self.places.get(key, {}))
            session = Session(self.files[key], self._folder / key, self.cache, self.statistics, connections)
        with self._lock:
            self._open[key] = session
        return session

    def end(self, key: str) -> None:
        """End the session of a cell, if there is one; what it is doing is cut short."""
        with self._lock:
            session = self._open.pop(key, None)
        if session is not None:
            session.close()

    def _processes(self) -> list[CellProcess]:
        with self._lock:
            return [session.process for session in self._open.values()]


class Session:
    """A cell's process, which is prepared and calibrated once."""

    def __init__(
        self, files: CellFiles, folder: Path, cache: Cache, statistics: MachineStatistics, connections: Connections
    ) -> None:
        self._files = files
        self._folder = folder
        self._cache = cache
        self._statistics = statistics
        self.connections = connections
        self._base: ModelOption | None = None
        self._prepared: Any = None
        self._stack = ExitStack()
        cell = cache.localized(files)
        log = folder / f"{cell.key.slug}.log"
        started = start_process(cell, log, folder / "statistics", folder / "inputs", connections.relay)
        self.process: CellProcess = self._stack.enter_context(started)

    def close(self) -> None:
        """End the process."""
        self.process.kill("its cell is over")
        self.connections.close()
        self._stack.close()
        self._cache.release(self._files)
        shutil.rmtree(self._folder, ignore_errors=True)

    def prepare(self) -> Any:
        """Return what is known before the first trial."""
        if self._prepared is None:
            self._prepared = self.process.call(CellSession.prepare)
        return self._prepared

    def calibrate(self, base: ModelOption) -> Any:
        """Collect the statistics, keep them for this machine's other workers, and return them for other machines."""
        self.prepare()
        calibration = self.process.call(CellSession.calibrate, base)
        self._base = base
        kept = {path.name: path.read_bytes() for path in (self._folder / "statistics").glob("*.npz")}
        self._statistics.keep(self._files.key, kept)
        return calibration, Calibrated(base, kept)

    def ready(self, calibrated: Told) -> CellProcess:
        """Return the process, ready to build options around the base."""
        self.prepare()
        if self._base != calibrated.base:
            self._statistics.place(self._files.key, calibrated, self._folder / "statistics")
            self.process.call(CellSession.calibrate, calibrated.base)
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
    name, kind = ("", MachineKind()) if dask_worker is None else (str(dask_worker.name), describe_kind())
    return Facts(socket.gethostname(), name, environment.cpu, versions, kind)


def prepare(longest: Mapping[str, float], key: str) -> Done:
    """Run ``CellWork.prepare``; as all tasks, for the cell with this key, whose ``longest`` calls set the limits."""
    return _in_session(longest, key, Session.prepare)


def references(longest: Mapping[str, float], key: str) -> Done:
    """Run ``CellWork.references``."""

    def task(session: Session) -> Any:
        session.prepare()
        return session.process.call(CellSession.references)

    return _in_session(longest, key, task)


def calibrate(longest: Mapping[str, float], key: str, base: ModelOption) -> Done:
    """Run ``CellWork.calibrate``."""
    return _in_session(longest, key, lambda session: session.calibrate(base))


def evaluate_option(
    longest: Mapping[str, float], key: str, option: ModelOption, known: Known, prune: bool, measure: bool
) -> Done:
    """Evaluate an option, without its latency if another worker is to measure that."""

    def task(process: CellProcess) -> Any:
        found = process.call(CellSession.evaluate, option, known, prune=prune, measure=measure)
        return replace(found, where=socket.gethostname() if found.timed else "")

    return _calibrated(longest, key, task)


def measure_option(longest: Mapping[str, float], key: str, option: ModelOption) -> Done:
    """Build an option and measure its latency; return the machine's name too."""

    def task(process: CellProcess) -> Any:
        return process.call(CellSession.measure, option), socket.gethostname()

    return _calibrated(longest, key, task)


def survey(longest: Mapping[str, float], key: str, base: ModelOption) -> Done:
    """Run ``CellWork.survey``."""
    return _calibrated(longest, key, lambda process: process.call(CellSession.survey, base))


def compare(longest: Mapping[str, float], key: str, first: ModelOption, second: ModelOption) -> Done:
    """Run ``CellWork.compare``."""
    return _calibrated(longest, key, lambda process: process.call(CellSession.compare, first, second))


def finish(longest: Mapping[str, float], key: str, option: ModelOption, accuracy: float) -> Done:
    """Run ``CellWork.finish``; the model and its answers come back as files."""

    def task(process: CellProcess) -> Written:
        with tempfile.TemporaryDirectory() as folder:
            value = process.call(CellSession.finish, option, accuracy, Path(folder, _MODEL))
            return Written(value, _read(Path(folder)))

    return _calibrated(longest, key, task)


def elsewhere(
    longest: Mapping[str, float], key: str, model: str, contents: Mapping[str, bytes], seconds: float
) -> Done:
    """Run ``CellWork.elsewhere`` on the model's files."""

    def task(process: CellProcess) -> Any:
        with tempfile.TemporaryDirectory() as name:
            for file, content in contents.items():
                Path(name, file).write_bytes(content)
            return process.call(CellSession.elsewhere, Path(name, model), seconds)

    return _calibrated(longest, key, task)


def hold(longest: Mapping[str, float], key: str, request: GateRequest, contents: Mapping[str, bytes]) -> Done:
    """Run ``CellWork.hold`` on the files of the request, with the runtimes that are here; pictures come back."""

    def task(process: CellProcess) -> Written:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for path, content in contents.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
            run = folder / "run"
            run.mkdir(exist_ok=True)
            here = tuple(each for each in request.runtimes if each.python.is_file())
            local = replace(
                request,
                folder=folder / "baselines",
                model=run / request.model.name,
                terms=replace(request.terms, run=run),
                runtimes=here,
            )
            value = process.call(CellSession.hold, local)
            return Written(value, _read(run / "thumbnails"))

    return _calibrated(longest, key, task)


async def announce(files: CellFiles, dask_worker: Any) -> list[str]:
    """Know a cell; return the hashes of its files that are neither here by path nor in the cache; beside the tasks."""
    sessions = _sessions(dask_worker)
    sessions.files[files.key] = files
    return await asyncio.to_thread(lambda: [] if files.here else sessions.cache.missing(files))


async def learn_calibrated(key: str, told: Told, dask_worker: Any) -> bool:
    """Learn which statistics of a cell another worker collected; tell whether this machine has them."""
    sessions = _sessions(dask_worker)
    sessions.calibrated[key] = told
    return await asyncio.to_thread(sessions.statistics.has, key, told)


async def keep_statistics(key: str, contents: Mapping[str, bytes], dask_worker: Any) -> None:
    """Take the statistics of a cell for this machine."""
    await asyncio.to_thread(_sessions(dask_worker).statistics.keep, key, contents)


async def learn_places(key: str, addresses: Mapping[str, str], dask_worker: Any) -> None:
    """Learn which workers a cell's members run on, by their names, for sessions that are opened from now on."""
    _sessions(dask_worker).places[key] = addresses


async def keep_files(contents: Mapping[str, bytes], dask_worker: Any) -> None:
    """Take files of cells into the cache, by the hash of their content."""
    await asyncio.to_thread(_sessions(dask_worker).cache.keep, contents)


async def release(key: str, dask_worker: Any) -> None:
    """Forget a cell."""
    sessions = _sessions(dask_worker)
    sessions.files.pop(key, None)
    sessions.calibrated.pop(key, None)
    sessions.places.pop(key, None)
    await asyncio.to_thread(sessions.statistics.release, key)
    await asyncio.to_thread(sessions.end, key)


def _sessions(worker: Any) -> CellSessions:
    sessions = worker.plugins[PLUGIN]
    assert isinstance(sessions, CellSessions), "the client registered it"
    return sessions


def _calibrated(longest: Mapping[str, float], key: str, task: Callable[[CellProcess], Any]) -> Done:
    """Run a task in a cell's process that was made ready for the stage."""
    return _in_session(longest, key, lambda session: task(session.ready(_sessions(get_worker()).calibrated[key])))


def _in_session(longest: Mapping[str, float], key: str, task: Callable[[Session], Any]) -> Done:
    """Run a task in the cell's session; one whose process died is no use any more."""
    worker = get_worker()
    sessions = _sessions(worker)
    started = time.perf_counter()
    session = sessions.session(key)
    patience = session.process.patience
    patience.learn(longest)
    try:
        return Done(task(session), worker.address, time.perf_counter() - started, patience.longest())
    except WorkerDiedError as error:
        sessions.end(key)
        raise errors.session_lost(error.what, session.connections.lost or worker.address) from error


def _read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}
