"""Connecting to a Dask cluster, starting one on this machine, and being a worker of one."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import dask
from distributed import Client, LocalCluster, Nanny, Security

from quantize_zoo import errors
from quantize_zoo.engines.cluster_options import ROLES, ClusterOptions, Role
from quantize_zoo.engines.dask import worker as tasks

CONFIGURATION = {
    "distributed.worker.daemon": False,  # sessions are processes of the worker's own, which a daemon must not have
    "distributed.scheduler.allowed-failures": 0,  # a task whose worker died is the client's to repeat
    # A worker must be quiet while it measures: by default it wakes 150 times a second to look at itself.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
}
_CONNECT_SECONDS = 20


@contextmanager
def connect(options: ClusterOptions) -> Iterator[Client]:
    """Connect to the scheduler, or start a cluster of this machine's own, which ends with the context.

    Raises:
        ConfigurationError: there is no scheduler, or the way to it is neither on this machine, encrypted nor allowed.

    """
    security = _security(options)
    with dask.config.set(CONFIGURATION):
        if options.scheduler is None and options.scheduler_file is None:
            resources = dict.fromkeys(ROLES, 1)
            with LocalCluster(
                n_workers=options.workers or 1, threads_per_worker=1, processes=True, host="127.0.0.1",
                dashboard_address="127.0.0.1:0", resources=resources, silence_logs=50,
            ) as cluster, Client(cluster) as client:  # fmt: skip
                yield client
            return
        if options.scheduler is not None:
            require_safe(options.scheduler, security, insecure=options.insecure)
        try:
            client = Client(
                options.scheduler, scheduler_file=options.scheduler_file and str(options.scheduler_file),
                security=security, timeout=_CONNECT_SECONDS, set_as_default=False,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise errors.no_scheduler(options.scheduler or str(options.scheduler_file), str(error)) from error
        try:
            require_safe(str(client.scheduler_info()["address"]), security, insecure=options.insecure)
            yield client
        finally:
            client.close(timeout=5)


def serve(options: ClusterOptions, roles: tuple[Role, ...], host: str, name: str | None, memory_limit: str) -> None:
    """Be a worker until the scheduler ends or a signal comes.

    Raises:
        ConfigurationError: there is no scheduler, or listening there is not safe.

    """
    security = _security(options)
    require_safe(f"tcp://{host}", security, insecure=options.insecure)
    if options.scheduler is not None:
        require_safe(options.scheduler, security, insecure=options.insecure)
    where: dict[str, Any] = {"scheduler_file": str(options.scheduler_file)} if options.scheduler_file else {}

    async def run() -> None:
        async with Nanny(
            options.scheduler, nthreads=1, resources=dict.fromkeys(roles, 1), host=host, name=name,
            memory_limit=memory_limit, security=security, preload=["openvino", tasks.__name__], **where,
        ) as nanny:  # fmt: skip
            await nanny.finished()

    with dask.config.set({**CONFIGURATION, "distributed.comm.timeouts.connect": f"{_CONNECT_SECONDS}s"}):
        try:
            asyncio.run(run())
        except (OSError, ValueError, RuntimeError) as error:
            cause = str(error.__cause__ or error)  # Dask says that the nanny failed, and chains why
            raise errors.no_scheduler(options.scheduler or str(options.scheduler_file), cause) from error


def require_safe(address: str, security: Security | None, *, insecure: bool) -> None:
    """Refuse an address that others can reach, unless it is encrypted or that is asked for.

    Raises:
        ConfigurationError: it is such an address.

    """
    if security is not None or insecure:
        return
    host = urlsplit(address if "://" in address else f"tcp://{address}").hostname or ""
    if host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not address.startswith("inproc://"):
        raise errors.insecure_address(address)


def _security(options: ClusterOptions) -> Security | None:
    """Dask's settings for TLS, None without."""
    files = (options.tls_ca_file, options.tls_cert, options.tls_key)
    if not any(files):
        return None
    for path in files:
        if path is None or not path.is_file():
            raise errors.tls_incomplete(path)
    ca, cert, key = (str(path) for path in files)
    return Security(
        tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, tls_worker_cert=cert, tls_worker_key=key,
        require_encryption=True,
    )  # fmt: skip
