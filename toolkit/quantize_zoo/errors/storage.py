"""The store and the folder of reports. The password of a store's URL is masked in all that is shown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quantize_zoo.errors.kinds import CellError, ConfigurationError, nearest
from quantize_zoo.text.masks import mask_url, mask_urls


def store_unusable(url: str, cause: str) -> ConfigurationError:
    """The store cannot be opened."""
    return ConfigurationError(
        f"cannot use the store {mask_url(url)}: {mask_urls(cause, url)}",
        remedy="name another with --store, or move the file away",
    )


def store_too_new(url: str, revision: str) -> ConfigurationError:
    """A later release wrote the store."""
    return ConfigurationError(
        f"the store {mask_url(url)} has schema {revision}, which this release does not know",
        remedy="install the release that wrote it, or name another store with --store",
    )


def store_write_failed(url: str, cause: str) -> CellError:
    """A result could not be stored, e.g. because the disk is full."""
    return CellError(
        f"cannot write to the store {mask_url(url)}: {mask_urls(cause, url)}",
        where="store",
        remedy="free disk space, or wait until no other program holds the store; then run again",
    )


def store_read_failed(url: str, cause: str) -> CellError:
    """The store does not give what is in it, e.g. because it is locked or damaged."""
    return CellError(
        f"cannot read the store {mask_url(url)}: {mask_urls(cause, url)}",
        where="store",
        remedy="wait until no other program holds it; if it is damaged, restore a copy or name another with --store",
    )


def not_storable(name: str, cause: str) -> CellError:
    """A result has no value where there must be one; JSON has neither NaN nor infinity."""
    return CellError(
        f"{name} is not stored: {cause}",
        where="store",
        remedy="see whether the model's answers, the metric and the data are finite numbers",
    )


def unknown_run(run_id: str, known: Iterable[str]) -> ConfigurationError:
    """``report`` names a run that is not stored."""
    return ConfigurationError(f"the store has no run {run_id!r}", where="RUN", remedy=nearest(run_id, known))


def no_runs(url: str) -> ConfigurationError:
    """The store is empty."""
    return ConfigurationError(f"the store {mask_url(url)} has no run", remedy="run: quantize-zoo run")


def reports_unwritable(folder: Path, cause: str) -> ConfigurationError:
    """Reports cannot be written where they should."""
    return ConfigurationError(
        f"cannot write reports to {folder}: {cause}", remedy="make the folder writable or name another with --reports"
    )
