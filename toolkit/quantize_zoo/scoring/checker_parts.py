"""The parts of an entry of the accuracy checker's configuration: names, keys, values and files, before anything is run.

The checker's own classes and their fields say which there are. It tells of an unknown name only when it comes to it, of
an unknown key in a warning if at all, and of a value or a file wherever it is used.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize_zoo import errors
from quantize_zoo.config.yaml_source import Key
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.scoring.checker import find_checker
from quantize_zoo.scoring.checker_entries import OPENVINO_LAUNCHERS
from quantize_zoo.scoring.checker_levels import ENTRY_KEYS, Where, lacking, written_for
from quantize_zoo.text.paths import is_there


@dataclass(frozen=True)
class _Kind:
    """One of the checker's registers of classes; ``named_by`` is the key that names one of them."""

    label: str
    module: str
    base: str
    named_by: str = "type"

    @property
    def base_class(self) -> Any:
        """The class that all of them are derived from."""
        checker = find_checker()
        checker.module(self.module.split(".", maxsplit=1)[0])  # importing the package registers its classes
        return getattr(checker.module(self.module), self.base)

    @property
    def providers(self) -> Mapping[str, Any]:
        """The classes by name."""
        found: Mapping[str, Any] = self.base_class.providers
        return found


_ADAPTER = _Kind("adapter", "adapters", "Adapter")
_OF_DATASET = {
    "annotation_conversion": _Kind("annotation converter", "annotation_converters", "BaseFormatConverter", "converter"),
    "reader": _Kind("data reader", "data_readers", "BaseReader"),
    "preprocessing": _Kind("preprocessor", "preprocessor", "Preprocessor"),
    "postprocessing": _Kind("postprocessor", "postprocessor", "Postprocessor"),
    "metrics": _Kind("metric", "metrics.metric", "Metric"),
}
KINDS = {**_OF_DATASET, "adapter": _ADAPTER}
_DEFAULT_READER = "opencv_imread"
# Not the checker's: init writes it, see the launcher.
_LAUNCHER_KEYS = ("default_layout",)
_NAMING_KEYS = ("type", "converter")
# Where the checker refuses a key that it does not know. Converters do as well, when they are made: Open Model Zoo's
# definitions give some of them such keys.
_STRICT = {"preprocessing", "postprocessing", "metrics"}


@dataclass(frozen=True)
class Part:
    """A part of the entry: what the configuration says of it, and the class of the checker that it names."""

    keys: tuple[Key, ...]
    kind: _Kind
    name: Any
    config: Mapping[str, Any]

    @property
    def name_keys(self) -> tuple[Key, ...]:
        """Where the name stands."""
        return (*self.keys, self.kind.named_by) if self.config else self.keys

    @property
    def provider(self) -> Any:
        """The class; None if there is no such."""
        return self.kind.providers.get(self.name) if isinstance(self.name, str) else None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The fields of the class by name."""
        found: Mapping[str, Any] = {} if self.provider is None else self.provider.parameters()
        return found


@dataclass(frozen=True)
class Fault:
    """What is wrong with an entry; ``unknown_key`` says that it is one, which the checker mostly passes over."""

    error: ConfigurationError
    unknown_key: bool = False


def faults_of_parts(entry: Mapping[str, Any], where: Where, *, files: bool, scored: bool) -> Iterator[Fault]:
    """Yield what is wrong with the names, keys, values and files of an entry's parts; see ``faults_of``."""
    told: set[str] = set()
    for fault in _all_faults(entry, where, files=files, scored=scored):
        if str(fault.error) not in told:  # an unknown key may be why another one is missing
            told.add(str(fault.error))
            yield fault


