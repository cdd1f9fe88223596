"""YAML into plain values.

PyYAML's parser says what a text consists of. What that is worth is told here, for its loaders make dates and numbers to
the base of 60, walk what an alias names as often as it is named, and stop by whatever Python raises. A value without
quotes is null, a boolean as in YAML 1.1 (which the accuracy checker reads), a number as in YAML 1.2, or a text:
``010``, ``1:30`` and ``2026-11-26`` are texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from quantize_zoo.text.documents import (
    Builder,
    Document,
    LimitError,
    SyntaxProblemError,
    integer,
    real,
    require_size,
)

# libyaml where PyYAML was built with it, as its wheels are: it takes a twentieth of the time.
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = "tag:yaml.org,2002:"
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"yes|Yes|YES|true|True|TRUE|on|On|ON")
_FALSE = re.compile(r"no|No|NO|false|False|FALSE|off|Off|OFF")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_REAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORTH: dict[str, type] = {"null": type(None), "bool": bool, "int": int, "float": float}


def parse_yaml(text: str) -> Document:
    """Return the plain values of one YAML document; of an empty text, null.

    Raises:
        TextError: it is not YAML, makes more than plain values, has a key twice, or is beyond a limit.

    """
    require_size(len(text.encode("utf-8", "surrogatepass")))
    builder = Builder()
    documents = 0
    for event in _events(text):
        _take(builder, event)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise SyntaxProblemError(_line_of(event), "there is a second document below '---'")
    return builder.document()


def _events(text: str) -> Iterator[Any]:
    """Yield what a text consists of, as PyYAML calls it."""
    try:
        yield from yaml.parse(text, Loader=_PARSER)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        line = min(line, text.count("\n") + 1)  # libyaml has one more line behind the last
        raise SyntaxProblemError(line, error.problem or error.context or "not YAML") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SyntaxProblemError(line, f"character U+{error.character:04X} cannot stand in YAML") from error
    except (ValueError, OverflowError) as error:  # escapes of what is no character, versions of many digits
        raise SyntaxProblemError(1, f"an escape or a directive cannot be read: {error}") from error


def _take(builder: Builder, event: Any) -> None:
    line = _line_of(event)
    if isinstance(event, yaml.ScalarEvent):
        value = _value_of(event, line)
        plain = not event.style and event.tag is None
        if plain and event.value == "<<" and builder.wants_key():
            builder.merge(line)
        else:
            builder.scalar(value, line, event.anchor)
    elif isinstance(event, yaml.AliasEvent):
        builder.alias(str(event.anchor), line)
    elif isinstance(event, yaml.MappingStartEvent):
        _require_tag(event, "map", line)
        builder.start({}, line, event.anchor)
    elif isinstance(event, yaml.SequenceStartEvent):
        _require_tag(event, "seq", line)
        builder.start([], line, event.anchor)
    elif isinstance(event, yaml.CollectionEndEvent):
        builder.end(line)


def _line_of(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _require_tag(event: Any, kind: str, line: int) -> None:
    if event.tag not in (None, "!", _TAGS + kind):
        raise SyntaxProblemError(line, f"the tag {_short(event.tag)} makes no plain value", "remove the tag")


def _value_of(event: Any, line: int) -> Any:
    """Return what a scalar is worth, by its tag if it has one."""
    text: str = event.value
    if event.tag is None:
        return text if event.style else _resolved(text, line)
    if event.tag in ("!", f"{_TAGS}str"):
        return text
    kind = event.tag.removeprefix(_TAGS)
    if kind not in _WORTH or not event.tag.startswith(_TAGS):
        raise SyntaxProblemError(line, f"the tag {_short(event.tag)} makes no plain value", "remove the tag")
    value = _resolved(text, line)
    if kind == "float" and type(value) is int:
        return float(value)
    if type(value) is not _WORTH[kind]:
        raise SyntaxProblemError(line, f"{text[:40]!r} is no !!{kind}", "correct the value, or remove the tag")
    return value


def _resolved(text: str, line: int) -> float | str | None:
    """Return what a text without quotes and tag is worth."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text):
        return True
    if _FALSE.fullmatch(text):
        return False
    if _INTEGER.fullmatch(text):
        return integer(text, line)
    if _HEXADECIMAL.fullmatch(text):
        return integer(text, line, base=16)
    if _REAL.fullmatch(text):
        return real(text, line)
    if _NOT_FINITE.fullmatch(text):
        raise LimitError(line, f"{text} is no finite number", "write a finite number")
    return text


def _short(tag: str) -> str:
    return ascii(tag.replace(_TAGS, "!!")[:40])
