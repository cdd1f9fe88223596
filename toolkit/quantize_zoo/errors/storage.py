"""The store and the folder of reports. The password of a store's URL is masked in all that is shown.

What to do follows from what the database says, for reading, writing and opening alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quantize_zoo.errors.kinds import CellError, ConfigurationError, nearest
from quantize_zoo.errors.system import FREE_SPACE
from quantize_zoo.text.masks import mask_url, mask_urls
from quantize_zoo.text.paths import is_file, why_no_file, why_no_folder

_SQLITE = "sqlite:///"
# What databases say, in lower case, and what helps. The first that fits is told.
_REMEDIES = {
    ("locked", "lock timeout", "busy", "deadlock"): "wait until no other program holds it; then run again",
    ("disk is full", "disk full", "no space left", "disk i/o error", "file too large", "quota"): FREE_SPACE,
    ("readonly", "read-only", "permission denied", "unable to open"): "make the file and its folder writable, or name "
    "another with --store",
    ("no module named",): "install the driver of that database, or name another with --store",
    ("refused", "timeout expired", "could not translate", "failed to resolve", "authentication"): "see that the server "
    "runs and takes this user, or name another with --store",
}


def store_unusable(url: str, cause: str) -> ConfigurationError:
    """The store cannot be opened."""
    file = url.partition(_SQLITE)[2]
    if file and not is_file(Path(file)) and (instead := why_no_file(Path(file))):
        return ConfigurationError(
            f"cannot use the store {mask_url(url)}: it {instead}", where="--store", remedy="name another with --store"
        )
    return ConfigurationError(
        f"cannot use the store {mask_url(url)}: {mask_urls(cause, url)}",
        where="--store",
        remedy=_remedy(cause, "name another with --store, or move the file away"),
    )


def store_missing(url: str) -> ConfigurationError:
    """Runs are to be read where there is no database."""
    return ConfigurationError(
        f"the store {mask_url(url)} has no run: there is no such database",
        where="--store",
        remedy="correct the URL, or run: quantize-zoo run",
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
        remedy=_remedy(cause, "free disk space, and see that it is a whole store that can be written; then run again"),
    )


def store_read_failed(url: str, cause: str) -> ConfigurationError:
    """The store does not give what is in it, e.g. because it is locked or damaged."""
    return ConfigurationError(
        f"cannot read the store {mask_url(url)}: {mask_urls(cause, url)}",
        where="store",
        remedy=_remedy(
            cause, "it is damaged, or a later release wrote it: restore a copy, or name another with --store"
        ),
    )


def _remedy(cause: str, otherwise: str) -> str:
    said = cause.lower()
    return next((told for signs, told in _REMEDIES.items() if any(sign in said for sign in signs)), otherwise)


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


def reports_unwritable(folder: Path, cause: str, option: str = "--reports") -> ConfigurationError:
    """Reports, models or baselines cannot be written where they should; ``option`` names the folder, if one does."""
    in_the_way = why_no_folder(folder)
    another = f"name another{f' with {option}' if option else ''}"
    return ConfigurationError(
        f"cannot write{' reports' if option == '--reports' else ''} to {folder}: {in_the_way or cause}",
        remedy=another if in_the_way else f"make the folder writable or {another}",
    )


def history_not_removed(folder: Path, cause: str) -> ConfigurationError:
    """Files of old runs cannot be removed."""
    return ConfigurationError(
        f"cannot remove what is old in {folder}: {cause}; the store has all of its runs still",
        remedy="make it writable and prune again",
    )


def no_reports(folder: Path) -> ConfigurationError:
    """The folder of earlier runs is none."""
    return ConfigurationError(
        f"there are no reports in {folder}: {why_no_folder(folder)}",
        where="--reports",
        remedy="name the folder that a run wrote to",
    )


def reports_not_written(folder: Path, cause: str) -> CellError:
    """What was found is in the store, and its report cannot be written, e.g. because the disk is full."""
    return CellError(
        f"cannot write reports to {folder}: {cause}",
        where="reports",
        remedy=f"{FREE_SPACE.partition(';')[0]}, or make the folder writable; then run: quantize-zoo report",
    )
