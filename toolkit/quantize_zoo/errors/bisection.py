"""Looking for the release or the commit that a regression came with."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

from quantize_zoo.errors.kinds import CellError, ConfigurationError, QuantizeZooError


def no_baseline(name: str, known: Iterable[str]) -> ConfigurationError:
    """A cell without a baseline is to be bisected."""
    return ConfigurationError(
        f"cell {name} has no baseline, and so no regression; cells with one: {', '.join(sorted(known)) or 'none'}",
        where="CELL",
        remedy="accept one with: quantize-zoo baseline accept",
    )


def no_start(over: str) -> ConfigurationError:
    """Nothing says where a bisection is to start."""
    return ConfigurationError(
        f"the baseline does not tell which {over} it was made with", where="--from", remedy="name one that was good"
    )


def same_ends(first: str, last: str) -> ConfigurationError:
    """Both ends are one."""
    return ConfigurationError(
        f"{first} and {last} are the same", where="--from, --to", remedy="name two ends with something between them"
    )


def from_newer_than_to(first: str, last: str) -> ConfigurationError:
    """The ends are the wrong way round."""
    return ConfigurationError(
        f"{first} is newer than {last}", where="--from, --to", remedy="name the good, older end with --from"
    )


def nothing_to_bisect(cell: str, first: str, last: str, found: Iterable[str]) -> CellError:
    """Both ends have the same verdict."""
    return CellError(
        f"nothing to bisect: {last} has not regressed against {first}: {'; '.join(found) or 'there are no checks'}",
        where=cell,
        remedy="name an older good end with --from or a newer bad one with --to, or look at another cause: --over",
    )


def both_ends_regressed(cell: str, first: str, last: str, found: Iterable[str]) -> CellError:
    """Both ends have the same verdict, and it is a bad one."""
    return CellError(
        f"nothing to bisect: {first} has regressed as {last} has: {'; '.join(found)}",
        where=cell,
        remedy="name an older end with --from that was good, or look at another cause: --over",
    )


def end_undecided(cell: str, end: str, found: str) -> CellError:
    """An end is neither good nor bad."""
    return CellError(
        f"it cannot be decided whether {end} is good or bad: {found}",
        where=cell,
        remedy="see the message; name another end, or wait until the machine is quiet",
    )


def step_failed(step: str, error: QuantizeZooError) -> QuantizeZooError:
    """An end cannot be judged; what kind of error it is stays as it is."""
    where = f"{step}, {error.where}" if error.where else step
    return type(error)(error.what, where=where, remedy=error.remedy)


# Releases


def not_a_release(option: str, text: str) -> ConfigurationError:
    """What should be a release is none."""
    return ConfigurationError(
        f"{text!r} is no release of OpenVINO", where=option, remedy="write one as 2025.0 or 2025.0.0"
    )


def unknown_release(option: str, text: str, known: Iterable[str]) -> ConfigurationError:
    """There is no such release, or none that runs here."""
    return ConfigurationError(
        f"OpenVINO {text} does not exist, or has no wheel for Python {platform.python_version()} here",
        where=option,
        remedy=f"known: {', '.join(known)}",
    )


def index_silent(cause: str) -> ConfigurationError:
    """Pip does not tell which releases there are."""
    return ConfigurationError(
        f"pip does not tell which releases of openvino there are: {cause}",
        where="--over openvino",
        remedy="check the network and pip's configuration, or name interpreters under 'runtimes' in the matrix",
    )


def environment_failed(release: str, cause: str) -> CellError:
    """An environment with a release cannot be made."""
    return CellError(
        f"no environment with OpenVINO {release} could be made: {cause}",
        where="--over openvino",
        remedy="check the network and the disk, or name an interpreter under 'runtimes' in the matrix",
    )


# Commits


def no_repository(file: Path) -> ConfigurationError:
    """A matrix lies in no git repository."""
    return ConfigurationError(
        f"{file} lies in no git repository with a commit, or there is no git",
        where="--over git",
        remedy="name a matrix of a repository with --matrix, or bisect with --over openvino",
    )


def unknown_revision(option: str, revision: str, folder: Path) -> ConfigurationError:
    """Git does not know a revision."""
    return ConfigurationError(
        f"{folder} has no commit {revision!r}",
        where=option,
        remedy="see git log; of a shallow clone, fetch the rest with: git fetch --unshallow",
    )


def not_an_ancestor(first: str, last: str) -> ConfigurationError:
    """Two commits of different lines."""
    return ConfigurationError(
        f"{first} does not come before {last}",
        where="--from, --to",
        remedy=f"name a commit that leads to the other one, such as: git merge-base {first} {last}",
    )


def uncommitted_changes(folder: Path) -> ConfigurationError:
    """What no commit holds cannot be found by commits."""
    return ConfigurationError(
        f"{folder} has uncommitted changes, which no commit holds", where="--over git", remedy="commit or stash them"
    )


def no_work_tree(commit: str, cause: str) -> CellError:
    """A commit cannot be checked out beside the repository."""
    return CellError(
        f"{commit} cannot be checked out: {cause}", where="--over git", remedy="see git's message, and the disk"
    )


def night_failed(what: str, where: str, remedy: str) -> CellError:
    """The night of a commit did not come to a verdict; the texts are those of its cell."""
    return CellError(what, where=where, remedy=remedy)
