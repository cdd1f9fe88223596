"""Where POT's file says what a model's YAML would say: the keys of the YAML as the file has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quantize_zoo.config.pot.algorithms import Translated
from quantize_zoo.config.pot.engine import CheckerEngine, Engine
from quantize_zoo.config.pot.source import PotSource
from quantize_zoo.config.yaml_source import ConfigSource, Key

_COMPRESSION = ("compression", "algorithms")
_CONTENT = ("accuracy_checker",)
_BASELINES = ("optimizer", "params", "metrics")
_PATHS: dict[tuple[Key, ...], tuple[Key, ...]] = {
    ("model",): ("model", "model"),
    ("definitions",): ("engine", "definitions"),
    ("paths",): ("engine",),
}


@dataclass(frozen=True)
class TranslatedSource(ConfigSource):
    """Values made of a file's, where one of its algorithms may be several: they are called and placed as the file's."""

    file: ConfigSource
    positions: Sequence[int]

    @staticmethod
    def of(file: ConfigSource, data: Any, found: Translated) -> TranslatedSource:
        """Return the values with the file that they are made of, and which of its algorithms each is made of."""
        return TranslatedSource(file.path, data, file.lines, file, [position for position, _ in found.algorithms])

    def where(self, location: Sequence[Key]) -> str:
        """Return the place in the file."""
        keys = self._in_file(location)
        is_of_optimizer = keys[:1] == ("optimizer",) and keys[1:2] != ("params",)
        return self.file.where(("optimizer", "params", *keys[1:]) if is_of_optimizer else keys)

    def named(self, location: Sequence[Key]) -> str:
        """Return the keys in the file."""
        return self.file.named(self._in_file(location))

    def _in_file(self, location: Sequence[Key]) -> tuple[Key, ...]:
        keys = tuple(location)
        depth = len(_COMPRESSION)
        if keys[:depth] != _COMPRESSION or len(keys) == depth:
            return keys
        return (*_COMPRESSION, self.positions[int(keys[depth])], *keys[depth + 1 :])


@dataclass(frozen=True)
class ModelPlaces(ConfigSource):
    """A POT file as a model's YAML: places of the YAML's keys are those of what says the same in the file."""

    translated: TranslatedSource
    engine: Engine
    found: Translated

    @staticmethod
    def of(translated: TranslatedSource, engine: Engine, found: Translated) -> ModelPlaces:
        """Return the places of a file whose algorithms and engine were read."""
        return ModelPlaces(translated.path, None, {}, translated, engine, found)

    def has(self, location: Sequence[Key]) -> bool:
        """Tell whether the file says it, and not an option."""
        keys, file = tuple(location), self.translated.file
        return not isinstance(file, PotSource) or file.option(_PATHS.get(keys, keys)) is None

    def where(self, location: Sequence[Key]) -> str:
        """Return the place in the file, or the option that said it."""
        keys = tuple(location)
        if keys[:1] == _CONTENT and isinstance(self.engine, CheckerEngine):
            return self.engine.where(keys[1:])
        if keys in _PATHS or keys[:1] in _PATHS:
            return self.translated.file.where((*_PATHS[keys[:1]], *keys[1:]))
        position, aware = self.found.aware_position, self.found.accuracy_aware
        if position is None or aware is None or (keys != ("metric",) and keys[: len(_BASELINES)] != _BASELINES):
            return self.translated.where(keys)
        known = [number for number, each in enumerate(aware.metrics) if each.baseline_value is not None]
        number = 0 if keys == ("metric",) else known[int(keys[len(_BASELINES)])]
        return self.translated.file.where((*_COMPRESSION, position, "params", "metrics", number, "name"))
