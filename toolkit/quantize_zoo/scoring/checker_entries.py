"""An entry of the accuracy checker's configuration: taken out of its file, and completed as the checker's command does.

Nothing is known here of a model's YAML: entries of any accuracy-check.yml are read in this way.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize_zoo import errors
from quantize_zoo.config.file_kinds import DEFINITIONS, require_kind
from quantize_zoo.config.yaml_source import ConfigSource, Key, read_yaml
from quantize_zoo.scoring.checker import find_checker
from quantize_zoo.scoring.checker_levels import (
    ENTRY_KEYS,
    EVALUATION_KEYS,
    EVALUATIONS,
    FILE_KEYS,
    MODELS,
    Where,
    lacking,
    written_for,
)
from quantize_zoo.scoring.checker_shapes import definitions_problem, entry_problem, keys_of_problem

OPENVINO_LAUNCHERS = ("openvino", "dlsdk")
# Of another framework, and its files are such that OpenVINO reads: scored by OpenVINO, which the report says.
READ_BY_OPENVINO = ("onnx_runtime",)
# The checker's path options, and the environment variables that it reads where an option is not given.
PREFIX_VARIABLES = {
    "source": "DATA_DIR",
    "annotations": "ANNOTATIONS_DIR",
    "models": "MODELS_DIR",
    "model_attributes": "MODEL_ATTRIBUTES_DIR",
}
DEFINITIONS_VARIABLE = "DEFINITIONS_FILE"
_RESHAPE = "write there what the message says"


@dataclass(frozen=True)
class CheckerEntry:
    """An entry, and where it stands in its file: its keys there, and the positions of its launchers and datasets.

    The first launcher is OpenVINO's if there is one. A custom evaluator's entry is like a model's: launchers and
    datasets, and the rest as ``evaluation``.
    """

    content: dict[str, Any]
    keys: tuple[Key, ...]
    launchers: tuple[int, ...]
    datasets: tuple[int, ...]

    def where(self, source: ConfigSource, before: tuple[Key, ...] = ()) -> Where:
        """Return what tells file and line of keys of the entry; ``before`` lead to the checker's part of the file."""
        inside = ("module_config",) if "evaluation" in self.content else ()
        order = {"launchers": self.launchers, "datasets": self.datasets}

        def place(keys: Sequence[Key]) -> str:
            positions = order.get(str(keys[0])) if len(keys) > 1 else None
            own = keys if positions is None else (keys[0], positions[int(keys[1])], *keys[2:])
            return source.where((*before, *self.keys, *inside, *own))

        return place

    def with_first_dataset(self, number: int) -> CheckerEntry:
        """Return the entry with another one of its datasets first."""
        order = [number, *(each for each in range(len(self.datasets)) if each != number)]
        content = {**self.content, "datasets": [self.content["datasets"][each] for each in order]}
        return CheckerEntry(content, self.keys, self.launchers, tuple(self.datasets[each] for each in order))


def kind_of_entries(content: Any) -> str:
    """Return under which key the entries of a file stand."""
    return EVALUATIONS if isinstance(content, dict) and EVALUATIONS in content else MODELS


def entries_of(content: Any, where: Where) -> tuple[str, list[dict[str, Any]]]:
    """Return under which key the entries of a file stand, and the entries.

    Raises:
        ConfigurationError: there are none.

    """
    kind = kind_of_entries(content)
    entries = content.get(kind) if isinstance(content, dict) else None
    if isinstance(content, dict) and kind not in content:
        meant = EVALUATIONS if written_for(content, EVALUATIONS, FILE_KEYS) else MODELS
        raise lacking(content, meant, FILE_KEYS, (), where, "the accuracy checker's configuration")
    if not isinstance(entries, list) or not entries or not all(isinstance(each, dict) for each in entries):
        problem = f"it needs a list {kind!r} with one entry"
        raise errors.checker_configuration(where((kind,)), problem, f"write the model's entry below '{kind}:'")
    return kind, entries


def take_entry(entry: Any, keys: tuple[str, int], where: Where, definitions: Mapping[str, Any]) -> CheckerEntry:
    """Return an entry of a file, completed by name from definitions.

    Args:
        entry: as it stands in the file.
        keys: where that is.
        where: tells file and line of keys of the file.
        definitions: of launchers and datasets, as ``read_definitions`` returns them.

    Raises:
        ConfigurationError: it lacks what is needed, or is for another framework.

    """
    if not isinstance(entry, dict):
        problem = f"{keys[0]}[{keys[1]}] is no mapping"
        raise errors.checker_configuration(where(keys), problem, f"it has the keys {', '.join(ENTRY_KEYS)}")
    if keys[0] == MODELS:
        _require(entry, ENTRY_KEYS[1:], ENTRY_KEYS, keys, where)
    entry = copy.deepcopy(_like_a_model(entry, keys, where) if keys[0] == EVALUATIONS else entry)
    if problem := entry_problem(entry, f"{keys[0]}[{keys[1]}]"):
        raise errors.checker_configuration(where(keys_of_problem(problem)), problem, _RESHAPE)
    launchers = sorted(range(len(entry["launchers"])), key=lambda each: framework_rank(entry["launchers"][each]))
    entry["launchers"] = [entry["launchers"][each] for each in launchers]
    if framework_rank(entry["launchers"][0]) > 1:
        frameworks = [str(each.get("framework")) for each in entry["launchers"]]
        raise errors.other_framework(where((*keys, "launchers")), frameworks)
    entry = _merged(entry, definitions)
    return CheckerEntry(entry, keys, tuple(launchers), tuple(range(len(entry["datasets"]))))