def _all_faults(entry: Mapping[str, Any], where: Where, *, files: bool, scored: bool) -> Iterator[Fault]:
    yield from map(Fault, unknown_names(entry, where))
    if scored:
        yield from map(Fault, _no_accuracy(entry, where))
    yield from _unknown_keys(entry, where)
    yield from _unread_keys(entry["datasets"][0], where)
    for keys, config, fields in _configured(entry):
        yield from map(Fault, _bad_values(keys, config, fields, where))
    yield from map(Fault, _bad_subset(entry["datasets"][0], where))
    yield from map(Fault, _bad_inputs(entry["launchers"][0], where))
    yield from map(Fault, _missing_keys(entry, where))
    yield from map(Fault, _same_metrics(entry["datasets"][0].get("metrics") or [], where))
    if files:
        yield from map(Fault, _missing_files(entry, where))


def unknown_names(entry: Mapping[str, Any], where: Where) -> Iterator[ConfigurationError]:
    """Yield an error for every name of a converter, reader, adapter, and so on that the checker does not have."""
    for part in parts_of(entry):
        if part.name is None:
            yield errors.missing_key(where(part.keys), part.kind.named_by)
        elif part.provider is None:
            yield errors.unknown_checker_name(
                where(part.name_keys), part.kind.label, str(part.name), part.kind.providers
            )


