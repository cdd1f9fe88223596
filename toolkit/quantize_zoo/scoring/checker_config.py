"""The accuracy checker's own configuration of a model: found, completed as the checker's command does, and checked."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize_zoo import errors
from quantize_zoo.config import ModelConfig
from quantize_zoo.config.yaml_source import Key, read_yaml
from quantize_zoo.scoring.checker import find_checker
from quantize_zoo.scoring.checker_shapes import definitions_problem, entry_problem

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
_MODELS, _EVALUATIONS = "models", "evaluations"  # the checker's two kinds of configurations
DEFINITIONS_VARIABLE = "DEFINITIONS_FILE"


@dataclass(frozen=True)
class _Chosen:
    """An entry of the checker's configuration, and where its parts stand there: launchers and datasets by position."""

    entry: dict[str, Any]
    position: int
    launchers: list[int]
    datasets: list[int]


def checker_entry(config: ModelConfig) -> dict[str, Any]:
    """Return the model's entry of the accuracy checker's configuration, completed from the definitions.

    Of several entries the one with the model's name, else the first with an OpenVINO launcher, else the first. Its
    first launcher is OpenVINO's if it has one; its first dataset is the one that is tuned on.

    Raises:
        ConfigurationError: the configuration lacks what is needed, or is for another framework.

    """
    return _choose(config).entry


def place_in_entry(config: ModelConfig) -> Callable[[Sequence[Key]], str]:
    """Return a function that tells file and line of keys of the model's entry, as ``checker_entry`` returns it.

    Raises:
        ConfigurationError: the configuration lacks what is needed.

    """
    chosen = _choose(config)
    inline = not isinstance(config.accuracy_checker, Path)
    path = config.source if isinstance(config.accuracy_checker, dict) else config.accuracy_checker
    if not path.is_file():
        return lambda keys: config.location
    source = read_yaml(path)
    entries = (
        (_EVALUATIONS, chosen.position, "module_config") if "evaluation" in chosen.entry else (_MODELS, chosen.position)
    )
    prefix: tuple[Key, ...] = (*(("accuracy_checker",) if inline else ()), *entries)
    order = {"launchers": chosen.launchers, "datasets": chosen.datasets}

    def where(keys: Sequence[Key]) -> str:
        positions = order.get(str(keys[0])) if len(keys) > 1 else None
        if positions is None:
            return source.where((*prefix, *keys))
        return source.where((*prefix, keys[0], positions[int(keys[1])], *keys[2:]))

    return where


def framework_note(config: ModelConfig) -> str:
    """Say that a configuration for another framework is scored by OpenVINO; nothing where it is OpenVINO's."""
    framework = checker_entry(config)["launchers"][0].get("framework")
    if framework not in READ_BY_OPENVINO:
        return ""
    return f"the accuracy checker's configuration is for {framework}; accuracy is scored by OpenVINO"


def framework_rank(launcher: Any) -> int:
    """Return how well a launcher of the checker's configuration suits: 0 is OpenVINO's, 2 not at all."""
    framework = launcher.get("framework") if isinstance(launcher, Mapping) else None
    if framework in OPENVINO_LAUNCHERS:
        return 0
    return 1 if framework in READ_BY_OPENVINO or framework is None else 2


def _choose(config: ModelConfig) -> _Chosen:
    content, where = _content(config)
    kind = _EVALUATIONS if isinstance(content, dict) and _EVALUATIONS in content else _MODELS
    models = content.get(kind) if isinstance(content, dict) else None
    if not isinstance(models, list) or not models or not all(isinstance(model, dict) for model in models):
        raise errors.checker_configuration(where, f"it needs a list {kind!r} with one entry")
    if kind == _EVALUATIONS:
        models = [_as_entry(evaluation, where) for evaluation in models]
    position = min(range(len(models)), key=lambda each: (models[each].get("name") != config.name, _rank(models[each])))
    entry = copy.deepcopy(models[position])
    problem = entry_problem(entry, f"{kind}[{position}]")
    if problem:
        raise errors.checker_configuration(where, problem)
    launchers = sorted(range(len(entry["launchers"])), key=lambda each: framework_rank(entry["launchers"][each]))
    entry["launchers"] = [entry["launchers"][each] for each in launchers]
    if framework_rank(entry["launchers"][0]) > 1:
        raise errors.other_framework(where, [str(each.get("framework")) for each in entry["launchers"]])
    entry = _with_definitions(entry, config, content)
    names = [str(dataset.get("name")) for dataset in entry["datasets"]]
    datasets = list(range(len(names)))
    if config.dataset is not None:
        if config.dataset not in names:
            raise errors.unknown_dataset(f"{config.location}: dataset", config.dataset, names)
        datasets.insert(0, datasets.pop(names.index(config.dataset)))
        entry["datasets"] = [entry["datasets"][each] for each in datasets]
    return _Chosen(entry, position, launchers, datasets)


