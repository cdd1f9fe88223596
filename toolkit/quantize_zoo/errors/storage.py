"""The store and the folder of reports."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quantize_zoo.errors.kinds import CellError, ConfigurationError, nearest


def store_unusable(url: str, cause: str) -> ConfigurationError:
    """The store cannot be opened."""
    return ConfigurationError(
        f"cannot use the store {url}: {cause}", remedy="name another with --store, or move the file away"
    )


def store_too_new(url: str, revision: str) -> ConfigurationError:
    """A later release wrote the store."""
    return ConfigurationError(
        f"the store {url} has schema {revision}, which this release does not know",
        remedy="install the release that wrote it, or name another store with --store",
    )


def store_write_failed(url: str, cause: str) -> CellError:
    """A trial could not be stored, e.g. because the disk is full."""
    return CellError(f"cannot write to the store {url}: {cause}", where="store", remedy="free disk space, run again")


def unknown_run(run_id: str, known: Iterable[str]) -> ConfigurationError:
    """``report`` names a run that is not stored."""
    return ConfigurationError(f"the store has no run {run_id!r}", where="RUN", remedy=nearest(run_id, known))


def no_runs(url: str) -> ConfigurationError:
    """The store is empty."""
    return ConfigurationError(f"the store {url} has no run", remedy="run: quantize-zoo run")


def reports_unwritable(folder: Path, cause: str) -> ConfigurationError:
    """Reports cannot be written where they should."""
    return ConfigurationError(
        f"cannot write reports to {folder}: {cause}", remedy="make the folder writable or name another with --reports"
    )
