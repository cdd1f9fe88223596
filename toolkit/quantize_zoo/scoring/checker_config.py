"""The accuracy checker's own configuration of a model: the entry that its YAML means, and the metrics that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize_zoo import errors
from quantize_zoo.config import ModelConfig
from quantize_zoo.config.yaml_source import ConfigSource, Key, read_yaml
from quantize_zoo.scoring.checker_entries import (
    READ_BY_OPENVINO,
    CheckerEntry,
    definitions_path,
    framework_rank,
    kind_of_entries,
    read_definitions,
    resolve_paths,
    take_entry,
)
from quantize_zoo.scoring.metric_values import metric_of
from quantize_zoo.text.paths import is_file


def checker_entry(config: ModelConfig) -> dict[str, Any]:
    """Return the model's entry of the accuracy checker's configuration, completed from the definitions.

    Of several entries the one with the model's name, else the first with an OpenVINO launcher, else the first. Its
    first launcher is OpenVINO's if it has one; its first dataset is the one that is tuned on.

    Raises:
        ConfigurationError: the configuration lacks what is needed, or is for another framework.

    """
    return _choose(config).content


def place_in_entry(config: ModelConfig) -> Callable[[Sequence[Key]], str]:
    """Return a function that tells file and line of keys of the model's entry, as ``checker_entry`` returns it.

    Raises:
        ConfigurationError: the configuration lacks what is needed.

    """
    read = _read(config)
    if read.source is None:
        return lambda keys: config.location
    return _choose(config).where(read.source, read.before)


def framework_note(config: ModelConfig) -> str:
    """Say that a configuration for another framework is scored by OpenVINO; nothing where it is OpenVINO's."""
    framework = checker_entry(config)["launchers"][0].get("framework")
    if framework not in READ_BY_OPENVINO:
        return ""
    return f"the accuracy checker's configuration is for {framework}; accuracy is scored by OpenVINO"


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


def require_metric(config: ModelConfig) -> str:
    """Return the full name of the tuned metric, or of the value of one that is tuned (``mae@pose@mean``).

    It is checked that it is one of the accuracy checker's, as those are whose FP32 values are given. Where there is one
    metric, the name of an output's value alone is enough (``pose@mean``).

    Raises:
        ConfigurationError: it is not, or the configuration lacks what is needed.

    """
    names, of_outputs = checker_metrics(config), _values_of_outputs(checker_entry(config))

    def full_name(key: str, metric: str) -> str:
        if metric_of(metric, names) is not None:
            return metric
        if len(names) == 1 and f"{names[0]}@{metric}" in of_outputs:
            return f"{names[0]}@{metric}"
        raise errors.unknown_metric(f"{config.location}: {key}", metric, [*names, *of_outputs])

    for baseline in config.optimizer.params.metrics:
        full_name("optimizer.params.metrics", baseline.name)
    return full_name("metric", config.metric)


def _values_of_outputs(entry: Mapping[str, Any]) -> list[str]:
    """Return the full names of metrics' values where the adapter names several outputs, each of which has its own."""
    adapter = entry["launchers"][0].get("adapter")
    outputs = adapter.get("outputs") if isinstance(adapter, dict) else None
    return [
        f"{metric_name(metric)}@{output}@{value}"
        for metric in entry["datasets"][0]["metrics"]
        for output in (outputs if isinstance(outputs, list) else [])
        for value in ("mean", "std", *(("max_error",) if metric.get("max_error") is True else ()))
    ]


def metric_name(metric: Mapping[str, Any]) -> str:
    """Return the name under which the checker reports a metric."""
    return str(metric.get("name", metric.get("type")))


def with_prefixes(entry: dict[str, Any], config: ModelConfig) -> dict[str, Any]:
    """Resolve the entry's relative paths as the checker's command does; see ``resolve_paths``.

    Prefixes are given by ``paths`` of the model's YAML; the folder is that of the file that the entry is from.
    """
    return resolve_paths(entry, config.data_folder, config.paths.model_dump(exclude_none=True), config.location)


@dataclass(frozen=True)
class _Read:
    """What the checker's configuration says; the file and the keys in it where it stands, if there is one."""

    content: Any
    source: ConfigSource | None
    before: tuple[Key, ...]

    def where(self, otherwise: str) -> Callable[[Sequence[Key]], str]:
        source = self.source
        return (lambda _: otherwise) if source is None else lambda keys: source.where((*self.before, *keys))


def _read(config: ModelConfig) -> _Read:
    if isinstance(config.accuracy_checker, Path):
        source = read_yaml(config.accuracy_checker, config.location)
        return _Read(source.data, source, ())
    return _Read(config.accuracy_checker, _read_source(config), ("accuracy_checker",))


def _read_source(config: ModelConfig) -> ConfigSource | None:
    try:
        return read_yaml(config.source) if is_file(config.source) else None
    except errors.ConfigurationError:  # POT's JSON with comments, which was read in another way
        return None


def _choose(config: ModelConfig) -> CheckerEntry:
    read = _read(config)
    content, where = read.content, read.where(config.location)
    kind = kind_of_entries(content)
    models = content.get(kind) if isinstance(content, dict) else None
    if not isinstance(models, list) or not models or not all(isinstance(model, dict) for model in models):
        raise errors.checker_configuration(where((kind,)), f"it needs a list {kind!r} with one entry")
    position = min(range(len(models)), key=lambda each: (models[each].get("name") != config.name, _rank(models[each])))
    path = config.definitions or definitions_path(content, config.data_folder)
    entry = take_entry(models[position], (kind, position), where, read_definitions(path, config.location))
    if config.dataset is None:
        return entry
    names = [str(dataset.get("name")) for dataset in entry.content["datasets"]]
    if config.dataset not in names:
        raise errors.unknown_dataset(f"{config.location}: dataset", config.dataset, names)
    return entry.with_first_dataset(names.index(config.dataset))


def _rank(model: Mapping[str, Any]) -> int:
    """Return how well the best launcher of an entry suits."""
    settings = model.get("module_config", model)
    launchers = settings.get("launchers") if isinstance(settings, dict) else None
    return min((framework_rank(each) for each in launchers), default=2) if isinstance(launchers, list) else 2
