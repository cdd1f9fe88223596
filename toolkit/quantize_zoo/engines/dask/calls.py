"""Tasks on workers: sent, waited for, and sent once more elsewhere if their worker was lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distributed import Client
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from quantize_zoo import errors
from quantize_zoo.engines.cluster_options import Role
from quantize_zoo.engines.dask.roster import Roster
from quantize_zoo.engines.dask.worker import Done
from quantize_zoo.engines.patience import Patience
from quantize_zoo.errors import QuantizeZooError, WorkerDiedError

_POLL_SECONDS = 1.0
_LOST_SECONDS = 30.0  # without a scheduler, or without a worker of the role
_ATTEMPTS = 2

# Returns the addresses that a task may run at now, given those where it failed.
Where = Callable[[Collection[str]], list[str]]


@dataclass(frozen=True)
class _Lost:
    """A worker, or its session, that ended with a task."""

    address: str
    cause: str


class Calls:
    """Runs the tasks of ``worker``; may be used by several threads."""

    def __init__(self, client: Client, roster: Roster) -> None:
        self._client = client
        self._roster = roster
        self._lock = threading.Lock()
        self._tasks: Counter[str] = Counter()  # by address
        self._ended = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether they were cut short."""
        return self._ended.is_set()

    def cut_short(self) -> None:
        """End what is waited for; nothing more can be run."""
        self._ended.set()

    def run(self, role: Role, task: Callable[..., Done], where: Where, patience: Patience, *arguments: Any) -> Done:
        """Run a task; if its worker dies or hangs, once more, elsewhere if there is another.

        Args:
            role: that the task takes of its worker.
            task: of ``worker``.
            where: tells where it may run.
            patience: of its cell.
            arguments: of the task.

        Raises:
            CellError: it failed on both, or there is no worker; whatever the task raises.
            WorkerDiedError: the scheduler is gone, or the calls were cut short.

        """
        causes: list[str] = []
        failed: set[str] = set()
        while len(causes) < _ATTEMPTS:
            done = self._attempt(role, task, lambda: where(failed), (patience.longest(), *arguments))
            if isinstance(done, Done):
                patience.learn(done.longest)
                return done
            if done is not None:
                causes.append(done.cause)
                failed.add(done.address)
        raise errors.task_failed(task.__name__, causes)

    def _attempt(
        self, role: Role, task: Callable[..., Done], where: Callable[[], list[str]], arguments: tuple[Any, ...]
    ) -> Done | _Lost | None:
        """Run a task once; None if its worker was gone before it began, which is not the task's doing."""
        try:
            with self._freest(self._wait_for_workers(role, where)) as address:
                future = self._client.submit(
                    task, *arguments, pure=False, workers=address, resources={role: 1}, retries=0
                )
                return self._result(future, address)
        except FutureCancelledError as error:
            if not self._roster.connected:
                raise errors.scheduler_lost(str(error)) from error
            time.sleep(_POLL_SECONDS)
            return None
        except WorkerDiedError as error:
            if error.where in ("scheduler", "interrupt", "cluster"):
                raise
            return _Lost(error.where, f"{error.what} on {error.where}")
        except OSError as error:
            raise errors.scheduler_lost(str(error)) from error
        except KilledWorker as error:
            return _Lost(error.last_worker.address, f"the worker {error.last_worker.address} died")

    @contextmanager
    def _freest(self, addresses: list[str]) -> Iterator[str]:
        """Take the worker with the fewest tasks; Dask would choose one without waiting for who is free first."""
        with self._lock:
            address = min(addresses, key=lambda each: self._tasks[each])
            self._tasks[address] += 1
        try:
            yield address
        finally:
            with self._lock:
                self._tasks[address] -= 1

    def _result(self, future: Any, address: str) -> Done:
        # Not by the timeout of ``future.result``, which now and then fails otherwise when it is over.
        ended = threading.Event()
        future.add_done_callback(lambda _: ended.set())
        connected = time.monotonic()
        while not ended.wait(_POLL_SECONDS):
            if self._ended.is_set():
                future.cancel()
                raise errors.cut_short()
            if self._roster.connected:
                connected = time.monotonic()
                if address not in self._roster.members():
                    # It had not begun: else Dask says that its worker was killed, a moment later at most.
                    if ended.wait(_POLL_SECONDS):
                        break
                    future.cancel()
                    raise FutureCancelledError(future.key, "its worker is gone")
            elif self._roster.gone or time.monotonic() - connected > _LOST_SECONDS:
                raise errors.scheduler_lost("no connection")
        try:
            done: Done = future.result(timeout=_LOST_SECONDS)
        except (QuantizeZooError, KilledWorker, FutureCancelledError, OSError):
            raise
        except Exception as error:
            raise errors.unexpected(error) from error
        return done

    def _wait_for_workers(self, role: Role, where: Callable[[], list[str]]) -> list[str]:
        deadline = time.monotonic() + _LOST_SECONDS
        while not self._ended.is_set():
            addresses = where() if self._roster.connected else []
            if addresses:
                return addresses
            if self._roster.gone or time.monotonic() > deadline:
                raise errors.no_role(role) if self._roster.connected else errors.scheduler_lost("no connection")
            time.sleep(_POLL_SECONDS)
        raise errors.cut_short()