def framework_rank(launcher: Any) -> int:
    """Return how well a launcher of the checker's configuration suits: 0 is OpenVINO's, 2 not at all."""
    framework = launcher.get("framework") if isinstance(launcher, Mapping) else None
    if framework in OPENVINO_LAUNCHERS:
        return 0
    return 1 if framework in READ_BY_OPENVINO or framework is None else 2


def _require(
    content: Mapping[str, Any], keys: Sequence[str], known: Sequence[str], at: tuple[Key, ...], where: Where
) -> None:
    """Refuse a mapping of a file that lacks one of these keys."""
    for key in keys:
        if key not in content:
            what = f"{at[0]}[{at[1]}]" + "".join(f".{each}" for each in at[2:])
            raise lacking(content, key, known or keys, at, where, what)


def _like_a_model(evaluation: dict[str, Any], keys: tuple[str, int], where: Where) -> dict[str, Any]:
    _require(evaluation, ("module", "module_config"), EVALUATION_KEYS, keys, where)
    settings = evaluation["module_config"]
    if not isinstance(evaluation["module"], str) or not isinstance(settings, dict):
        problem = "'module' is a text, and 'module_config' a mapping"
        raise errors.checker_configuration(where(keys), problem, "write them so")
    _require(settings, ("launchers", "datasets"), (), (*keys, "module_config"), where)
    rest = {key: value for key, value in settings.items() if key not in ("launchers", "datasets")}
    parts = {key: settings.get(key) for key in ("launchers", "datasets")}
    return {"name": evaluation.get("name"), **parts, "evaluation": {**evaluation, "module_config": rest}}


def definitions_path(content: Any, folder: Path) -> Path | None:
    """Return where definitions are that nobody named: where the checker's variable or the file's own key say."""
    if os.environ.get(DEFINITIONS_VARIABLE):
        return Path(os.environ[DEFINITIONS_VARIABLE])
    named = content.get("global_definitions") if isinstance(content, dict) else None
    return folder / str(named) if named else None


def read_definitions(path: Path | None, named_by: str = "") -> dict[str, Any]:
    """Read a file of definitions of datasets and launchers; without a path there are none.

    Raises:
        ConfigurationError: the file cannot be read, or is no such file.

    """
    if path is None:
        return {}
    content = read_yaml(path, named_by).data or {}
    require_kind(content, DEFINITIONS, path, str(path))
    problem = definitions_problem(content)
    if problem:
        raise errors.checker_configuration(str(path), problem, _RESHAPE)
    definitions = {key: value for key, value in content.items() if value is not None}
    find_checker().module("config").ConfigReader._prepare_global_configs(definitions)
    return definitions


def _merged(entry: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Complete launchers and datasets of an entry by name from the definitions."""
    reader = find_checker().module("config").ConfigReader
    merged: dict[str, Any] = reader._merge_models_config(definitions, {MODELS: [entry]}, None)[MODELS][0]
    return merged


def resolve_paths(entry: Mapping[str, Any], folder: Path, given: Mapping[str, Path], where: str) -> dict[str, Any]:
    """Resolve the relative paths of an entry as the checker's command does.

    A prefix is what is given, else the checker's environment variable, else the folder.

    Raises:
        ConfigurationError: the checker cannot.

    """
    prefixes = {
        name: Path(given.get(name) or os.environ.get(variable) or folder) for name, variable in PREFIX_VARIABLES.items()
    }
    resolved: dict[str, Any] = copy.deepcopy(dict(entry))
    reader = find_checker().module("config").ConfigReader
    try:
        reader._merge_paths_with_prefixes(prefixes, {MODELS: [resolved]})
        if "evaluation" in resolved:
            reader._merge_paths_with_prefixes(prefixes, {EVALUATIONS: [resolved["evaluation"]]}, EVALUATIONS)
    except Exception as error:  # it takes for granted that there are paths where it needs them
        problem = f"its paths cannot be resolved: {type(error).__name__}: {error}"
        raise errors.checker_configuration(
            where, problem, "write paths as texts, below the keys that take them"
        ) from error
    return resolved
