"""What the command line says of a cluster; without Dask, which is an extra."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LatencyMode = Literal["master", "peer"]
Role = Literal["accuracy", "latency"]
ROLES: tuple[Role, ...] = ("accuracy", "latency")


@dataclass(frozen=True)
class ClusterOptions:
    """Where the cluster is, or how many workers to start here, and what secures it.

    The TLS files are as Dask names them.
    """

    scheduler: str | None = None
    scheduler_file: Path | None = None
    workers: int | None = None
    tls_ca_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    insecure: bool = False