def _configured(entry: Mapping[str, Any]) -> Iterator[tuple[tuple[Key, ...], Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the keys of each part, what the configuration says there, and the checker's fields by name."""
    launcher = entry["launchers"][0]
    if launcher.get("framework") in (None, *OPENVINO_LAUNCHERS):
        yield ("launchers", 0), launcher, _fields_of_launcher()
    yield ("datasets", 0), entry["datasets"][0], _fields_of_dataset()
    for part in parts_of(entry):
        if part.provider is not None:
            yield part.keys, part.config, part.parameters


def _unread_keys(dataset: Mapping[str, Any], where: Where) -> Iterator[Fault]:
    """Yield an error for meta data that nothing reads: they belong to an annotation that is converted already."""
    if "dataset_meta" in dataset and "annotation_conversion" in dataset and "annotation" not in dataset:
        yield Fault(errors.meta_not_read(where(("datasets", 0, "dataset_meta"))), unknown_key=True)


def _unknown_keys(entry: Mapping[str, Any], where: Where) -> Iterator[Fault]:
    for key in entry:
        if key not in (*ENTRY_KEYS, "evaluation"):
            yield Fault(errors.unknown_key(where((key,)), str(key), ENTRY_KEYS), unknown_key=True)
    for keys, config, fields in _configured(entry):
        known = {*fields, *(_LAUNCHER_KEYS if keys == ("launchers", 0) else ()), *_NAMING_KEYS}
        for key in config:
            if key not in known and not str(key).startswith("_"):
                error = errors.unknown_key(where((*keys, key)), str(key), _public(fields))
                yield Fault(error, unknown_key=not set(keys) & _STRICT)


def _bad_values(
    keys: tuple[Key, ...], config: Mapping[str, Any], fields: Mapping[str, Any], where: Where
) -> Iterator[ConfigurationError]:
    """Yield an error for every value that its field of the checker does not take; paths need not exist."""
    path_field = find_checker().module("config").PathField
    for key, value in config.items():
        field = fields.get(key)
        if field is None or isinstance(field, path_field) or value is None:
            continue
        if key in KINDS and (value != [] or key == "metrics"):  # what is in it is looked at as a part
            continue
        if key == "inputs" and not _is_list_of_mappings(value):  # which is told of each
            continue
        place = where((*keys, key))
        try:
            found = field.validate(value, key, fetch_only=True)
        except Exception as error:  # fields raise what turning the value into theirs raises
            # All but a ValueError tell of the field's own code, and not of the value.
            problem = errors.message_of(error) if isinstance(error, ValueError) else "is not of the form that it takes"
            yield errors.bad_checker_value(place, key, value, problem)
            continue
        choices = getattr(field, "choices", None)
        if found and choices and isinstance(value, str):
            yield errors.unknown_value(place, key, value, choices)
        elif found:
            yield errors.bad_checker_value(place, key, value, _reason(found[0].message, key, value))


def _bad_subset(dataset: Mapping[str, Any], where: Where) -> Iterator[ConfigurationError]:
    """Yield an error for a part of the data that the checker would not take once it has the annotation."""
    size = dataset.get("subsample_size")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of nothing every part is too much
            if size is not None:
                find_checker().module("dataset").create_subset([], size, dataset.get("subsample_seed"))
    except Exception:  # a number is made of whatever stands there
        problem = "must be a whole number above 0, or a share of the data such as '10%'"
        yield errors.bad_checker_value(where(("datasets", 0, "subsample_size")), "subsample_size", size, problem)
    if "subset" in dataset and not dataset["subset"]:
        place = where(("datasets", 0, "subset"))
        yield errors.bad_checker_value(place, "subset", dataset["subset"], "must name one sample or more")


def _bad_inputs(launcher: Mapping[str, Any], where: Where) -> Iterator[ConfigurationError]:
    """Yield an error for every input of the launcher without a name or a type of the checker's."""
    inputs = launcher.get("inputs")
    types = find_checker().module("config").InputField.INPUTS_TYPES
    if inputs is not None and not isinstance(inputs, list):
        problem = "must be a list of mappings with 'name' and 'type'"
        yield errors.bad_checker_value(where(("launchers", 0, "inputs")), "inputs", inputs, problem)
    for number, each in enumerate(inputs if isinstance(inputs, list) else ()):
        place = ("launchers", 0, "inputs", number)
        if not isinstance(each, Mapping):
            yield errors.bad_checker_value(where(place), f"inputs[{number}]", each, "must be a mapping")
            continue
        known = ("name", "type", "value", "layout", "shape", "precision")
        for key in ("name", "type"):
            if key not in each:
                yield lacking(each, key, known, place, where, f"inputs[{number}]")
        if "type" in each and each["type"] not in types:
            yield errors.unknown_value(where((*place, "type")), "type", str(each["type"]), types)


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


def _reason(message: str, key: str, value: Any) -> str:
    """Return what the checker says of a value, without the value and the key, which it may name twice."""
    reason = re.sub(r'^Invalid value ".*?" for [^ :]+(?:: )?', "", message)
    reason = re.sub(rf"^{re.escape(key)}[^ ]* ", "", reason).removeprefix(f"{value} ")
    return reason.replace("is expected to be", "must be") or "the checker does not take it"


def _missing_keys(entry: Mapping[str, Any], where: Where) -> Iterator[ConfigurationError]:
    dataset = entry["datasets"][0]
    for part in parts_of(entry):
        for key, field in part.parameters.items():
            if field.required() and key not in part.config and key != part.kind.named_by:
                yield errors.missing_checker_key(where(part.keys), f"{part.kind.label} {str(part.name)!r}", key)
    if "data_source" not in dataset and _reader_name(dataset) not in _without_data_source():
        reader = f"data reader {_reader_name(dataset)!r}"
        yield errors.missing_checker_key(where(("datasets", 0)), reader, "data_source", "the folder of its files")


def _no_accuracy(entry: Mapping[str, Any], where: Where) -> Iterator[ConfigurationError]:
    dataset, place = entry["datasets"][0], where(("datasets", 0))
    if not dataset.keys() & {"annotation", "annotation_conversion"}:
        yield errors.dataset_without_annotation(place, str(dataset.get("name")))
    yield from metrics_problems(dataset, where)
    launcher = entry["launchers"][0]
    if "adapter" not in launcher and "evaluation" not in entry:
        absent = errors.no_adapter(where(("launchers", 0)))
        yield _written_otherwise(("launchers", 0), launcher, "adapter", _fields_of_launcher(), where) or absent


def metrics_problems(dataset: Mapping[str, Any], where: Where) -> Iterator[ConfigurationError]:
    """Yield an error for a dataset without metrics, and for every metric without a name; see ``faults_of``."""
    metrics = dataset.get("metrics")
    if not metrics:
        absent = errors.no_metrics(where(("datasets", 0)), str(dataset.get("name")))
        yield _written_otherwise(("datasets", 0), dataset, "metrics", _fields_of_dataset(), where) or absent
    for number, metric in enumerate(metrics or ()):
        if not metric.keys() & {"name", "type"}:
            yield errors.missing_key(where(("datasets", 0, "metrics", number)), "type")


def _written_otherwise(
    keys: tuple[Key, ...], content: Mapping[str, Any], key: str, fields: Mapping[str, Any], where: Where
) -> ConfigurationError | None:
    """Return the error of the unknown key that is meant as one that is missing; None if there is none."""
    meant = written_for(content, key, fields)
    return None if meant is None else errors.unknown_key(where((*keys, meant)), meant, _public(fields))


def _fields_of_launcher() -> Mapping[str, Any]:
    found: Mapping[str, Any] = find_checker().module("launcher.openvino_launcher").OpenVINOLauncher.parameters()
    return found


def _fields_of_dataset() -> Mapping[str, Any]:
    found: Mapping[str, Any] = find_checker().module("dataset").Dataset.parameters()
    return found


def _public(fields: Iterable[str]) -> list[str]:
    return [each for each in fields if not each.startswith("_")]


def _same_metrics(metrics: Sequence[Mapping[str, Any]], where: Where) -> Iterator[ConfigurationError]:
    names = [metric.get("name", metric.get("type")) for metric in metrics]
    for number, name in enumerate(names):
        if name is not None and name in names[:number]:
            yield errors.same_metric_names(where(("datasets", 0, "metrics", number)), str(name))


def _missing_files(entry: Mapping[str, Any], where: Where) -> Iterator[ConfigurationError]:
    """Yield an error for every file or folder that the entry names and that is not there; paths are absolute."""
    path_field = find_checker().module("config").PathField
    dataset = entry["datasets"][0]
    for part in parts_of(entry):
        for key, field in part.parameters.items():
            if isinstance(field, path_field) and field.check_exists:
                yield from _missing((*part.keys, key), part.config.get(key), where, field)
    keys = ["segmentation_masks_source", "additional_data_source"]
    if _reader_name(dataset) not in _without_data_source():
        keys.append("data_source")
    annotation = dataset.get("annotation")
    is_converted = isinstance(annotation, str | Path) and is_there(Path(annotation))
    if "annotation_conversion" not in dataset or is_converted:  # else they are written
        keys += ["annotation", "dataset_meta"]
    for key in keys:
        yield from _missing(("datasets", 0, key), dataset.get(key), where)


def _missing(keys: tuple[Key, ...], value: Any, where: Where, field: Any = None) -> Iterator[ConfigurationError]:
    """Yield an error for a path that is not there, or is a folder where its field takes a file, or the reverse."""
    if not isinstance(value, str | Path):
        return
    key = str(keys[-1])
    if not is_there(Path(value)):
        yield errors.data_missing(Path(value), where(keys), key)
    elif field is not None and (found := field.validate(Path(value), key, fetch_only=True)):
        yield errors.bad_checker_value(where(keys), key, str(value), _reason(found[0].message, key, value))


def _reader_name(dataset: Mapping[str, Any]) -> Any:
    reader = dataset.get("reader", _DEFAULT_READER)
    return reader.get("type") if isinstance(reader, Mapping) else reader


def _without_data_source() -> Sequence[str]:
    found: Sequence[str] = find_checker().module("data_readers.data_reader").DOES_NOT_REQUIRED_DATA_SOURCE
    return found


def parts_of(entry: Mapping[str, Any]) -> Iterator[Part]:
    """Yield the parts that name a class of the checker's, in the order in which data go through them."""
    dataset = entry["datasets"][0]
    for key, kind in _OF_DATASET.items():
        value = dataset.get(key)
        if isinstance(value, list):
            for number, item in enumerate(value):
                yield _part(("datasets", 0, key, number), kind, item)
        elif value is not None:
            yield _part(("datasets", 0, key), kind, value)
    adapter = entry["launchers"][0].get("adapter")
    if adapter is not None:
        yield _part(("launchers", 0, "adapter"), _ADAPTER, adapter)


def _part(keys: tuple[Key, ...], kind: _Kind, value: Any) -> Part:
    if not isinstance(value, Mapping):
        return Part(keys, kind, value, {})
    return Part(keys, kind, value.get(kind.named_by), value)
