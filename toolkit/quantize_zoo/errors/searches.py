"""Searches that go on, and trials that are asked for."""

from __future__ import annotations

from collections.abc import Iterable

from quantize_zoo.errors.kinds import CellError, ConfigurationError, nearest


def other_search(method: str, differences: Iterable[str]) -> CellError:
    """The stored search is of something else."""
    return CellError(
        f"{method} cannot go on with the stored search, which differs in: {'; '.join(differences)}",
        where="trials_load_method",
        remedy="restore what differs, or start over with cold_start",
    )


def nothing_stored(method: str) -> CellError:
    """There is no search whose best model could be rebuilt."""
    return CellError(
        f"{method} needs a stored search of this model on this device, and there is none",
        where="trials_load_method",
        remedy="run with cold_start first, or name the store that has the search with --store",
    )


def unknown_cell(name: str, known: Iterable[str], where: str = "--cells") -> ConfigurationError:
    """A cell that is not there."""
    return ConfigurationError(f"there is no cell {name!r}", where=where, remedy=nearest(name, known))


def unknown_trial(cell: str, number: int, count: int) -> ConfigurationError:
    """``export`` names a trial that is not there."""
    have = f"it has 0 to {count - 1}" if count else "it has none"
    return ConfigurationError(f"{cell} has no trial {number}", where="--trial", remedy=f"name another one: {have}")


def failed_trial(cell: str, number: int, failure: str) -> ConfigurationError:
    """``export`` names a trial that failed: what it would have been nobody knows."""
    return ConfigurationError(
        f"trial {number} of {cell} failed: {failure}", where="--trial", remedy="name one that was scored"
    )


def other_candidate(cell: str, trial: int, differences: Iterable[str]) -> CellError:
    """What is rebuilt is not the model that the trial scored."""
    listed = "; ".join(differences) or "nothing that is known of: the release of a library that computes statistics?"
    return CellError(
        f"trial {trial} of {cell} cannot be built again: the model that comes out is another one",
        where="export",
        remedy=f"restore what changed since: {listed}",
    )


def nothing_to_export(cell: str) -> ConfigurationError:
    """``export`` of a cell without a best model."""
    return ConfigurationError(
        f"{cell} has no best model: the cell did not finish", where="export", remedy="name a trial with --trial"
    )
