"""Can a model be scored with an accuracy-check.yml? Told of a file without model or device, as of a model's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize_zoo import errors
from quantize_zoo.config.file_kinds import CHECKER, kind_of_values
from quantize_zoo.config.yaml_source import ConfigSource, read_yaml
from quantize_zoo.errors import ConfigurationError, QuantizeZooError
from quantize_zoo.scoring import (
    Fault,
    Where,
    definitions_path,
    evaluator_problem,
    faults_of,
    find_checker,
    kind_of_entries,
    open_dataset,
    read_definitions,
    resolve_paths,
    take_entry,
)
from quantize_zoo.text.paths import is_there


@dataclass(frozen=True)
class Finding:
    """What is known of one model of a file.

    ``refusals`` are why it cannot be scored; ``unknown_keys`` are those that the checker does not know: it passes most
    of them over, so that the model is scored otherwise than it is written.
    """

    file: str
    model: str
    refusals: tuple[ConfigurationError, ...]
    unknown_keys: tuple[ConfigurationError, ...] = ()

    @property
    def problem(self) -> str:
        """The first reason why it cannot be scored; empty if it can."""
        return self.refusals[0].what if self.refusals else ""

    @property
    def faults(self) -> tuple[ConfigurationError, ...]:
        """All that is wrong."""
        return (*self.refusals, *self.unknown_keys)


def is_checker_file(path: Path) -> bool:
    """Tell whether a file is the accuracy checker's configuration and no matrix or model of this project.

    Raises:
        ConfigurationError: it cannot be read.

    """
    return kind_of_values(read_yaml(path).data) is CHECKER


def check_checker_file(path: Path, definitions: Mapping[str, Any], *, files: bool = False) -> Iterator[Finding]:
    """Yield a finding for each model of the file.

    Args:
        path: the file.
        definitions: of datasets and launchers; without any the checker's variable or the file name them.
        files: see whether the files are there that it names, and read what takes no model: annotation, meta data, and
            the parts that are made of them.

    Raises:
        ConfigurationError: the file or its definitions cannot be read.

    """
    source = read_yaml(path)
    kind = kind_of_entries(source.data)
    entries = source.data.get(kind) if isinstance(source.data, dict) else None
    shared = definitions or read_definitions(definitions_path(source.data, path.parent), str(path))
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        name = entry.get("name", "unknown") if isinstance(entry, dict) else "unknown"
        found = list(_faults(source, entry, (kind, number), shared, files=files))
        yield Finding(
            source.where((kind, number)),
            str(name),
            tuple(each.error for each in found if not each.unknown_key),
            tuple(each.error for each in found if each.unknown_key),
        )


def _faults(
    source: ConfigSource, entry: Any, keys: tuple[str, int], definitions: Mapping[str, Any], *, files: bool
) -> Sequence[Fault]:
    try:
        taken = take_entry(entry, keys, source.where, definitions)
        where = taken.where(source)
        if "evaluation" in taken.content and (problem := evaluator_problem(taken.content["evaluation"])):
            raise errors.custom_evaluator(where(()), problem)
        resolved = resolve_paths(taken.content, source.path.parent, {}, where(()))
    except ConfigurationError as error:
        return [Fault(error)]
    found = list(faults_of(resolved, where, files=files))
    if files and not found and "evaluation" not in resolved:
        found += _unreadable(resolved, where)
    return found


def _unreadable(entry: Mapping[str, Any], where: Where) -> Iterator[Fault]:
    """Read what takes no model: annotation and meta data; make reader, preprocessing, postprocessing and metrics."""
    dataset = dict(entry["datasets"][0])
    if "annotation_conversion" in dataset and not is_there(Path(str(dataset.get("annotation", "")))):
        for written in ("annotation", "dataset_meta"):  # by a run: nothing is to come of a look
            dataset.pop(written, None)
    try:
        opened = open_dataset(find_checker(), {**entry, "datasets": [dataset]}, where)
    except QuantizeZooError as error:
        yield Fault(errors.not_ready(error.where or where(("datasets", 0)), error.what, error.remedy))
        return
    if not len(opened.data):
        empty = errors.empty_dataset(where(("datasets", 0)))
        yield Fault(errors.not_ready(empty.where, empty.what, empty.remedy))
