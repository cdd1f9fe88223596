"""What runs on a worker: a cell's session in a process of its own, and the tasks that the client submits.

A crash of native code, or a kill for want of memory, ends the session's process and not the worker; the task says so.
"""

from __future__ import annotations

import platform
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from distributed import WorkerPlugin, get_worker

from quantize_zoo import __version__
from quantize_zoo.errors import WorkerDiedError
from quantize_zoo.gate import GateResult
from quantize_zoo.matrix.comparison import GateRequest
from quantize_zoo.matrix.dask.files import Cache, CellFiles
from quantize_zoo.matrix.executor import Calibration, CellWorker, Finished, Prepared
from quantize_zoo.matrix.local import LocalExecutor
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate, describe_environment, find_checker
from quantize_zoo.search import Built, Evaluation, Known, Scored, Timed, evaluate
from quantize_zoo.store import ReferencePoint

Value = TypeVar("Value")

PLUGIN = "quantize-zoo"
_MODEL = "model.xml"


@dataclass(frozen=True)
class Facts:
    """What a worker is: what must be the same on all of them, and what latency depends on."""

    host: str
    cpu: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Calibrated:
    """The option that a search starts from, and the statistics that were collected for it, by file name."""

    base: ModelOption
    statistics: Mapping[str, bytes]


@dataclass(frozen=True)
class Written:
    """A task's result with the files that it wrote, by name."""

    value: Any
    files: Mapping[str, bytes]


class CellSessions(WorkerPlugin):
    """The worker's session of one cell at a time; it is opened, prepared and calibrated when a task needs it."""

    name = PLUGIN
    _stack: ExitStack
    _files: CellFiles | None
    _base: ModelOption | None

    def __init__(self, cache_bytes: int) -> None:
        self._cache_bytes = cache_bytes

    def setup(self, worker: Any) -> None:
        """Make the worker's folder."""
        self._folder = Path(tempfile.mkdtemp(prefix="quantize-zoo-", dir=worker.local_directory))
        self._executor = LocalExecutor(self._folder / "statistics", self._folder / "inputs")
        self._cache = Cache(Path(worker.local_directory) / "quantize-zoo-cache", self._cache_bytes)
        self._clear()

    def teardown(self, worker: Any) -> None:
        """End the session."""
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """End the session, if there is one."""
        self._stack.close()
        self._clear()

    def prepared(self, files: CellFiles) -> Prepared:
        """Return what the cell's session knows before the first trial."""
        if self._files != files:
            self.close()
            cell = self._cache.localized(files)
            log = self._folder / "logs" / f"{cell.name}.log"
            self._session = self._stack.enter_context(self._executor.open(cell, log))
            self._prepared = self._session.prepare()
            self._files = files
        return self._prepared

    def session(self, files: CellFiles, calibrated: Calibrated | None = None) -> CellWorker:
        """Return the cell's session, ready to build options around the base."""
        self.prepared(files)
        if calibrated is not None and self._base != calibrated.base:
            folder = self._folder / "statistics"
            folder.mkdir(exist_ok=True)
            for name, content in calibrated.statistics.items():
                (folder / name).write_bytes(content)
            self._session.calibrate(calibrated.base)
            self._base = calibrated.base
        return self._session

    def calibrate(self, files: CellFiles, base: ModelOption) -> tuple[Calibration, Calibrated]:
        """Collect the statistics, and return them for the other workers."""
        calibration = self.session(files).calibrate(base)
        self._base = base
        kept = {path.name: path.read_bytes() for path in (self._folder / "statistics").glob("*.npz")}
        return calibration, Calibrated(base, kept)

    def keep(self, contents: Mapping[str, bytes]) -> None:
        """Take files of cells into the cache, by the hash of their content."""
        self._cache.keep(contents)

    def missing(self, files: CellFiles) -> list[str]:
        """Return the hashes of a cell's files that are not in the cache."""
        return self._cache.missing(files)

    def _clear(self) -> None:
        self._stack = ExitStack()
        self._files = None
        self._base = None


def facts() -> Facts:
    """Return what this worker is."""
    environment = describe_environment()
    versions = {
        "quantize-zoo": __version__,
        "OpenVINO": environment.openvino,
        "the accuracy checker": find_checker().version,
        "NumPy": environment.numpy,
        "distributed": metadata.version("distributed"),
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }
    return Facts(socket.gethostname(), environment.cpu, versions)


def prepare(files: CellFiles) -> Prepared:
    """Run ``CellWorker.prepare``."""
    return _guarded(lambda sessions: sessions.prepared(files))


def references(files: CellFiles) -> tuple[ReferencePoint, ...]:
    """Run ``CellWorker.references``."""
    return _guarded(lambda sessions: sessions.session(files).references())


def calibrate(files: CellFiles, base: ModelOption) -> tuple[Calibration, Calibrated]:
    """Run ``CellWorker.calibrate``."""
    return _guarded(lambda sessions: sessions.calibrate(files, base))


def evaluate_option(
    files: CellFiles, calibrated: Calibrated, option: ModelOption, known: Known, prune: bool, measure: bool
) -> Evaluation:
    """Build and score an option, and measure it unless another worker is to do that."""

    def task(sessions: CellSessions) -> Evaluation:
        session = sessions.session(files, calibrated)
        found = evaluate(session if measure else _Unmeasured(session), option, known, prune=prune)
        timed = found.timed if measure else None
        return replace(found, timed=timed, where=socket.gethostname() if measure else "")

    return _guarded(task)


def measure_option(files: CellFiles, calibrated: Calibrated, option: ModelOption) -> tuple[Timed, str]:
    """Build an option and measure its latency; return the machine's name too."""

    def task(sessions: CellSessions) -> tuple[Timed, str]:
        session = sessions.session(files, calibrated)
        session.build(option)
        return session.measure(), socket.gethostname()

    return _guarded(task)


def compare(files: CellFiles, calibrated: Calibrated, first: ModelOption, second: ModelOption) -> Estimate:
    """Run ``CellWorker.compare``."""
    return _guarded(lambda sessions: sessions.session(files, calibrated).compare(first, second))


def finish(files: CellFiles, calibrated: Calibrated, option: ModelOption) -> Written:
    """Run ``CellWorker.finish``; the model and its answers come back as files."""

    def task(sessions: CellSessions) -> Written:
        with tempfile.TemporaryDirectory() as folder:
            value: Finished = sessions.session(files, calibrated).finish(option, Path(folder, _MODEL))
            return Written(value, _read(Path(folder)))

    return _guarded(task)


def hold(files: CellFiles, calibrated: Calibrated, request: GateRequest, contents: Mapping[str, bytes]) -> Written:
    """Run ``CellWorker.hold`` on the files of the request; pictures come back as files."""

    def task(sessions: CellSessions) -> Written:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for path, content in contents.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
            run = folder / "run"
            run.mkdir(exist_ok=True)
            local = replace(request, folder=folder / "baselines", model=run / request.model.name, run=run)
            value: GateResult = sessions.session(files, calibrated).hold(local)
            return Written(value, _read(run / "thumbnails"))

    return _guarded(task)


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


def _guarded(task: Callable[[CellSessions], Value]) -> Value:
    """Run a task in the worker's sessions; one whose process died is no use any more."""
    sessions = get_worker().plugins[PLUGIN]
    assert isinstance(sessions, CellSessions), "the client registered it"
    try:
        return task(sessions)
    except WorkerDiedError:
        sessions.close()
        raise


def _read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}
