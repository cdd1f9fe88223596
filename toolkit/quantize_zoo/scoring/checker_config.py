"""The accuracy checker's own configuration of a model: the entry that its YAML means, and the metrics that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize_zoo import errors
from quantize_zoo.config import ModelConfig
from quantize_zoo.config.file_kinds import CHECKER, require_kind
from quantize_zoo.config.yaml_source import ConfigSource, read_yaml
from quantize_zoo.scoring.checker_entries import (
    READ_BY_OPENVINO,
    CheckerEntry,
    definitions_path,
    entries_of,
    framework_rank,
    read_definitions,
    resolve_paths,
    take_entry,
)
from quantize_zoo.scoring.checker_levels import Where
from quantize_zoo.scoring.checker_parts import metrics_problems
from quantize_zoo.scoring.metric_values import metric_of
from quantize_zoo.text.documents import Key
from quantize_zoo.text.paths import is_file

_OF_DEVICES = ("device", "tags", "framework")  # what a launcher may say beside how a model is fed and read


def checker_entry(config: ModelConfig) -> dict[str, Any]:
    """Return the model's entry of the accuracy checker's configuration, completed from the definitions.

    Of several entries the one with the model's name, else the first with an OpenVINO launcher, else the first. Its
    first launcher is OpenVINO's if it has one; its first dataset is the one that is tuned on.

    Raises:
        ConfigurationError: the configuration lacks what is needed, or is for another framework.

    """
    return _choose(config).entry.content


def place_in_entry(config: ModelConfig, dataset: int = 0) -> Where:
    """Return a function that tells file and line of keys of the model's entry, as ``checker_entry`` returns it.

    ``dataset`` is the number of the one that is looked at instead of the first, if there are no others.

    Raises:
        ConfigurationError: the configuration lacks what is needed.

    """
    read = _read(config)
    if read.source is None:
        return lambda keys: config.location
    entry = _choose(config).entry
    return (entry if dataset == 0 else entry.with_first_dataset(dataset)).where(read.source, read.before)


def entry_notes(config: ModelConfig) -> Iterator[str]:
    """Say what the configuration does not say itself: which of several is taken, and what scores it."""
    chosen = _choose(config)
    yield from chosen.notes
    framework = chosen.entry.content["launchers"][0].get("framework")
    if framework in READ_BY_OPENVINO:
        yield f"the accuracy checker's configuration is for {framework}; accuracy is scored by OpenVINO"


def fed_with_answers(entry: Mapping[str, Any]) -> str:
    """Return what of an entry feeds its network with what that answered before; empty if nothing does."""
    if "evaluation" in entry:
        return f"the custom evaluator {entry['evaluation'].get('module', '')}".strip()
    inputs = (launcher.get("inputs") for launcher in entry.get("launchers", ()) if isinstance(launcher, Mapping))
    listed = (each for found in inputs if isinstance(found, list) for each in found)
    fed = any(isinstance(each, Mapping) and each.get("type") == "LSTM_INPUT" for each in listed)
    return "an LSTM_INPUT of the launcher" if fed else ""


def checker_metrics(config: ModelConfig) -> list[str]:
    """Return the names of the metrics of the dataset that is tuned on.

    Raises:
        ConfigurationError: the configuration lacks what is needed, a metric included.

    """
    dataset, where = checker_entry(config)["datasets"][0], place_in_entry(config)
    for problem in metrics_problems(dataset, where):
        raise problem
    return [metric_name(metric) for metric in dataset["metrics"]]


def require_metric(config: ModelConfig) -> str:
    """Return the full name of the tuned metric, or of the value of one that is tuned (``mae@pose@mean``).

    It is checked that it is one of the accuracy checker's, as those are whose FP32 values are given. Where there is one
    metric, the name of an output's value alone is enough (``pose@mean``).

    Raises:
        ConfigurationError: it is not, or the configuration lacks what is needed.

    """
    names, of_outputs = checker_metrics(config), _values_of_outputs(checker_entry(config))

    def full_name(keys: tuple[Key, ...], metric: str) -> str:
        if metric_of(metric, names) is not None:
            return metric
        if len(names) == 1 and f"{names[0]}@{metric}" in of_outputs:
            return f"{names[0]}@{metric}"
        raise errors.unknown_metric(where(keys), metric, [*names, *of_outputs])

    where = place_in_yaml(config)
    for number, baseline in enumerate(config.optimizer.params.metrics):
        full_name(("optimizer", "params", "metrics", number), baseline.name)
    return full_name(("metric",), config.metric)


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
    prefixes = config.paths.model_dump(exclude_none=True)
    location = place_in_yaml(config)(("paths",)) if prefixes else config.location
    return resolve_paths(entry, config.data_folder, prefixes, location)


def place_in_yaml(config: ModelConfig) -> Where:
    """Return a function that tells file and line of keys of the model's own YAML; without a line where it has none."""
    source = _read_source(config)
    if source is None:
        return lambda keys: f"{config.location}: {'.'.join(map(str, keys))}"
    return source.where


