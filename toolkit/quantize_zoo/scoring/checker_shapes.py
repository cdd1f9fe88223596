"""The shape of the accuracy checker's configuration: what is a list, a mapping or a text, which the checker assumes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from quantize_zoo.text.documents import Key

_STEPS = ("preprocessing", "postprocessing", "metrics")  # of a dataset: lists of mappings, each with a type


def entry_problem(entry: Mapping[str, Any], at: str) -> str:
    """Return what has the wrong shape in a model's entry, which stands at a place; empty if all is well."""
    return next((f"{at}{problem}" for problem in _of_entry(entry)), "")


def keys_of_problem(problem: str) -> tuple[Key, ...]:
    """Return the keys of the place that a problem of an entry begins with."""
    found = re.findall(r"([^.\[\]]+)|\[(\d+)\]", problem.partition(" ")[0])
    return tuple(int(number) if number else key for key, number in found)


def definitions_problem(content: Any) -> str:
    """Return what has the wrong shape in a file of definitions of datasets and launchers; empty if all is well."""
    return next(_of_definitions(content), "")


def _of_entry(entry: Mapping[str, Any]) -> Iterator[str]:
    yield from (f".{problem}" for problem in _text(entry, "name"))
    for key in ("launchers", "datasets"):
        value = entry.get(key)
        if not isinstance(value, list) or not value:
            yield f" needs a list {key!r} with one entry"
            return
    yield from (f".{problem}" for problem in _of_parts(entry))


def _of_definitions(content: Any) -> Iterator[str]:
    if not isinstance(content, dict):
        yield f"definitions are a mapping of lists such as 'datasets' and 'launchers', not {_kind(content)}"
        return
    yield from _of_parts(content)
    for key in _STEPS:
        yield from _steps(content, key)


def _of_parts(content: Mapping[str, Any]) -> Iterator[str]:
    for key, of_one in (("launchers", _of_launcher), ("datasets", _of_dataset)):
        for number, each in _mappings(content, key):
            if isinstance(each, str):
                yield each
                return
            yield from (f"{key}[{number}].{problem}" for problem in of_one(each))


def _of_launcher(launcher: Mapping[str, Any]) -> Iterator[str]:
    yield from _text(launcher, "framework")
    yield from _typed(launcher, "adapter")


def _of_dataset(dataset: Mapping[str, Any]) -> Iterator[str]:
    yield from _text(dataset, "name")
    yield from _typed(dataset, "reader")
    conversion = dataset.get("annotation_conversion")
    if conversion is not None and not isinstance(conversion, dict):
        yield f"annotation_conversion is a mapping, not {_kind(conversion)}"
    elif conversion is not None:
        yield from (f"annotation_conversion.{problem}" for problem in _text(conversion, "converter"))
    for key in _STEPS:
        yield from _steps(dataset, key)


def _steps(content: Mapping[str, Any], key: str) -> Iterator[str]:
    for number, each in _mappings(content, key):
        if isinstance(each, str):
            yield each
            return
        yield from (f"{key}[{number}].{problem}" for name in ("type", "name") for problem in _text(each, name))


def _mappings(content: Mapping[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the mappings of a list with their numbers; in place of what is none, what is wrong with it."""
    listed = content.get(key)
    if listed is None:
        return
    if not isinstance(listed, list):
        yield 0, f"{key} is a list, not {_kind(listed)}"
        return
    for number, each in enumerate(listed):
        yield number, each if isinstance(each, dict) else f"{key}[{number}] is a mapping, not {_kind(each)}"


def _typed(content: Mapping[str, Any], key: str) -> Iterator[str]:
    """Look at what is a name, or a mapping with the name as its type."""
    value = content.get(key)
    if isinstance(value, dict):
        yield from (f"{key}.{problem}" for problem in _text(value, "type"))
    elif value is not None and not isinstance(value, str):
        yield f"{key} is a name or a mapping, not {_kind(value)}"


def _text(content: Mapping[str, Any], key: str) -> Iterator[str]:
    value = content.get(key)
    if value is not None and not isinstance(value, str):
        yield f"{key} is a text, not {_kind(value)}"


def _kind(value: Any) -> str:
    """Say what a value is, or show it if it is short."""
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else repr(value)[:40]
