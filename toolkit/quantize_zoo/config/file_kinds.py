"""Which kind of file is it? Told of what stands in it, so that one that is named in another's place is told as such."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from quantize_zoo import errors


@dataclass(frozen=True)
class FileKind:
    """A kind of file; ``keys`` are those of its mapping, ``use`` is what is done with it, the file being ``{}``."""

    name: str
    use: str
    keys: frozenset[str] = frozenset()

    @property
    def with_article(self) -> str:
        """The name as one says it of a file."""
        return f"{'an' if self.name[0] in 'aeiouI' else 'a'} {self.name}"


MATRIX = FileKind(
    "matrix",
    "run it: quantize-zoo run {}",
    frozenset({
        "models", "devices", "on_missing_device", "on_mixed_cpus", "require_targets", "portability", "references",
        "input_memory_mb", "hang_minutes", "max_minutes_a_night", "gate", "waivers", "runtimes", "notify", "retention",
    }),
)  # fmt: skip
MODEL = FileKind(
    "model's YAML",
    "run it: quantize-zoo run {}",
    frozenset({
        "name", "model", "accuracy_checker", "definitions", "paths", "dataset", "input_shapes", "metric",
        "on_bad_sample", "compression", "optimizer",
    }),
)  # fmt: skip
POT = FileKind(
    "configuration of POT",
    "run it: quantize-zoo pot {}",
    frozenset({"model", "engine", "compression", "optimizer"}),
)
CHECKER = FileKind(
    "configuration of the accuracy checker",
    "name it as accuracy_checker in a model's YAML, or as engine.config in a POT file; to look at it alone: "
    "quantize-zoo check {}",
    frozenset({"models", "evaluations", "global_definitions"}),
)
DEFINITIONS = FileKind(
    "file of the accuracy checker's definitions",
    "name it with --definitions, or as definitions in a model's YAML",
    frozenset({"launchers", "datasets"}),
)
HARDWARE = FileKind(
    "hardware configuration",
    "name it as compression.hardware in a model's YAML",
    frozenset({"target", "operations", "quantize_agnostic", "unified_scales"}),
)
_NETWORK = FileKind("IR of a model", "write a YAML that names it: quantize-zoo init {}")
_NOT_TEXT = {
    b"SQLite format 3\0": FileKind("database", "name it with --store sqlite:///{}"),
    b"PK\x03\x04": FileKind("zip archive", "unpack it"),
    b"\x1f\x8b": FileKind("gzip archive", "unpack it"),
    b"\x89PNG": FileKind("picture", "name a text file"),
    b"\xff\xd8\xff": FileKind("picture", "name a text file"),
}
_IR = (b"<?xml", b"<net")


def kind_of_values(data: Any, wanted: FileKind = MATRIX) -> FileKind | None:
    """Return the kind that most of a file's keys are of, the wanted one if it is one of several; else None."""
    if not isinstance(data, dict):
        return None
    models, keys = data.get("models"), data.keys()
    listed = isinstance(models, list) and any(isinstance(each, dict) for each in models)
    if "evaluations" in data or (listed and not keys & {"model", "devices"}):
        return CHECKER
    if ("compression" in data and "engine" in data) or isinstance(data.get("model"), dict):
        return POT
    if "model" in data and wanted is not POT:
        return MODEL
    known = {kind: len(keys & kind.keys) for kind in (wanted, MATRIX, MODEL, DEFINITIONS, HARDWARE)}
    best = max(known, key=lambda kind: known[kind])
    return best if known[best] else None


def kind_of_content(start: bytes) -> FileKind | None:
    """Return the kind of a file that is no configuration, by how it begins; None if it may be one."""
    if start.lstrip().startswith(_IR):
        return _NETWORK
    return next((kind for sign, kind in _NOT_TEXT.items() if start.startswith(sign)), None)


def require_kind(data: Any, wanted: FileKind, path: Path, where: str) -> None:
    """Refuse the values of a file of another kind.

    Raises:
        ConfigurationError: its keys are those of another kind.

    """
    found = kind_of_values(data, wanted)
    if found not in (None, wanted):
        refuse_kind(found, wanted.name, path, where)


def refuse_kind(found: FileKind, wanted: str, path: Path, where: str) -> NoReturn:
    """Refuse a file of a kind that is not the wanted one."""
    raise errors.another_kind_of_file(where, found.with_article, wanted, found.use.replace("{}", str(path)))
