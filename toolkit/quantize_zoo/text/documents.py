"""What text is read into: plain values with the line of every key, within limits; whatever the syntax.

Plain values are mappings, lists, texts, whole numbers of 64 bits, finite numbers, booleans and null: what JSON has. The
readers of YAML and JSON hand over what they meet, piece by piece; nothing here recurses, and an alias is the value that
it names, not a copy of it, so that neither depth nor aliases cost more than the text is long.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = str | int

# The largest configuration of Open Model Zoo has 60 kB and 4,000 values, ten levels deep.
LARGEST_TEXT = 512 * 1024  # bytes; PyYAML reads so much in 2 s
MOST_VALUES = 50_000  # with each alias counted as the values that it stands for, for whoever walks them
DEEPEST = 50  # levels of mappings and lists
INTEGER_BITS = 64

_LARGEST_INTEGER = 2 ** (INTEGER_BITS - 1) - 1
_LONGEST_INTEGER = len(str(_LARGEST_INTEGER)) + 1  # digits and a sign
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_NO_KEY = object()
_MERGE = object()


class TextError(ValueError):
    """A text cannot be read, because of a problem in a line (from 1)."""

    def __init__(self, line: int, problem: str, remedy: str = "correct the line named above") -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem
        self.remedy = remedy


class SyntaxProblemError(TextError):
    """It does not follow the syntax."""


class LimitError(TextError):
    """It follows the syntax, and is too much."""


class RepeatedKeyError(TextError):
    """A mapping has a key twice."""

    def __init__(self, line: int, key: str) -> None:
        super().__init__(line, f"key {key!r} appears twice", "remove one of the two")
        self.key = key


@dataclass(frozen=True)
class Document:
    """The plain values of a text, and the line (from 1) where each key path starts.

    What stands behind an alias or came by a merge has no line of its own.
    """

    data: Any
    lines: dict[tuple[Key, ...], int]


def integer(text: str, line: int, base: int = 10) -> int:
    """Return a whole number written in digits to a base.

    Raises:
        LimitError: it does not fit into 64 bits.

    """
    if len(text) <= _LONGEST_INTEGER:
        value = int(text, base)
        if -_LARGEST_INTEGER - 1 <= value <= _LARGEST_INTEGER:
            return value
    digits = len(text.lstrip("+-"))
    raise LimitError(line, f"a whole number of {digits} digits, and at most {INTEGER_BITS} bits are read")


def real(text: str, line: int) -> float:
    """Return a number with a fraction or an exponent.

    Raises:
        LimitError: it is larger than a number can be.

    """
    value = float(text)
    if not math.isfinite(value):
        raise LimitError(line, f"{text[:40]} is no finite number", "write a finite number")
    return value


def require_size(size: int) -> None:
    """Refuse a text of more bytes than a configuration has.

    Raises:
        LimitError: it is such a text.

    """
    if size > LARGEST_TEXT:
        raise LimitError(1, f"it has more than {LARGEST_TEXT:,} bytes", "name the right file")


def file_text(path: Path) -> str:
    """Return the text of a file, of which no more is read than a configuration has.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is not UTF-8, or larger (``LimitError``); or no file has such a name.

    """
    with path.open("rb") as stream:
        content = stream.read(LARGEST_TEXT + 1)
    require_size(len(content))
    return content.decode("utf-8")


@dataclass
class _Whole:
    """A value that is complete, as many values as it is, and how many levels it has."""

    value: Any
    count: int
    levels: int


@dataclass
class _Open:
    """A mapping or list whose end has not been met."""

    value: dict[Any, Any] | list[Any]
    path: tuple[Key, ...]
    anchor: str | None
    key: Any = _NO_KEY
    count: int = 1
    levels: int = 1
    merged: dict[Any, Any] = field(default_factory=dict)


class Builder:
    """Puts plain values together from what a reader meets; every method raises ``TextError`` with the line."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, _Whole | None] = {}
        self._lines: dict[tuple[Key, ...], int] = {}
        self._count = 0
        self._data: Any = None

    def document(self) -> Document:
        """Return what was read."""
        return Document(self._data, self._lines)

    def start(self, value: dict[Any, Any] | list[Any], line: int, anchor: str | None = None) -> None:
        """Begin a mapping or a list, empty as yet."""
        path = self._place(line, "a mapping or a list")
        if len(self._open) >= DEEPEST:
            raise LimitError(line, f"more than {DEEPEST} levels of mappings and lists", "write it flatter")
        if anchor is not None:
            self._anchors[anchor] = None
        self._open.append(_Open(value, path, anchor))

    def end(self, line: int) -> None:
        """End the mapping or list that was begun last."""
        ended = self._open.pop()
        if isinstance(ended.value, dict):
            for key, value in ended.merged.items():
                ended.value.setdefault(key, value)
        self._keep(_Whole(ended.value, ended.count, ended.levels), line, ended.anchor)

    def scalar(self, value: Any, line: int, anchor: str | None = None) -> None:
        """Add a text, number, boolean or null; in a mapping it is in turn a key and a value."""
        if isinstance(value, str) and (found := _NO_TEXT.search(value)):
            raise SyntaxProblemError(line, f"character U+{ord(found[0]):04X} in a text", "remove it")
        if self.wants_key():
            self._begin_key(value, line)
            if anchor is not None:
                self._anchors[anchor] = _Whole(value, 1, 0)
            return
        self._place(line, "")
        self._keep(_Whole(value, 1, 0), line, anchor)

    def wants_key(self) -> bool:
        """Tell whether the next value is a mapping's key."""
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is _NO_KEY

    def merge(self, line: int) -> None:
        """Begin a key whose value, a mapping or a list of some, is taken into this mapping where it has no key."""
        self._begin_key(_MERGE, line)

    def alias(self, anchor: str, line: int) -> None:
        """Add the value of an anchor again."""
        if anchor not in self._anchors:
            raise SyntaxProblemError(line, f"found undefined alias {anchor!r}")
        named = self._anchors[anchor]
        if named is None:
            raise SyntaxProblemError(line, f"alias {anchor!r} stands inside of what it names")
        if self.wants_key():
            if named.levels:
                raise SyntaxProblemError(line, "a key is a single value, not a mapping or a list")
            self._begin_key(named.value, line)
            return
        self._place(line, "")
        if len(self._open) + named.levels > DEEPEST:
            raise LimitError(line, f"more than {DEEPEST} levels of mappings and lists", "write it flatter")
        self._count += named.count - 1
        self._keep(named, line, None)

    def _begin_key(self, key: Any, line: int) -> None:
        inside = self._open[-1]
        assert isinstance(inside.value, dict), "only mappings have keys"
        if key is not _MERGE and key in inside.value:
            raise RepeatedKeyError(line, str(key))
        inside.key = key
        if key is not _MERGE:
            path = (*inside.path, str(key))
            self._lines[path] = line

    def _place(self, line: int, what: str) -> tuple[Key, ...]:
        """Return the path of what begins here, and count it."""
        self._count += 1
        if self._count > MOST_VALUES:
            raise LimitError(line, f"more than {MOST_VALUES:,} values, aliases counted as what they name")
        if not self._open:
            self._lines.setdefault((), line)
            return ()
        inside = self._open[-1]
        if isinstance(inside.value, list):
            path = (*inside.path, len(inside.value))
            self._lines[path] = line
            return path
        if inside.key is _NO_KEY and what:
            raise SyntaxProblemError(line, f"a key is a single value, not {what}")
        return inside.path if inside.key is _MERGE else (*inside.path, str(inside.key))

    def _keep(self, whole: _Whole, line: int, anchor: str | None) -> None:
        """Put a complete value into its place."""
        if self._count > MOST_VALUES:
            raise LimitError(line, f"more than {MOST_VALUES:,} values, aliases counted as what they name")
        if anchor is not None:
            self._anchors[anchor] = whole
        if not self._open:
            self._data = whole.value
            return
        inside = self._open[-1]
        inside.count += whole.count
        inside.levels = max(inside.levels, 1 + whole.levels)
        if isinstance(inside.value, list):
            inside.value.append(whole.value)
            return
        if inside.key is _MERGE:
            self._merge_into(inside, whole.value, line)
        else:
            inside.value[inside.key] = whole.value
        inside.key = _NO_KEY

    def _merge_into(self, inside: _Open, value: Any, line: int) -> None:
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(each, dict) for each in listed):
            raise SyntaxProblemError(line, "'<<' takes a mapping, or a list of mappings")
        for each in listed:
            for key, taken in each.items():
                inside.merged.setdefault(key, taken)