def place_of_model(config: ModelConfig) -> str:
    """Return file and line of what names the model; its own path where that is an option of a command."""
    source = _read_source(config)
    return str(config.model) if source is None or not source.has(("model",)) else source.where(("model",))


@dataclass(frozen=True)
class _Read:
    """What the checker's configuration says; the file and the keys in it where it stands, if there is one."""

    content: Any
    source: ConfigSource | None
    before: tuple[Key, ...]

    def where(self, otherwise: str) -> Where:
        source = self.source
        return (lambda _: otherwise) if source is None else lambda keys: source.where((*self.before, *keys))


def _read(config: ModelConfig) -> _Read:
    if isinstance(config.accuracy_checker, Path):
        source = read_yaml(config.accuracy_checker, config.location)
        require_kind(source.data, CHECKER, source.path, source.where(()))
        return _Read(source.data, source, ())
    return _Read(config.accuracy_checker, _read_source(config), ("accuracy_checker",))


def _read_source(config: ModelConfig) -> ConfigSource | None:
    if config.places is not None:
        return config.places
    return read_yaml(config.source) if is_file(config.source) else None


@dataclass(frozen=True)
class _Chosen:
    """An entry, and which of several that would have been as good is taken."""

    entry: CheckerEntry
    notes: tuple[str, ...]


def _choose(config: ModelConfig) -> _Chosen:
    read = _read(config)
    where = read.where(config.location)
    kind, models = entries_of(read.content, where)
    ranks = [(model.get("name") != config.name, _rank(model)) for model in models]
    position = ranks.index(min(ranks))
    path = config.definitions or definitions_path(read.content, config.data_folder)
    entry = take_entry(models[position], (kind, position), where, read_definitions(path, config.location))
    notes = (*_several_entries(config.name, models, ranks), *_several_launchers(entry))
    if config.dataset is None:
        return _Chosen(entry, notes)
    names = [str(dataset.get("name")) for dataset in entry.content["datasets"]]
    if config.dataset not in names:
        raise errors.unknown_dataset(place_in_yaml(config)(("dataset",)), config.dataset, names)
    return _Chosen(entry.with_first_dataset(names.index(config.dataset)), notes)


def _several_entries(
    name: str, models: Sequence[Mapping[str, Any]], ranks: Sequence[tuple[bool, int]]
) -> Iterator[str]:
    """Say which entry is taken where another has as much of a claim: it has the model's name as well, or none has."""
    best = min(ranks)
    if best[0] and len(models) > 1:
        listed = ", ".join(repr(str(model.get("name"))) for model in models)
        taken = str(models[ranks.index(best)].get("name"))
        yield f"the accuracy checker's configuration has the models {listed}, none named {name!r}: {taken!r} is taken"
    elif ranks.count(best) > 1:
        yield f"the accuracy checker's configuration has {ranks.count(best)} models named {name!r}: the first is taken"


def _several_launchers(entry: CheckerEntry) -> Iterator[str]:
    """Say which launcher is taken where another one is as good, and would feed or read the model otherwise."""
    launchers = entry.content["launchers"]
    rank = framework_rank(launchers[0])
    same = [_without_device(each) for each in launchers if framework_rank(each) == rank]
    if any(each != same[0] for each in same):
        yield f"of the {len(same)} launchers for OpenVINO, which are not alike, the first is taken"


def _without_device(launcher: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in launcher.items() if key not in _OF_DEVICES}


def _rank(model: Mapping[str, Any]) -> int:
    """Return how well the best launcher of an entry suits."""
    settings = model.get("module_config", model)
    launchers = settings.get("launchers") if isinstance(settings, dict) else None
    return min((framework_rank(each) for each in launchers), default=2) if isinstance(launchers, list) else 2
