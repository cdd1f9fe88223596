"""Tasks on workers: sent, waited for, and sent once more elsewhere if their worker was lost."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

from distributed import Client
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from quantize_zoo import errors
from quantize_zoo.errors import QuantizeZooError, WorkerDiedError
from quantize_zoo.matrix.cluster_options import Role
from quantize_zoo.matrix.dask.roster import Roster
from quantize_zoo.matrix.dask.worker import Done

_POLL_SECONDS = 1.0
_LOST_SECONDS = 30.0  # without a scheduler, or without a worker of the role
_PATIENCE = 20.0  # a task may take so many times as long as the longest of its kind
_LEAST_LIMIT_SECONDS = 120.0
_FIRST_LIMIT_SECONDS = 3600.0
_ATTEMPTS = 2

# Returns the addresses that a task may run at now, given those where it failed.
Where = Callable[[Collection[str]], list[str]]


class Calls:
    """Runs the tasks of ``worker``; may be used by several threads."""

    def __init__(self, client: Client, roster: Roster) -> None:
        self._client = client
        self._roster = roster
        self._longest: defaultdict[str, float] = defaultdict(float)  # seconds that a kind of task took at most

    def run(self, role: Role, task: Callable[..., Done], where: Where, *arguments: Any) -> Done:
        """Run a task; if its worker dies or hangs, once more, elsewhere if there is another.

        Args:
            role: that the task takes of its worker.
            task: of ``worker``.
            where: tells where it may run.
            arguments: of the task; one with ``future(client)`` is sent to the cluster apart.

        Raises:
            CellError: it failed on both, or there is no worker; whatever the task raises.
            WorkerDiedError: the scheduler is gone.

        """
        causes: list[str] = []
        failed: set[str] = set()
        while len(causes) < _ATTEMPTS:
            addresses = self._wait_for_workers(role, lambda: where(failed))
            try:
                sent = [each.future(self._client) if hasattr(each, "future") else each for each in arguments]
                future = self._client.submit(
                    task, self._limit(task), *sent, pure=False, workers=addresses, resources={role: 1}, retries=0
                )
                done = self._result(future, addresses)
            except FutureCancelledError as error:
                # What it needed was lost with another worker, which is not the task's doing: it is sent again.
                if not self._roster.connected:
                    raise errors.scheduler_lost(str(error)) from error
                time.sleep(_POLL_SECONDS)
            except WorkerDiedError as error:
                if error.where == "scheduler":
                    raise
                causes.append(f"{error.what} on {error.where}")
                failed.add(error.where)
            except OSError as error:
                raise errors.scheduler_lost(str(error)) from error
            except KilledWorker as error:
                causes.append(f"the worker {error.last_worker.address} died")
                failed.add(error.last_worker.address)
            else:
                self._longest[task.__name__] = max(self._longest[task.__name__], done.seconds)
                return done
        raise errors.task_failed(task.__name__, causes)

    def _limit(self, task: Callable[..., Done]) -> float:
        """Return the seconds that a task may take."""
        longest = self._longest[task.__name__]
        return max(_LEAST_LIMIT_SECONDS, _PATIENCE * longest) if longest else _FIRST_LIMIT_SECONDS

    def _result(self, future: Any, addresses: list[str]) -> Done:
        connected = time.monotonic()
        while True:
            try:
                done: Done = future.result(timeout=_POLL_SECONDS)
            except TimeoutError:
                pass
            except (QuantizeZooError, KilledWorker, FutureCancelledError, OSError):
                raise
            except Exception as error:
                raise errors.unexpected(f"{type(error).__name__}: {error}") from error
            else:
                return done
            if self._roster.connected:
                connected = time.monotonic()
                if not set(addresses) & set(self._roster.members()):
                    future.cancel()  # it had not begun: else Dask says that its worker was killed
                    raise FutureCancelledError(future.key, "all workers that could run it are gone")
            elif self._roster.gone or time.monotonic() - connected > _LOST_SECONDS:
                raise errors.scheduler_lost("no connection")

    def _wait_for_workers(self, role: Role, where: Callable[[], list[str]]) -> list[str]:
        deadline = time.monotonic() + _LOST_SECONDS
        while True:
            addresses = where() if self._roster.connected else []
            if addresses:
                return addresses
            if self._roster.gone or time.monotonic() > deadline:
                raise errors.no_role(role) if self._roster.connected else errors.scheduler_lost("no connection")
            time.sleep(_POLL_SECONDS)
