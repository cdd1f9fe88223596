"""Baselines, and comparing with them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quantize_zoo.errors.kinds import CellError, ConfigurationError

RESTORE_BASELINE = "restore the file, or accept a new baseline"


def model_vanished(path: Path) -> CellError:
    """A model that a comparison needs is not there."""
    return CellError(f"the model {path} is not there", where="gate", remedy=RESTORE_BASELINE)


def answers_unreadable(path: Path, cause: str) -> CellError:
    """The file with a baseline's answers is missing or damaged."""
    return CellError(
        f"the baseline's answers in {path} cannot be read: {cause}", where="gate", remedy="accept a new baseline"
    )


def runtime_died(python: Path, cause: str) -> CellError:
    """The process of one side ended without an answer."""
    return CellError(
        f"the process of {python} ended: {cause}",
        where="gate",
        remedy="check that this interpreter has openvino and numpy, and that there is memory enough",
    )


def runtime_hangs(python: Path, command: str, seconds: float) -> CellError:
    """The process of one side does not answer."""
    return CellError(
        f"the process of {python} has not answered {command!r} for {seconds:g} s",
        where="gate",
        remedy="look at what the device is doing; the other cells go on",
    )


def runtime_refused(what: str, cause: str) -> CellError:
    """One side cannot load or run its model."""
    return CellError(f"running {what} failed: {cause}", where="gate", remedy="see OpenVINO's message")


def other_baseline(differences: Iterable[str]) -> CellError:
    """The baseline is of something else."""
    return CellError(
        f"the baseline is of something else: {'; '.join(differences)}",
        where="gate",
        remedy="restore what differs, or accept a new baseline",
    )


def other_outputs(first: str, second: str) -> ConfigurationError:
    """Two model files that are to be compared answer otherwise; each text is a file with its outputs' shapes."""
    return ConfigurationError(
        f"the models have other outputs: {first}; {second}",
        where="compare",
        remedy="name two files of one model: the outputs must be as many, with the same shapes, in the same order",
    )


def nothing_to_accept(name: str, status: str) -> ConfigurationError:
    """A cell that is to be accepted has no finished model."""
    return ConfigurationError(
        f"cell {name} has nothing to accept: it is {status}", where="baseline", remedy="name other cells with --cells"
    )


def nothing_in_common(first: str, second: str) -> ConfigurationError:
    """Two runs without a cell that both finished."""
    return ConfigurationError(
        f"runs {first} and {second} have no finished cell in common", where="compare", remedy="name other runs"
    )


def run_files_missing(path: Path) -> ConfigurationError:
    """A stored run whose files are gone."""
    return ConfigurationError(
        f"{path} is not there: the run's files were removed", where="baseline", remedy="run the cell again"
    )


def run_file_changed(path: Path) -> ConfigurationError:
    """A run's file changed after it: what is accepted, compared or exported would be another one's."""
    return ConfigurationError(
        f"{path} is not the file of the run any more", where="run", remedy="restore the file, or run the cell again"
    )


def baseline_damaged(path: Path) -> ConfigurationError:
    """A file of a baseline is not what its name says."""
    return ConfigurationError(
        f"{path} is missing or damaged: its content is not that of its name",
        where="baseline",
        remedy=RESTORE_BASELINE,
    )


def bad_baseline_folder(folder: Path, cause: str) -> ConfigurationError:
    """An exported baseline cannot be read."""
    return ConfigurationError(
        f"the exported baselines in {folder} cannot be read: {cause}",
        where="baseline",
        remedy="name a folder that baseline export wrote, or export them again",
    )
