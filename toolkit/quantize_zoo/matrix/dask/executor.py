"""Implements ``Executor`` on a Dask cluster: each call of a cell is a task that Dask sends to a worker with its role.

Latency stays honest in two ways. ``master``: only workers with the role ``latency`` measure, one thing at a time; where
their machine has other workers too, those pause meanwhile. ``peer``: the worker that scored a candidate measures it,
against FP32 in turns; it must have its machine to itself. Ratios of different CPU models are not mixed.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from quantize_zoo import errors
from quantize_zoo.errors import QuantizeZooError, WorkerDiedError
from quantize_zoo.gate import Check, GateResult
from quantize_zoo.matrix.cells import Cell
from quantize_zoo.matrix.cluster_options import LatencyMode, Role
from quantize_zoo.matrix.comparison import FilesRequest, GateRequest
from quantize_zoo.matrix.dask import worker as tasks
from quantize_zoo.matrix.dask.files import CellFiles, contents, files_of, hashed
from quantize_zoo.matrix.dask.quiet import Quiet
from quantize_zoo.matrix.executor import Calibration, Finished, Prepared
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import Built, Evaluation, Known, Scored, Timed
from quantize_zoo.store import ReferencePoint

_POLL_SECONDS = 1.0
_LOST_SECONDS = 30.0  # without a scheduler, or without a worker of the role
_PATIENCE = 20.0  # a task may take so many times as long as the longest of its kind
_LEAST_LIMIT_SECONDS = 120.0
_FIRST_LIMIT_SECONDS = 3600.0
_ATTEMPTS = 2


class DaskExecutor:
    """Implements ``Executor`` for a cluster.

    Args:
        client: connected to it.
        latency: who measures.
        cache_bytes: what a worker may keep of files that it got from the client.
        tell: told of workers that are refused.

    Raises:
        ConfigurationError: no worker has a role that is needed, or the ones that measure are not alike.

    """

    def __init__(
        self, client: Client, latency: LatencyMode, cache_bytes: int, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._client = client
        self._latency = latency
        self._tell = tell
        self._lock = threading.Lock()
        self._facts: dict[str, tuple[tasks.Facts, frozenset[str]]] = {}
        self._refused: dict[str, str] = {}  # by address, why
        self._own = tasks.facts()
        self._cells = 0
        self._longest: Counter[str] = Counter()
        self.quiet = Quiet()
        client.register_plugin(tasks.CellSessions(cache_bytes))
        self.workers("accuracy")
        measuring = self.workers("latency" if latency == "master" else "accuracy")
        if not self._facts:
            raise errors.no_workers(f"{address}: {wrong}" for address, wrong in sorted(self._refused.items()))
        if not measuring or not self.workers("accuracy"):
            raise errors.no_role("latency" if not measuring else "accuracy")
        cpus = {self._facts[address][0].cpu for address in measuring}
        if len(cpus) > 1:
            raise errors.mixed_cpus(sorted(cpus))
        if latency == "peer" and self._shares_machines():
            raise errors.shared_machine()

    @property
    def dashboard(self) -> str:
        """The address of Dask's own pages."""
        return str(self._client.dashboard_link)

    def cells_at_once(self) -> int:
        """Return how many cells may run at once: their searches have parts that only one worker can do."""
        return min(4, max(1, len(self.workers("accuracy")) // 2))

    @contextmanager
    def open(self, cell: Cell, log: Path) -> Iterator[_DaskCell]:
        """See ``Executor``; a session's log stays with its worker."""
        with self._lock:
            self._cells += 1
        worker = _DaskCell(self, files_of(cell))
        try:
            yield worker
        finally:
            worker.close()
            with self._lock:
                self._cells -= 1

    def share(self) -> int:
        """Return how many workers a cell's trials may keep busy."""
        return max(1, len(self.workers("accuracy")) // max(1, self._cells))

    def workers(self, role: Role) -> list[str]:
        """Return the addresses of the workers that have a role and are like this machine; new ones are asked."""
        known = self._client.scheduler_info(n_workers=-1).get("workers", {})
        with self._lock:
            if self._client.status != "running":  # it may come back, and they with it
                known = {address: {} for address in self._facts}
            for address in [each for each in self._facts if each not in known]:
                del self._facts[address]
            new = [each for each in known if each not in self._facts and each not in self._refused]
            for address, found in self._ask(tasks.facts, workers=new, on_error="return").items() if new else ():
                wrong = self._differences(found)
                if wrong:
                    self._refused[address] = wrong
                    self._tell(f"worker {address} is refused: {wrong}")
                else:
                    self._facts[address] = found, frozenset(known[address]["resources"])
        return [address for address, (_, roles) in self._facts.items() if role in roles]

    def call(self, role: Role, task: Callable[..., Any], files: CellFiles, *arguments: Any) -> Any:
        """Run a task on a worker with a role; if its worker dies, or hangs, once more elsewhere.

        Raises:
            CellError: it failed on both, or there is no worker; whatever the task raises.
            WorkerDiedError: the scheduler is gone.

        """
        causes: list[str] = []
        while len(causes) < _ATTEMPTS:
            addresses = self._wait_for_workers(role)
            self._provide(files, addresses)
            started = time.monotonic()
            try:
                sent = [each.future(self._client) if isinstance(each, _Shared) else each for each in arguments]
                future = self._client.submit(
                    task, files, *sent, pure=False, workers=addresses, resources={role: 1}, retries=0
                )
                value = self._result(future, task.__name__, addresses)
            except FutureCancelledError as error:
                # What it needed was lost with another worker, which is not the task's doing: it is sent again.
                if self._client.status != "running":
                    raise errors.scheduler_lost(str(error)) from error
                time.sleep(_POLL_SECONDS)
            except WorkerDiedError as error:
                if error.where == "scheduler":
                    raise
                causes.append(error.what)
            except OSError as error:
                raise errors.scheduler_lost(str(error)) from error
            except KilledWorker as error:
                causes.append(f"the worker {error.last_worker.address} died")
            else:
                seconds = time.monotonic() - started
                self._longest[task.__name__] = max(self._longest[task.__name__], seconds)  # type: ignore[assignment]
                return value
        raise errors.task_failed(task.__name__, causes)

    def measuring(self) -> Any:
        """Return the context in which latency is measured."""
        return self.quiet.alone() if self._shares_machines() else nullcontext()

    def working(self) -> Any:
        """Return the context of other work."""
        return self.quiet.shared() if self._shares_machines() else nullcontext()

    @property
    def peer(self) -> bool:
        """Whether a candidate is measured where it was scored."""
        return self._latency == "peer"

    @property
    def measuring_role(self) -> Role:
        """The role of the workers that measure."""
        return "accuracy" if self.peer else "latency"

    def _result(self, future: Any, kind: str, addresses: list[str]) -> Any:
        longest = self._longest[kind]
        limit = max(_LEAST_LIMIT_SECONDS, _PATIENCE * longest) if longest else _FIRST_LIMIT_SECONDS
        connected = time.monotonic()
        deadline = connected + limit
        while True:
            try:
                return future.result(timeout=_POLL_SECONDS)
            except TimeoutError:
                pass
            except (QuantizeZooError, KilledWorker, FutureCancelledError, OSError):
                raise
            except Exception as error:
                raise errors.unexpected(f"{type(error).__name__}: {error}") from error
            if self._client.status == "running":
                connected = time.monotonic()
            elif time.monotonic() - connected > _LOST_SECONDS:
                raise errors.scheduler_lost("no connection")
            known = self._client.scheduler_info(n_workers=-1).get("workers", {})
            if self._client.status == "running" and not set(addresses) & set(known):
                future.cancel()  # it had not begun: else Dask says that its worker was killed
                raise FutureCancelledError(future.key, "all workers that could run it are gone")
            if time.monotonic() > deadline:
                where = [address for address, keys in self._client.processing().items() if future.key in keys]
                future.cancel()
                self._client.restart_workers(where, raise_for_error=False)
                raise errors.worker_died(f"it hung for {limit:.0f} s on {', '.join(where)}")

    def _wait_for_workers(self, role: Role) -> list[str]:
        deadline = time.monotonic() + _LOST_SECONDS
        while True:
            addresses = self.workers(role) if self._client.status == "running" else []
            if addresses:
                return addresses
            if time.monotonic() > deadline:
                raise (
                    errors.scheduler_lost("no connection") if self._client.status != "running" else errors.no_role(role)
                )
            time.sleep(_POLL_SECONDS)

    def _provide(self, files: CellFiles, addresses: list[str]) -> None:
        """Send the workers those files of a cell that they lack; without hashes all find them by path."""
        if not files.hashes:
            return
        for address, missing in self._ask(_missing, files, workers=addresses, on_error="ignore").items():
            if missing:
                self._ask(_keep, contents(files, missing), workers=[address], on_error="ignore")

    def lacking_paths(self, files: CellFiles) -> bool:
        """Tell whether a worker does not find the files by path."""
        return not all(self._ask(_here, files, workers=list(self._facts), on_error="ignore").values())

    def _ask(self, question: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
        """Run a function on workers at once, beside their tasks; without a scheduler nobody answers."""
        try:
            answers: dict[str, Any] = self._client.run(question, *arguments, **options)
        except (OSError, ValueError):
            return {}
        return answers

    def _differences(self, found: Any) -> str:
        if not isinstance(found, tasks.Facts):
            return f"it cannot tell its versions: {found}"
        wrong = [
            f"{name} {found.versions.get(name, 'none')} instead of {version}"
            for name, version in self._own.versions.items()
            if found.versions.get(name) != version
        ]
        return ", ".join(wrong)

    def _shares_machines(self) -> bool:
        """Tell whether a worker that measures shares its machine with another."""
        hosts = Counter(found.host for found, _ in self._facts.values())
        measuring = self.measuring_role
        return any(hosts[found.host] > 1 for found, roles in self._facts.values() if measuring in roles)


class _Shared:
    """A value that every worker needs: sent to the cluster once, and again if it was lost there."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._future: Any = None
        self._lock = threading.Lock()

    def future(self, client: Client) -> Any:
        with self._lock:
            if self._future is None or self._future.status != "finished":
                self._future = client.scatter(self._value, broadcast=True, hash=False)
            return self._future


class _DaskCell:
    """Implements ``CellWorker`` and ``EvaluationPool``."""

    def __init__(self, executor: DaskExecutor, files: CellFiles) -> None:
        self._executor = executor
        self._files = hashed(files) if executor.lacking_paths(files) else files
        self._calibrated: Any = None
        self._threads = ThreadPoolExecutor(thread_name_prefix="trial")
        self._measures = not files.cell.scored_on_cpu

    def close(self) -> None:
        """Let pending evaluations go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def pool(self) -> _DaskCell:
        """See ``CellWorker``."""
        return self

    def prepare(self) -> Prepared:
        with self._executor.working():
            prepared: Prepared = self._executor.call("accuracy", tasks.prepare, self._files)
        return prepared

    def references(self) -> tuple[ReferencePoint, ...]:
        points: tuple[ReferencePoint, ...] = self._measure(tasks.references)
        return points

    def calibrate(self, base: ModelOption) -> Calibration:
        with self._executor.working():
            calibration: Calibration
            calibration, calibrated = self._executor.call("accuracy", tasks.calibrate, self._files, base)
        self._calibrated = _Shared(calibrated)
        return calibration

    def capacity(self) -> int:
        return self._executor.share()

    def submit(self, option: ModelOption, known: Known, *, prune: bool) -> Future[Evaluation]:
        return self._threads.submit(self._evaluate, option, known, prune)

    def build(self, option: ModelOption) -> Built:
        self._found = self._evaluate(option, Known(), prune=False)
        return self._found.built

    def score(self, *, prune: bool) -> Scored:
        assert self._found.scored is not None, "nothing was known"
        return self._found.scored

    def measure(self) -> Timed:
        assert self._found.timed is not None, "nothing was known"
        return self._found.timed

    def compare(self, first: ModelOption, second: ModelOption) -> Estimate:
        ratio: Estimate = self._measure(tasks.compare, self._calibrated, first, second)
        return ratio

    def finish(self, option: ModelOption, path: Path) -> Finished:
        written: tasks.Written = self._measure(tasks.finish, self._calibrated, option)
        path.parent.mkdir(parents=True, exist_ok=True)
        for name, content in written.files.items():
            path.with_suffix(Path(name).suffix).write_bytes(content)
        finished: Finished = written.value
        return finished

    def export(self, option: ModelOption, path: Path) -> None:
        raise errors.only_local("export")

    def compare_files(self, request: FilesRequest) -> tuple[Check, ...]:
        raise errors.only_local("compare")

    def hold(self, request: GateRequest) -> GateResult:
        baseline = request.baseline.content
        files: dict[str, Path] = {}
        for name in (baseline.fp32, baseline.int8, baseline.answers):
            files |= _with_weights(Path("baselines", name), request.folder / name)
        if request.best is not None:
            files |= _with_weights(Path("run", request.model.name), request.model)
        read = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
        plain = replace(request, runtimes=())
        written: tasks.Written = self._measure(tasks.hold, self._calibrated, plain, read)
        for name, content in written.files.items():
            (request.run / "thumbnails").mkdir(exist_ok=True)
            (request.run / "thumbnails" / name).write_bytes(content)
        result: GateResult = written.value
        return result

    def _measure(self, task: Callable[..., Any], *arguments: Any) -> Any:
        with self._executor.measuring():
            return self._executor.call(self._executor.measuring_role, task, self._files, *arguments)

    def _evaluate(self, option: ModelOption, known: Known, prune: bool) -> Evaluation:
        executor, calibrated = self._executor, self._calibrated
        here = executor.peer or not self._measures
        with executor.working():
            found: Evaluation = executor.call(
                "accuracy", tasks.evaluate_option, self._files, calibrated, option, known, prune, here
            )
        scored = found.scored
        if here or scored is None or scored.hopeless or found.built.structure in known.structures:
            return found
        timed, where = self._measure(tasks.measure_option, calibrated, option)
        return replace(found, timed=timed, where=where)


def _with_weights(name: Path, path: Path) -> dict[str, Path]:
    beside = {name.with_suffix(".bin").as_posix(): path.with_suffix(".bin")} if path.suffix == ".xml" else {}
    return {name.as_posix(): path, **beside}


def _here(files: CellFiles) -> bool:
    return files.here


def _missing(files: CellFiles, dask_worker: Any) -> list[str]:
    sessions: tasks.CellSessions = dask_worker.plugins[tasks.PLUGIN]
    return [] if files.here else sessions.missing(files)


def _keep(found: Mapping[str, bytes], dask_worker: Any) -> None:
    sessions: tasks.CellSessions = dask_worker.plugins[tasks.PLUGIN]
    sessions.keep(found)
