"""Texts that are read: YAML, JSON and what they name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quantize_zoo.errors.kinds import ConfigurationError, nearest


def file_missing(path: Path, named_by: str = "", *, beside: bool = True) -> ConfigurationError:
    """A file is not there; ``beside`` the file that names it, or in the working directory, if its path is relative."""
    start = "file naming it" if beside and named_by else "working directory"
    return ConfigurationError(
        f"no such file: {path}", where=named_by, remedy=f"correct the path; a relative one starts at the {start}"
    )


def file_unreadable(path: Path, cause: str) -> ConfigurationError:
    """A file is there and cannot be read as text."""
    return ConfigurationError(f"cannot read {path}: {cause}", remedy="name a readable UTF-8 text file")


def yaml_syntax(where: str, problem: str) -> ConfigurationError:
    """The file is not YAML."""
    return ConfigurationError(f"YAML syntax error: {problem}", where=where, remedy="correct the line named above")


def no_matrix_to_waive(path: Path) -> ConfigurationError:
    """A waiver can only stand in a matrix."""
    return ConfigurationError(
        "it is no matrix, so that no waiver can stand in it",
        where=str(path),
        remedy="write a matrix that names the model: 'models: [...]' and 'devices: [...]'",
    )


def matrix_unwritable(path: Path, cause: str) -> ConfigurationError:
    """A waiver could not be written."""
    return ConfigurationError(f"the matrix cannot be written: {cause}", where=str(path), remedy="make it writable")


def unknown_waived(what: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """A waiver names what the matrix does not have, or what is not checked."""
    return ConfigurationError(f"there is no {what} {name!r}", where=what.upper(), remedy=nearest(name, known))


def waiver_without_reason() -> ConfigurationError:
    """Whoever reads the report must know why."""
    return ConfigurationError("a waiver has a reason", where="--reason", remedy="say why, such as a ticket")


def json_syntax(where: str, problem: str) -> ConfigurationError:
    """The file is not JSON, not even with comments."""
    return ConfigurationError(f"JSON syntax error: {problem}", where=where, remedy="correct the line named above")


def not_a_pot_file(where: str, kind: str, remedy: str) -> ConfigurationError:
    """Another program's configuration, or another of this one's, stands where POT's is expected."""
    return ConfigurationError(f"this is {kind}, no configuration of POT", where=where, remedy=remedy)


def bad_pot_usage(what: str, remedy: str) -> ConfigurationError:
    """The options of ``pot`` do not go together."""
    return ConfigurationError(what, where="pot", remedy=remedy)


def pot_unsupported(where: str, what: str, remedy: str) -> ConfigurationError:
    """A POT configuration asks for what is not here."""
    return ConfigurationError(what, where=where, remedy=remedy)


def duplicate_key(where: str, key: str) -> ConfigurationError:
    """A mapping names one key twice; YAML would keep the last one silently."""
    return ConfigurationError(f"key {key!r} appears twice", where=where, remedy="remove one of the two")


def unknown_key(where: str, key: str, known: Iterable[str]) -> ConfigurationError:
    """A key that the schema does not have."""
    return ConfigurationError(f"unknown key {key!r}", where=where, remedy=nearest(key.rsplit(".", 1)[-1], known))


def bad_value(where: str, key: str, value: object, problem: str) -> ConfigurationError:
    """A value of the wrong type or outside what is allowed."""
    return ConfigurationError(f"{key}: {problem}, not {value!r}", where=where, remedy="correct the value")


def unknown_value(where: str, key: str, value: str, known: Iterable[str]) -> ConfigurationError:
    """A name that is not among those that the key takes."""
    return ConfigurationError(f"{key}: unknown value {value!r}", where=where, remedy=nearest(value, known))


def missing_key(where: str, key: str) -> ConfigurationError:
    """A required key is absent."""
    return ConfigurationError(f"key {key!r} is missing", where=where, remedy="add it")


def unknown_model_name(name: str, known: Iterable[str]) -> ConfigurationError:
    """``--models`` names what the matrix does not have."""
    return ConfigurationError(f"the matrix has no model {name!r}", where="--models", remedy=nearest(name, known))


def duplicate_model_name(where: str, name: str) -> ConfigurationError:
    """Two models of a matrix share a name, which would mix up their cells."""
    return ConfigurationError(f"two models are named {name!r}", where=where, remedy="give each model a name of its own")


def same_cell(first: str, second: str, name: str) -> ConfigurationError:
    """Two entries make one cell, which would mix up their results."""
    return ConfigurationError(
        f"the same cell {name!r} as by {first}", where=second, remedy="remove one of the two, or tell them apart"
    )


def checker_configuration(where: str, cause: str) -> ConfigurationError:
    """The accuracy checker's own validation refuses its part of the configuration."""
    return ConfigurationError(
        f"accuracy checker configuration: {cause}", where=where, remedy="see the accuracy checker's documentation"
    )


def unknown_metric(where: str, metric: str, known: Iterable[str]) -> ConfigurationError:
    """``metric`` is not among those of the accuracy checker's configuration."""
    return ConfigurationError(
        f"metric {metric!r} is not in the accuracy checker's configuration", where=where, remedy=nearest(metric, known)
    )


def unknown_dataset(where: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """``dataset`` is not among those of the accuracy checker's configuration."""
    return ConfigurationError(
        f"dataset {name!r} is not in the accuracy checker's configuration", where=where, remedy=nearest(name, known)
    )


def custom_evaluator(where: str) -> ConfigurationError:
    """The checker's configuration runs a program of its own instead of one model."""
    return ConfigurationError(
        "the accuracy checker's configuration has 'evaluations': a custom evaluator, which runs models of its own",
        where=where,
        remedy="describe the one model to quantize under 'models', with launchers and datasets",
    )


def would_overwrite(path: Path) -> ConfigurationError:
    """``init`` would write over a file."""
    return ConfigurationError(f"{path} is there already", remedy="remove or rename it; init overwrites nothing")
