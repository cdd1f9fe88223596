"""Connecting to a Dask cluster, starting one on this machine, and being a worker of one."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import re
import threading
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import dask
from distributed import Client, LocalCluster, Nanny, Security
from distributed.comm.core import connect as connect_comm
from distributed.core import send_recv
from distributed.worker_memory import parse_memory_limit

from quantize_zoo import errors, interrupts
from quantize_zoo.engines.cluster_options import ROLES_OF_CELLS, Role, SchedulerAddress, require_safe
from quantize_zoo.engines.dask import worker as tasks

CONFIGURATION = {
    "distributed.worker.daemon": False,  # sessions are processes of the worker's own, which a daemon must not have
    "distributed.scheduler.allowed-failures": 0,  # a task whose worker died is the client's to repeat
    # A worker must be quiet while it measures: by default it wakes 150 times a second to look at itself.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
}
_ANSWER_SECONDS = 8  # within which a scheduler must answer, however busy it is
_CLOSE_SECONDS = 1
_DASHBOARD_SECONDS = 10


@contextmanager
def connect(scheduler: SchedulerAddress) -> Iterator[Client]:
    """Connect to the scheduler, or start a cluster of this machine's own, which ends with the context.

    Raises:
        ConfigurationError: no scheduler answers.

    """
    with dask.config.set(CONFIGURATION):
        if scheduler.workers:
            resources = dict.fromkeys(ROLES_OF_CELLS, 1)
            with interrupts.hidden():
                cluster = LocalCluster(
                    n_workers=scheduler.workers, threads_per_worker=1, processes=True, host="127.0.0.1",
                    dashboard_address="127.0.0.1:0", resources=resources, silence_logs=50,
                )  # fmt: skip
            with cluster, Client(cluster) as client:
                yield client
            return
        security = _security(scheduler)
        _require_answer(scheduler, security)
        try:
            client = Client(scheduler.address, security=security, timeout=_ANSWER_SECONDS, set_as_default=False)
        except (OSError, ImportError, ValueError) as error:
            raise errors.no_scheduler(scheduler.address, _cause(error)) from error
        try:
            # A scheduler may have told a loopback address to us and listen on others too.
            require_safe(str(client.scheduler_info()["address"]), scheduler.tls, insecure=scheduler.insecure)
            yield client
        finally:
            client.close(timeout=5)


def dashboard_of(client: Client) -> str:
    """Return the address of a cluster's dashboard; empty if it has none, for a scheduler names one all the same."""
    link = str(client.dashboard_link)
    try:
        # Dask's own address, http or https as its configuration says.
        with urllib.request.urlopen(link, timeout=_DASHBOARD_SECONDS):  # noqa: S310
            return link
    except (OSError, ValueError):
        return ""


def serve(scheduler: SchedulerAddress, roles: tuple[Role, ...], host: str, name: str | None, memory_limit: str) -> None:
    """Be a worker until the scheduler ends or a signal comes.

    Raises:
        ConfigurationError: no scheduler answers, or listening there is not safe.
        CellError: the worker cannot start.

    """
    require_safe(f"tcp://[{host}]" if ":" in host else f"tcp://{host}", scheduler.tls, insecure=scheduler.insecure)
    _require_memory_limit(memory_limit)
    security = _security(scheduler)
    _require_answer(scheduler, security)

    async def run() -> None:
        async with Nanny(
            scheduler.address, nthreads=1, resources=dict.fromkeys(roles, 1), host=host, name=name,
            memory_limit=memory_limit, security=security, preload=["openvino", tasks.__name__],
        ) as nanny:  # fmt: skip
            await nanny.finished()

    with dask.config.set(CONFIGURATION):
        try:
            _in_loop(run)
        except (OSError, ValueError, RuntimeError) as error:
            # Dask says that the nanny failed, and chains why.
            raise errors.worker_refused(str(error.__cause__ or error)) from error


def _require_answer(scheduler: SchedulerAddress, security: Security | None) -> None:
    """Ask who is there: Dask's own ways to connect repeat themselves, and wait for ever for one that says nothing."""

    async def ask() -> Any:
        connection = (security or Security()).get_connection_args("client")
        comm = await connect_comm(scheduler.address, timeout=_ANSWER_SECONDS, **connection)
        try:
            return await send_recv(comm, op="identity", reply=True)
        finally:
            comm.abort()

    async def ask_in_time() -> Any:
        return await asyncio.wait_for(ask(), _ANSWER_SECONDS)

    try:
        found = _in_loop(ask_in_time)
    except asyncio.TimeoutError as error:
        raise errors.no_scheduler(scheduler.address, f"nothing came within {_ANSWER_SECONDS} s") from error
    except Exception as error:  # whatever another kind of server may answer
        raise errors.no_scheduler(scheduler.address, _cause(error.__cause__ or error)) from error
    kind = found.get("type") if isinstance(found, dict) else None
    if kind != "Scheduler":
        raise errors.no_scheduler(scheduler.address, f"a {kind or 'stranger'} answers")


def _cause(error: BaseException) -> str:
    """Return why there is no connection, without the object of Dask's that tried."""
    return re.sub(r"\bin <[^>]*>: ", "", errors.message_of(error))


def _in_loop(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run in an event loop of a thread: of a signal that is raised within one, asyncio prints a traceback."""
    begun: Future[tuple[asyncio.AbstractEventLoop, Any]] = Future()
    done: Future[Any] = Future()

    async def main() -> Any:
        begun.set_result((asyncio.get_running_loop(), asyncio.current_task()))
        return await work()

    def run() -> None:
        try:
            done.set_result(asyncio.run(main()))
        except BaseException as error:  # whoever waits gets it
            done.set_exception(error)

    with interrupts.hidden():
        thread = threading.Thread(target=run, name="event loop", daemon=True)
        thread.start()
    try:
        return done.result()
    except KeyboardInterrupt:
        loop, task = begun.result()
        with suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(task.cancel)
        thread.join(_CLOSE_SECONDS)
        for child in multiprocessing.active_children():  # a nanny that was about to start one leaves it behind
            child.kill()
        thread.join(_CLOSE_SECONDS)
        raise


def _require_memory_limit(text: str) -> None:
    try:
        limit = parse_memory_limit(text, 1, logger=logging.getLogger(__name__))
    except (ValueError, OverflowError) as error:
        raise errors.bad_memory_limit(text) from error
    if limit is not None and limit < 0:
        raise errors.bad_memory_limit(text)


def _security(scheduler: SchedulerAddress) -> Security | None:
    """Dask's settings for TLS, None without."""
    if scheduler.tls is None:
        return None
    ca, cert, key = (str(path) for path in (scheduler.tls.ca_file, scheduler.tls.cert, scheduler.tls.key))
    return Security(
        tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, tls_worker_cert=cert, tls_worker_key=key,
        require_encryption=True,
    )  # fmt: skip
