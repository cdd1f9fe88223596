"""The parts of an entry of the accuracy checker's configuration: do their names and keys exist, and their files?

The checker's own classes say which they are. It tells of an unknown name only when it comes to it, of an unknown key in
a warning, and of a file wherever it is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize_zoo import errors
from quantize_zoo.config.yaml_source import Key
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.scoring.checker import find_checker

Where = Callable[[Sequence[Key]], str]  # file:line of keys of the entry


@dataclass(frozen=True)
class _Kind:
    """One of the checker's registers of classes; ``named_by`` is the key that names one of them."""

    label: str
    module: str
    base: str
    named_by: str = "type"

    @property
    def providers(self) -> Mapping[str, Any]:
        """The classes by name."""
        checker = find_checker()
        checker.module(self.module.split(".", maxsplit=1)[0])  # importing the package registers its classes
        found: Mapping[str, Any] = getattr(checker.module(self.module), self.base).providers
        return found


_ADAPTER = _Kind("adapter", "adapters", "Adapter")
_OF_DATASET = {
    "annotation_conversion": _Kind("annotation converter", "annotation_converters", "BaseFormatConverter", "converter"),
    "reader": _Kind("data reader", "data_readers", "BaseReader"),
    "preprocessing": _Kind("preprocessor", "preprocessor", "Preprocessor"),
    "postprocessing": _Kind("postprocessor", "postprocessor", "Postprocessor"),
    "metrics": _Kind("metric", "metrics.metric", "Metric"),
}
_DEFAULT_READER = "opencv_imread"
# Not the checker's: init writes it, see the launcher.
_LAUNCHER_KEYS = ("default_layout",)


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


def unknown_names(entry: Mapping[str, Any], where: Where) -> Iterator[ConfigurationError]:
    """Yield an error for every name of a converter, reader, adapter, and so on that the checker does not have."""
    for part in _parts(entry):
        if part.provider is None:
            yield errors.unknown_checker_name(
                where(part.name_keys), part.kind.label, str(part.name), part.kind.providers
            )


def unknown_keys(entry: Mapping[str, Any], where: Where) -> Iterator[ConfigurationError]:
    """Yield an error for every key that the checker would pass over."""
    module = find_checker().module
    launcher = module("launcher.openvino_launcher").OpenVINOLauncher.parameters()
    if entry["launchers"][0].get("framework") in ("openvino", "dlsdk"):
        yield from _unknown(("launchers", 0), entry["launchers"][0], {*launcher, *_LAUNCHER_KEYS}, where)
    yield from _unknown(("datasets", 0), entry["datasets"][0], module("dataset").Dataset.parameters(), where)
    for part in _parts(entry):
        if part.provider is not None:
            yield from _unknown(part.keys, part.config, {*part.parameters, part.kind.named_by}, where)


def missing_files(entry: Mapping[str, Any], where: Where) -> Iterator[ConfigurationError]:
    """Yield an error for every file or folder that the entry names and that is not there; paths are absolute."""
    module = find_checker().module
    path_field = module("config").PathField
    dataset = entry["datasets"][0]
    for part in _parts(entry):
        for key, field in part.parameters.items():
            if isinstance(field, path_field) and field.check_exists:
                yield from _missing((*part.keys, key), part.config.get(key), where)
    reader = dataset.get("reader", _DEFAULT_READER)
    name = reader.get("type") if isinstance(reader, Mapping) else reader
    if name not in module("data_readers").REQUIRES_ANNOTATIONS:
        yield from _missing(("datasets", 0, "data_source"), dataset.get("data_source"), where)
    for key in ("segmentation_masks_source", "additional_data_source", "dataset_meta"):
        yield from _missing(("datasets", 0, key), dataset.get(key), where)
    if "annotation_conversion" not in dataset:
        yield from _missing(("datasets", 0, "annotation"), dataset.get("annotation"), where)


def _missing(keys: tuple[Key, ...], value: Any, where: Where) -> Iterator[ConfigurationError]:
    if isinstance(value, str | Path) and not Path(value).exists():
        yield errors.data_missing(Path(value), where(keys), str(keys[-1]))


def _unknown(
    keys: tuple[Key, ...], config: Mapping[str, Any], known: Any, where: Where
) -> Iterator[ConfigurationError]:
    public = [key for key in known if not key.startswith("_")]
    for key in config:
        if key not in known and not str(key).startswith("_"):
            yield errors.unknown_key(where((*keys, key)), str(key), public)


def _parts(entry: Mapping[str, Any]) -> Iterator[Part]:
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
