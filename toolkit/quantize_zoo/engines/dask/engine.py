"""Implements ``Engine`` on a Dask cluster: each call of a cell is a task for a worker with its role.

Latency stays honest in two ways. ``master``: only workers with the role ``latency`` measure, one thing at a time; where
their machine has other workers too, those pause meanwhile. ``peer``: the worker that scored a candidate measures it,
against FP32 in turns; it must have its machine to itself. A cell's trials come from machines of one CPU model, on which
both latency and what INT8 kernels compute depend.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client

from quantize_zoo import errors
from quantize_zoo.cell import Calibration, Cell, Finished, Prepared
from quantize_zoo.config import MatrixConfig
from quantize_zoo.engines.cluster_options import Role
from quantize_zoo.engines.dask import worker as tasks
from quantize_zoo.engines.dask.calls import Calls
from quantize_zoo.engines.dask.cluster import dashboard_of
from quantize_zoo.engines.dask.files import CellFiles, batches, files_of
from quantize_zoo.engines.dask.leases import share_out
from quantize_zoo.engines.dask.places import placed
from quantize_zoo.engines.dask.quiet import Quiet
from quantize_zoo.engines.dask.roster import Roster
from quantize_zoo.engines.dask.statistics import Calibrated
from quantize_zoo.engines.dask.usage import Usage
from quantize_zoo.engines.patience import Patience
from quantize_zoo.engines.protocol import CellWork
from quantize_zoo.gate import GateResult
from quantize_zoo.gate.holding import GateRequest
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import Evaluation, EvaluationPool, Known, Survey
from quantize_zoo.store import Elsewhere, ReferencePoint, WorkerUse
from quantize_zoo.terms import LatencyMode
from quantize_zoo.text.files import write_together

_PLACE_SECONDS = 60.0  # in which a nanny has started a worker again
_POLL_SECONDS = 0.5
_PENDING = 256  # trials of a cell at most: each waits in a thread


class DaskEngine:
    """Implements ``Engine`` for a cluster.

    Args:
        client: connected to it.
        latency: who measures.
        cache_bytes: what a worker may keep of files that it got from the client.
        tell: told of workers that are refused.

    Raises:
        CellError: the cluster fails.
        ConfigurationError: no worker has a role that is needed, or one that measures shares its machine.

    """

    def __init__(
        self, client: Client, latency: LatencyMode, cache_bytes: int, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._client = client
        self.peer = latency == "peer"  # a candidate is measured where it was scored
        self._measuring_role: Role = "accuracy" if self.peer else "latency"
        try:
            client.register_plugin(tasks.CellSessions(cache_bytes))
            self.roster = Roster(client, tell)
        except OSError as error:  # a worker that ends meanwhile is enough
            raise errors.cluster_fails(str(error)) from error
        self.roster.require("accuracy")
        self.roster.require(self._measuring_role)
        if self.peer and self.roster.shares_machine("accuracy"):
            raise errors.shared_machine()
        self._calls = Calls(client, self.roster)
        self._quiet = Quiet()
        self._lock = threading.Lock()
        self._open: list[_DaskCell] = []
        self._leases: dict[str, str] = {}

    @property
    def dashboard(self) -> str:
        """The address of Dask's own pages."""
        return dashboard_of(self._client)

    def cpus(self, matrix: MatrixConfig) -> tuple[str, ...]:
        """See ``Engine``.

        Raises:
            ConfigurationError: CPU models differ, and the matrix does not want that.

        """
        roles = self._leading()
        cpus = {role: self.roster.cpus(role) for role in roles}
        for role in roles:
            self.roster.keep_to(role, cpus[role])
        if all(len(each) == 1 for each in cpus.values()):
            return ("",)
        if matrix.on_mixed_cpus == "refuse":
            raise errors.mixed_cpus(sorted({cpu for each in cpus.values() for cpu in each}))
        return tuple(cpus[self._measuring_role])

    def cells_at_once(self) -> int:
        """Return how many cells may run at once: their searches have parts that only one worker can do."""
        return min(tasks.SESSIONS, max(1, len(self.roster.of("accuracy")) // 2))

    @contextmanager
    def open(self, cell: Cell, log: Path) -> Iterator[_DaskCell]:
        """See ``Engine``; a session's log stays with its worker."""
        opened = _DaskCell(self, files_of(self._placed(cell)))
        with self._lock:
            self._open.append(opened)
        try:
            yield opened
        finally:
            with self._lock:
                self._open.remove(opened)
            opened.close()
            self.roster.ask(tasks.release, opened.files.key, on_error="ignore")

    def _placed(self, cell: Cell) -> Cell:
        """Return a fleet's cell with its members on the machines that they keep as long as it is open."""
        found = [self.roster.of(role, cell.cpu) or self.roster.of(role) for role in self._leading()]
        leading = [self.roster.facts(address).kind for addresses in found for address in addresses]
        return placed(cell, leading, [each.kind for each in self.roster.alone("member").values()])

    def _leading(self) -> tuple[Role, ...]:
        return "accuracy", self._measuring_role

    def members(self, cell: Cell, failed: Collection[str] = ()) -> dict[str, list[str]]:
        """Return for each member of a cell's fleet that runs elsewhere the workers on its kind of machine.

        Those that failed a call are none for it: a worker that was killed is known as one for a moment longer.
        """
        specs = {each.label: each for each in cell.fleet.members} if cell.fleet else {}
        workers = self.roster.alone("member").items()
        return {
            label: [
                address
                for address, facts in workers
                if facts.kind.name_for(specs[label]) == machine and address not in failed
            ]
            for label, machine in cell.places
        }

    def workers(self, cell: _DaskCell, role: Role, failed: Collection[str] = ()) -> list[str]:
        """Return the addresses of the workers that may work for an open cell: its share of them, or all.

        Those at which it failed come last.
        """
        cpu = cell.files.cell.cpu
        found = self.roster.of(role, cpu) or (self.roster.of(role) if role != self._measuring_role else [])
        with self._lock:
            alike = [each.files.key for each in self._open if each.files.cell.cpu == cpu]
            leases = share_out(self._leases, alike, found if role == "accuracy" else self.roster.of("accuracy", cpu))
            self._leases.update(leases)
        leased = [address for address in found if leases.get(address) == cell.files.key and address not in failed]
        return leased or [address for address in found if address not in failed] or found

    def call(self, cell: _DaskCell, role: Role, task: Callable[..., tasks.Done], *arguments: Any) -> tasks.Done:
        """Run a task of a cell on one of its workers, which get its files if they have none; see ``Calls.run``."""

        def where(failed: Collection[str]) -> list[str]:
            if not self._has_places(cell, failed):
                return []
            addresses = self.workers(cell, role, failed)
            cell.provide(addresses, failed)
            return addresses

        return self._calls.run(role, task, where, cell.patience, cell.files.key, *arguments)

    def _has_places(self, cell: _DaskCell, failed: Collection[str]) -> bool:
        """Wait until all members of a cell have workers; tell whether they do, not if the cluster is gone.

        Raises:
            WorkerDiedError: nobody came.

        """
        deadline = time.monotonic() + _PLACE_SECONDS
        while (lost := cell.lost_place(failed)) is not None:
            if self._calls.ended or not self.roster.connected:
                return False
            if time.monotonic() > deadline:
                raise errors.no_place(*lost)
            time.sleep(_POLL_SECONDS)
        return True

    def measure(self, cell: _DaskCell, task: Callable[..., tasks.Done], *arguments: Any) -> tasks.Done:
        """Run a task of a cell that measures latency; where its machine has other workers, these pause."""
        with self._quiet.alone() if self._is_disturbed() else nullcontext():
            return self.call(cell, self._measuring_role, task, *arguments)

    def work(self, cell: _DaskCell, task: Callable[..., tasks.Done], *arguments: Any) -> tasks.Done:
        """Run a task of a cell that may run beside others."""
        with self._quiet.shared() if self.roster.shares_machine(self._measuring_role) else nullcontext():
            return self.call(cell, "accuracy", task, *arguments)

    def beside_measuring(self) -> AbstractContextManager[object]:
        """Return what the client holds while it computes: where a machine that measures is its own, it waits."""
        return self._quiet.shared() if self.roster.is_here(self._measuring_role) else nullcontext()

    def _is_disturbed(self) -> bool:
        """Tell whether anything else that we know of would run beside a measurement."""
        return self.roster.shares_machine(self._measuring_role) or self.roster.is_here(self._measuring_role)

    def usage(self, work: CellWork) -> tuple[WorkerUse, ...]:
        """See ``Engine``."""
        assert isinstance(work, _DaskCell), "this engine opened it"
        return work.usage.until(time.monotonic())

    def cut_short(self) -> None:
        """See ``Engine``."""
        self._calls.cut_short()

    def accuracy_elsewhere(self, cell: Cell) -> str:
        """Return a note if a cell's accuracy is scored on another CPU model than its latency is measured on."""
        here = [cell.cpu] if cell.cpu else self.roster.cpus(self._measuring_role)
        if self.roster.of("accuracy", here[0] if here else ""):
            return ""
        scored = ", ".join(self.roster.cpus("accuracy"))
        return f"accuracy is scored on {scored}, latency measured on {', '.join(here)}: INT8 may compute other values"


class _DaskCell:
    """Implements ``CellWork`` and ``EvaluationPool``."""

    def __init__(self, engine: DaskEngine, files: CellFiles) -> None:
        self.files = files
        self._engine = engine
        self._calibrated: Calibrated | None = None
        self._provided: dict[str, Calibrated | None] = {}  # what a worker has, by address
        self._places: dict[str, dict[str, str]] = {}  # of members, told to a worker, by address
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_PENDING, thread_name_prefix="trial")
        self._measures = not files.cell.scored_on_cpu
        self.usage = Usage(time.monotonic(), engine.roster.facts)
        self.patience = Patience(files.cell.hang_seconds)

    def close(self) -> None:
        """Let pending evaluations go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def provide(self, addresses: list[str], failed: Collection[str] = ()) -> None:
        """Send workers what they have not: the cell with those of its files that they lack, and its statistics.

        They are told where members run, too, which is at none of those that failed.
        """
        ask = self._engine.roster.ask
        with self._lock:
            new = [each for each in addresses if each not in self._provided]
            lacking = ask(tasks.announce, self.files, workers=new, on_error="ignore") if new else {}
            for address, missing in lacking.items():
                for batch in batches(self.files, missing):
                    ask(tasks.keep_files, batch, workers=[address], on_error="ignore")
                self._provided[address] = None
            self._tell_places(addresses, failed)
            stale = [each for each in addresses if self._provided.get(each) is not self._calibrated]
            if stale and self._calibrated is not None:
                told = self._tell_statistics(stale, self._calibrated)
                self._provided.update(dict.fromkeys(told, self._calibrated))

    def lost_place(self, failed: Collection[str]) -> tuple[str, str] | None:
        """Return a member that has no worker on its kind of machine any more, and that machine."""
        there = self._engine.members(self.files.cell, failed)
        return next(((label, machine) for label, machine in self.files.cell.places if not there[label]), None)

    def _tell_places(self, addresses: list[str], failed: Collection[str]) -> None:
        """Tell workers where members run that are not theirs: always at the same workers, as long as these live."""
        there = self._engine.members(self.files.cell, failed)
        for position, leading in enumerate(addresses if there else ()):
            before = self._places.get(leading, {})
            now = {
                label: before[label] if before.get(label) in found else found[position % len(found)]
                for label, found in there.items()
                if found
            }
            if now != before:
                self._engine.roster.ask(tasks.learn_places, self.files.key, now, workers=[leading], on_error="ignore")
                self._places[leading] = now

    def _tell_statistics(self, addresses: list[str], calibrated: Calibrated) -> list[str]:
        """Tell workers of statistics, and send them to machines that lack them, each once; return who was told."""
        roster, key, told = self._engine.roster, self.files.key, calibrated.told

        def lacking(workers: list[str]) -> dict[str, bool]:
            has = roster.ask(tasks.learn_calibrated, key, told, workers=workers, on_error="ignore") if workers else {}
            return {address: not each for address, each in has.items()}

        def send(workers: list[str]) -> None:
            if workers:
                roster.ask(tasks.keep_statistics, key, calibrated.statistics, workers=workers, on_error="ignore")

        asked = lacking(addresses)
        without = [address for address, lacks in asked.items() if lacks]
        machines = {roster.facts(address).host: address for address in reversed(without)}
        send(list(machines.values()))
        again = lacking([address for address in without if address not in machines.values()])
        # One that is called as another is no machine's second worker, or has another folder for temporary files.
        send([address for address, lacks in again.items() if lacks])
        return list(asked)

    @property
    def pool(self) -> EvaluationPool:
        """See ``CellWork``."""
        return self

    def prepare(self) -> Prepared:
        prepared: Prepared = self._measure(tasks.prepare)
        note = self._engine.accuracy_elsewhere(self.files.cell)
        if not note:
            return prepared
        return replace(prepared, reference=replace(prepared.reference, notes=(*prepared.reference.notes, note)))

    def references(self) -> tuple[ReferencePoint, ...]:
        points: tuple[ReferencePoint, ...] = self._measure(tasks.references)
        return points

    def calibrate(self, base: ModelOption) -> Calibration:
        calibration: Calibration
        calibration, self._calibrated = self._work(tasks.calibrate, base)
        return calibration

    def survey(self, base: ModelOption) -> Survey | None:
        found: Survey | None = self._measure(tasks.survey, base)
        return found

    def capacity(self) -> int:
        return max(1, min(_PENDING, len(self._engine.workers(self, "accuracy"))))

    def submit(self, option: ModelOption, known: Known, *, prune: bool) -> Future[Evaluation]:
        return self._threads.submit(self._evaluate, option, known, prune)

    def busy(self) -> AbstractContextManager[object]:
        return self._engine.beside_measuring()

    def compare(self, first: ModelOption, second: ModelOption) -> Estimate:
        ratio: Estimate = self._measure(tasks.compare, first, second)
        return ratio

    def finish(self, option: ModelOption, accuracy: float, path: Path) -> Finished:
        written: tasks.Written = self._measure(tasks.finish, option, accuracy)
        write_together(
            path.parent,
            {path.with_suffix(Path(name).suffix).name: content for name, content in written.files.items()},
        )
        finished: Finished = written.value
        return finished

    def elsewhere(self, path: Path, seconds: float) -> tuple[Elsewhere, ...]:
        read = {each.name: each.read_bytes() for each in (path, path.with_suffix(".bin"))}
        found: tuple[Elsewhere, ...] = self._measure(tasks.elsewhere, path.name, read, seconds)
        return found

    def hold(self, request: GateRequest) -> GateResult:
        baseline = request.baseline.content
        files: dict[str, Path] = {}
        for name in (baseline.fp32, baseline.int8, baseline.answers):
            files |= _with_weights(Path("baselines", name), request.folder / name)
        if request.best is not None:
            files |= _with_weights(Path("run", request.model.name), request.model)
        read = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
        written: tasks.Written = self._measure(tasks.hold, request, read)
        if written.files:
            write_together(request.terms.run / "thumbnails", written.files)
        result: GateResult = written.value
        return result

    def _measure(self, task: Callable[..., tasks.Done], *arguments: Any) -> Any:
        return self._accounted(task, self._engine.measure(self, task, *arguments))

    def _work(self, task: Callable[..., tasks.Done], *arguments: Any) -> Any:
        return self._accounted(task, self._engine.work(self, task, *arguments))

    def _accounted(self, task: Callable[..., tasks.Done], done: tasks.Done) -> Any:
        self.usage.add(done, measures=task is tasks.measure_option)
        return done.value

    def _evaluate(self, option: ModelOption, known: Known, prune: bool) -> Evaluation:
        here = self._engine.peer or not self._measures
        found: Evaluation = self._work(tasks.evaluate_option, option, known, prune, here)
        scored = found.scored
        if here or scored is None or found.failure or scored.hopeless or found.built.structure in known.structures:
            return found
        timed, where = self._measure(tasks.measure_option, option)
        return replace(found, timed=timed, where=where)


def _with_weights(name: Path, path: Path) -> dict[str, Path]:
    beside = {name.with_suffix(".bin").as_posix(): path.with_suffix(".bin")} if path.suffix == ".xml" else {}
    return {name.as_posix(): path, **beside}