def _as_entry(evaluation: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a custom evaluator's entry like a model's: launchers and datasets, and the rest as ``evaluation``."""
    settings = evaluation.get("module_config")
    if not isinstance(evaluation.get("module"), str) or not isinstance(settings, dict):
        raise errors.checker_configuration(where, "each of 'evaluations' needs 'module' and 'module_config'")
    rest = {key: value for key, value in settings.items() if key not in ("launchers", "datasets")}
    parts = {key: settings.get(key) for key in ("launchers", "datasets")}
    return {"name": evaluation.get("name"), **parts, "evaluation": {**evaluation, "module_config": rest}}


def _rank(model: Mapping[str, Any]) -> int:
    launchers = model.get("launchers")
    return min((framework_rank(each) for each in launchers), default=2) if isinstance(launchers, list) else 2


def checker_metrics(config: ModelConfig) -> list[str]:
    """Return the names of the metrics of the dataset that is tuned on.

    Raises:
        ConfigurationError: the configuration lacks what is needed, a metric included.

    """
    metrics = checker_entry(config)["datasets"][0].get("metrics") or []
    names = [metric_name(metric) for metric in metrics if metric.keys() & {"name", "type"}]
    if not names or len(names) < len(metrics):
        raise errors.checker_configuration(config.location, "models[0].datasets[0] names no metric")
    return names


def require_metric(config: ModelConfig) -> None:
    """Check that the tuned metric, and those whose FP32 values are given, are the accuracy checker's.

    Raises:
        ConfigurationError: it is not, or the configuration lacks what is needed.

    """
    names = checker_metrics(config)
    baselines = [metric.name for metric in config.optimizer.params.metrics]
    for key, metric in (("metric", config.metric), *(("optimizer.params.metrics", name) for name in baselines)):
        if metric not in names:
            raise errors.unknown_metric(f"{config.location}: {key}", metric, names)


def metric_name(metric: Mapping[str, Any]) -> str:
    """Return the name under which the checker reports a metric."""
    return str(metric.get("name", metric.get("type")))


def with_prefixes(entry: dict[str, Any], config: ModelConfig) -> dict[str, Any]:
    """Resolve the entry's relative paths as the checker's command does.

    A prefix is what ``paths`` of the model's YAML says, else the checker's environment variable, else the folder of
    the file that the entry is from.
    """
    given = config.paths.model_dump(exclude_none=True)
    prefixes = {
        name: Path(given.get(name) or os.environ.get(variable) or config.data_folder)
        for name, variable in PREFIX_VARIABLES.items()
    }
    resolved = copy.deepcopy(entry)
    reader = find_checker().module("config").ConfigReader
    try:
        reader._merge_paths_with_prefixes(prefixes, {_MODELS: [resolved]})
        if "evaluation" in resolved:
            reader._merge_paths_with_prefixes(prefixes, {_EVALUATIONS: [resolved["evaluation"]]}, _EVALUATIONS)
    except Exception as error:  # it takes for granted that there are paths where it needs them
        raise errors.checker_configuration(config.location, f"{type(error).__name__}: {error}") from error
    return resolved


def read_definitions(path: Path | None, named_by: str = "") -> dict[str, Any]:
    """Read a file of definitions of datasets and launchers; without a path there are none.

    Raises:
        ConfigurationError: the file cannot be read, or is no such file.

    """
    if path is None:
        return {}
    content = read_yaml(path, named_by).data or {}
    problem = definitions_problem(content)
    if problem:
        raise errors.checker_configuration(str(path), problem)
    definitions = {key: value for key, value in content.items() if value is not None}
    find_checker().module("config").ConfigReader._prepare_global_configs(definitions)
    return definitions


def merge_definitions(entry: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Complete launchers and datasets of an entry by name from the definitions."""
    reader = find_checker().module("config").ConfigReader
    merged: dict[str, Any] = reader._merge_models_config(definitions, {"models": [entry]}, None)["models"][0]
    return merged


def _content(config: ModelConfig) -> tuple[Any, str]:
    if isinstance(config.accuracy_checker, Path):
        source = read_yaml(config.accuracy_checker, config.location)
        return source.data, str(source.path)
    return config.accuracy_checker, config.location


def _with_definitions(entry: dict[str, Any], config: ModelConfig, content: Mapping[str, Any]) -> dict[str, Any]:
    """Complete launchers and datasets by name from the definitions: the option's, the variable's or the file's own."""
    path = config.definitions
    if path is None and os.environ.get(DEFINITIONS_VARIABLE):
        path = Path(os.environ[DEFINITIONS_VARIABLE])
    if path is None and content.get("global_definitions"):
        path = config.data_folder / str(content["global_definitions"])
    return merge_definitions(entry, read_definitions(path, config.location))
