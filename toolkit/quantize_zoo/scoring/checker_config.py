"""The accuracy checker's own configuration of a model: found, completed as the checker's command does, and checked."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantize_zoo import errors
from quantize_zoo.config import ModelConfig
from quantize_zoo.config.yaml_source import read_yaml
from quantize_zoo.scoring.checker import find_checker
from quantize_zoo.scoring.checker_shapes import definitions_problem, entry_problem

OPENVINO_LAUNCHERS = ("openvino", "dlsdk")
# The checker's path options, and the environment variables that it reads where an option is not given.
PREFIX_VARIABLES = {
    "source": "DATA_DIR",
    "annotations": "ANNOTATIONS_DIR",
    "models": "MODELS_DIR",
    "model_attributes": "MODEL_ATTRIBUTES_DIR",
}
DEFINITIONS_VARIABLE = "DEFINITIONS_FILE"


def checker_entry(config: ModelConfig) -> dict[str, Any]:
    """Return the model's entry of the accuracy checker's configuration, completed from the definitions.

    Of several entries the one with the model's name, else the first with an OpenVINO launcher, else the first. Its
    first launcher is OpenVINO's if it has one; its first dataset is the one that is tuned on.

    Raises:
        ConfigurationError: the configuration lacks what is needed.

    """
    content, where = _content(config)
    if isinstance(content, dict) and "evaluations" in content:
        raise errors.custom_evaluator(where)
    models = content.get("models") if isinstance(content, dict) else None
    if not isinstance(models, list) or not models or not all(isinstance(model, dict) for model in models):
        raise errors.checker_configuration(where, "it needs a list 'models' with one entry")
    ranked = sorted(models, key=lambda model: (model.get("name") != config.name, not _openvino_launchers(model)))
    entry = copy.deepcopy(ranked[0])
    problem = entry_problem(entry, f"models[{models.index(ranked[0])}]")
    if problem:
        raise errors.checker_configuration(where, problem)
    entry["launchers"].sort(key=lambda launcher: launcher.get("framework") not in OPENVINO_LAUNCHERS)
    entry = _with_definitions(entry, config, content)
    names = [str(dataset.get("name")) for dataset in entry["datasets"]]
    if config.dataset is not None:
        if config.dataset not in names:
            raise errors.unknown_dataset(f"{config.location}: dataset", config.dataset, names)
        entry["datasets"].insert(0, entry["datasets"].pop(names.index(config.dataset)))
    return entry


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
    content = {"models": [copy.deepcopy(entry)]}
    try:
        find_checker().module("config").ConfigReader._merge_paths_with_prefixes(prefixes, content)
    except Exception as error:  # it takes for granted that there are paths where it needs them
        raise errors.checker_configuration(config.location, f"{type(error).__name__}: {error}") from error
    resolved: dict[str, Any] = content["models"][0]
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


def _openvino_launchers(model: Mapping[str, Any]) -> list[Any]:
    launchers = model.get("launchers")
    listed = launchers if isinstance(launchers, list) else []
    return [each for each in listed if isinstance(each, dict) and each.get("framework") in OPENVINO_LAUNCHERS]
