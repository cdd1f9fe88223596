"""What the command line says of a cluster, and whether that can be right; without Dask, which is an extra."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from quantize_zoo import errors
from quantize_zoo.text.documents import LimitError, file_bytes, file_text
from quantize_zoo.text.from_json import parse_json

Role = Literal["accuracy", "latency", "member"]
ROLES: tuple[Role, ...] = ("accuracy", "latency", "member")
ROLES_OF_CELLS: tuple[Role, ...] = ("accuracy", "latency")  # a member's worker does nothing else
_SCHEMES = ("tcp", "tls")


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


@dataclass(frozen=True)
class TlsFiles:
    """A certificate with its key, and the authority that signs the others'."""

    ca_file: Path
    cert: Path
    key: Path


@dataclass(frozen=True)
class SchedulerAddress:
    """A scheduler at an address that may be used as it is; or, without address, so many workers to start here."""

    address: str
    tls: TlsFiles | None = None
    workers: int = 0
    insecure: bool = False


def find_scheduler(options: ClusterOptions, *, workers: bool = True) -> SchedulerAddress:
    """Return the one scheduler that the options name; ``workers`` if they may ask for a cluster of this machine's own.

    Raises:
        ConfigurationError: they name none or several, it cannot be one, or the way to it is neither on this machine,
            encrypted nor allowed.

    """
    ways: dict[str, object] = {"--scheduler": options.scheduler, "--scheduler-file": options.scheduler_file}
    if workers:
        ways["--workers"] = options.workers
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        raise errors.ways_to_scheduler(given, ways)
    files = (options.tls_ca_file, options.tls_cert, options.tls_key)
    if options.workers is not None:
        if any(files) or options.insecure:
            raise errors.tls_here()
        return SchedulerAddress("", workers=options.workers)
    address = _address_in(options.scheduler_file) if options.scheduler_file else options.scheduler or ""
    scheme = _scheme_of(address, given[0])
    tls = _tls_files(files)
    if (scheme == "tls") != (tls is not None):
        raise errors.tls_mismatch(address, files=tls is not None)
    require_safe(address, tls, insecure=options.insecure)
    return SchedulerAddress(address, tls, insecure=options.insecure)


def require_safe(address: str, tls: TlsFiles | None, *, insecure: bool) -> None:
    """Refuse an address that others can reach, unless it is encrypted or that is asked for.

    Raises:
        ConfigurationError: it is such an address.

    """
    if tls is not None or insecure:
        return
    host = urlsplit(address if "://" in address else f"tcp://{address}").hostname or ""
    if host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise errors.insecure_address(address)


def _address_in(file: Path) -> str:
    try:
        content = parse_json(file_text(file)).data
    except FileNotFoundError as error:
        raise errors.bad_scheduler_file(file, "there is no such file") from error
    except OSError as error:
        raise errors.bad_scheduler_file(file, error.strerror or str(error)) from error
    except ValueError as error:  # neither UTF-8 nor JSON
        raise errors.bad_scheduler_file(file, f"it is not JSON: {error}") from error
    address = content.get("address") if isinstance(content, dict) else None
    if not isinstance(address, str):
        raise errors.bad_scheduler_file(file, "it has no address")
    return address


def _scheme_of(address: str, where: str) -> str:
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        good = parts.scheme in _SCHEMES and parts.hostname and parts.port and not parts.path and not parts.query
    except ValueError:  # brackets, or a port that is no number
        good = False
    if not good or any(each.isspace() for each in address):
        raise errors.bad_address(address, where)
    return parts.scheme


def _tls_files(files: tuple[Path | None, Path | None, Path | None]) -> TlsFiles | None:
    if not any(files):
        return None
    ca_file, cert, key = files
    if ca_file is None or cert is None or key is None:
        raise errors.tls_incomplete()
    for path in (ca_file, cert, key):
        try:
            content = file_bytes(path)
        except OSError as error:
            raise errors.tls_unusable(str(path), error.strerror or str(error)) from error
        except LimitError as error:
            raise errors.tls_unusable(str(path), error.problem) from error
        if b"-----BEGIN " not in content:
            raise errors.tls_unusable(str(path), "it is not PEM")
    try:
        ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise errors.tls_unusable(str(ca_file), str(error)) from error
    try:
        # With an empty password, so that nobody is asked for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise errors.tls_unusable(f"{cert} with {key}", str(error)) from error
    return TlsFiles(ca_file, cert, key)
