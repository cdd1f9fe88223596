"""YAML text with the line of every key, so that a validation error can point at it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from quantize_zoo import errors
from quantize_zoo.config.file_kinds import POT, kind_of_content, kind_of_values, refuse_kind
from quantize_zoo.text.documents import (
    Document,
    Key,
    LimitError,
    RepeatedKeyError,
    TextError,
    file_text,
)
from quantize_zoo.text.from_json import parse_json
from quantize_zoo.text.from_yaml import parse_yaml
from quantize_zoo.text.paths import is_file

__all__ = ["ConfigSource", "Key", "read_text", "read_yaml", "source_of", "validate"]

# What pydantic calls by Python's names, and who writes YAML does not.
_IN_PYTHON = re.compile(r"(a valid dictionary(?: or instance of \w+)?)|(?:valid )?tuple", re.IGNORECASE)
_CLASS = re.compile(r" (?:for|of) <class '[^']*'>")
_OF_KEYS = "[key]"  # pydantic's, of what is wrong with a mapping's key and not with its value
_BEGINNING = 64  # bytes that tell what else a file is
_SECRET_KEY = "notify"
Schema = TypeVar("Schema", bound=BaseModel)


@dataclass(frozen=True)
class ConfigSource:
    """The parsed content of a file, and the line (from 1) where each key path starts."""

    path: Path
    data: Any
    lines: dict[tuple[Key, ...], int]

    def where(self, location: Sequence[Key]) -> str:
        """Return ``file:line`` of the key path, or of its nearest ancestor that the file has."""
        keys = tuple(location)
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.path}:{self.lines.get(keys, 1)}"

    def has(self, location: Sequence[Key]) -> bool:
        """Tell whether the file has this key path."""
        return tuple(location) in self.lines

    def named(self, location: Sequence[Key]) -> str:
        """Return what a message calls a key path: its keys, as the file has them."""
        return ".".join(map(str, location))


def read_yaml(path: Path, named_by: str = "") -> ConfigSource:
    """Read a YAML file.

    Raises:
        ConfigurationError: the file is missing or unreadable, is not YAML, has a key twice, or is beyond a limit.

    """
    text = read_text(path, named_by)
    try:
        return source_of(path, text, parse_yaml, errors.yaml_syntax)
    except errors.ConfigurationError:
        _refuse_json(path, text)
        raise


def _refuse_json(path: Path, text: str) -> None:
    """Refuse JSON with comments, which is no YAML, as what it is."""
    with suppress(TextError):
        found = kind_of_values(parse_json(text).data, POT)
        if found is not None:
            refuse_kind(found, "YAML", path, str(path))


def source_of(
    path: Path,
    text: str,
    parse: Callable[[str], Document],
    syntax_error: Callable[[str, str, str], errors.ConfigurationError],
) -> ConfigSource:
    """Parse the text of a file; what is wrong with it names the file's line.

    Raises:
        ConfigurationError: it does not follow the syntax, has a key twice, or is beyond a limit.

    """
    try:
        document = parse(text)
    except TextError as error:
        where = f"{path}:{error.line}"
        if isinstance(error, RepeatedKeyError):
            raise errors.duplicate_key(where, error.key) from error
        if isinstance(error, LimitError):
            raise errors.too_much(where, error.problem, error.remedy) from error
        raise syntax_error(where, error.problem, error.remedy) from error
    return ConfigSource(path, document.data, document.lines)


def validate(schema: type[Schema], source: ConfigSource) -> Schema:
    """Turn the source into a value of the schema.

    Raises:
        ConfigurationError: the first thing that does not fit, with file, line, key and what is allowed.

    """
    if source.data is None:
        raise errors.empty_file(source.where(()))
    try:
        return schema.model_validate(source.data)
    except ValidationError as error:
        raise _translate(schema, source, _first(error.errors())) from error


def _first(details: Sequence[ErrorDetails]) -> ErrorDetails:
    """Return what to tell first: rather than a missing key an unknown one beside it, which may be meant as it."""
    first = details[0]
    beside = (each for each in details if each["loc"][:-1] == first["loc"][:-1])
    unknown = (each for each in beside if each["type"] == "extra_forbidden")
    return next(unknown, first) if first["type"] == "missing" else first


def read_text(path: Path, named_by: str = "") -> str:
    """Return a file's text.

    Raises:
        ConfigurationError: the file is missing, unreadable, or larger than any configuration.

    """
    if not is_file(path):
        raise errors.file_missing(path, named_by)
    try:
        with path.open("rb") as stream:
            found = kind_of_content(stream.read(_BEGINNING))
        if found is not None:
            refuse_kind(found, "configuration", path, str(path))
        return file_text(path)
    except LimitError as error:
        raise errors.too_much(str(path), error.problem, error.remedy) from error
    except (OSError, UnicodeDecodeError) as error:
        raise errors.file_unreadable(path, str(error)) from error


def _translate(schema: type[BaseModel], source: ConfigSource, detail: ErrorDetails) -> errors.ConfigurationError:
    location, fields = _locate(schema, source.data, detail["loc"])
    where = source.where(location)
    key = source.named(location) or "the file"
    value, context = _shown(location, detail["input"]), detail.get("ctx", {})
    if detail["type"] == "extra_forbidden":
        return errors.unknown_key(where, key, fields)
    if detail["type"] == "missing":
        return errors.missing_key(where, key)
    if detail["type"] == "literal_error" and isinstance(value, str):
        return errors.unknown_value(where, key, value, _quoted(context["expected"]))
    if detail["type"] == "union_tag_invalid":
        return errors.unknown_value(where, f"{key}.name", str(context["tag"]), _quoted(context["expected_tags"]))
    if detail["type"] == "union_tag_not_found":
        return errors.missing_key(where, f"{key}.name")
    problem = detail["msg"].removeprefix("Value error, ")
    problem = _IN_PYTHON.sub(lambda found: "a mapping" if found[1] else "list", _CLASS.sub("", problem))
    problem = problem[:1].lower() + problem[1:]
    if detail["type"] == "value_error" and isinstance(value, dict):
        return errors.bad_mapping(where, key, problem)
    return errors.bad_value(where, key, value, problem)


def _shown(location: Sequence[Key], value: Any) -> Any:
    """Return a value for a message; an address to notify is a secret that does not belong into the file."""
    return "***" if location[:1] == (_SECRET_KEY,) and "://" in str(value) else value


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _locate(schema: type[BaseModel], data: Any, location: Sequence[Key]) -> tuple[tuple[Key, ...], list[str]]:
    """Return the location in the file, without the tags of unions, and the keys allowed where its last one stands."""
    keys: list[Key] = []
    current: Any = schema
    fields: list[str] = list(schema.model_fields)
    for index, key in enumerate(location):
        members = _models(current)
        named = isinstance(data, dict) and key in data and data.get("name") != key
        tagged = index and isinstance(location[index - 1], int) and not named
        member = next((each for each in members if each.__name__ == key), None) if tagged else None
        if member is not None:
            current = member
            continue
        is_field = any(key in each.model_fields for each in members)
        is_there = isinstance(data, dict) and key in data
        if key == _OF_KEYS or (isinstance(key, str) and not is_there and not is_field):
            continue  # no key, but the tag of a value that may be of several types
        keys.append(key)
        if isinstance(key, str) and members:
            fields = list(members[0].model_fields)
            current = members[0].model_fields[key].annotation if key in members[0].model_fields else None
        data = _child(data, key)
    return tuple(keys), fields


def _child(data: Any, key: Key) -> Any:
    try:
        return data[key]
    except (KeyError, IndexError, TypeError):
        return None


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]
