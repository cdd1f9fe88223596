"""The line of an annotation file at which one of the accuracy checker's converters stopped.

Its converters say what Python says, such as "not enough values to unpack". Which line they were at is in the local
variables of the frames that the error came through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

_MOST_BYTES = 50_000_000  # larger files are not searched
_SEPARATORS = re.compile(r"[\s,;]+")


def place_of(error: BaseException, conversion: Mapping[str, Any]) -> str:
    """Return ``file:line`` of what a converter was reading when it failed; nothing where that cannot be told.

    Args:
        error: what the converter raised.
        conversion: its part of the configuration, which names the files.

    """
    lines = [(path, _lines(path)) for path in map(Path, filter(_is_path, conversion.values())) if path.is_file()]
    for value in _values(error):
        for path, numbered in lines:
            if value in numbered:
                return f"{path}:{numbered[value]}"
    return ""


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path)


def _lines(path: Path) -> dict[tuple[str, ...], int]:
    """Return the first line (from 1) by its words; two lines of the same words are equally wrong."""
    if path.stat().st_size > _MOST_BYTES:
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # not a text file
        return {}
    found: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        found.setdefault(_words(line), number)
    return found


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, _SEPARATORS.split(text)))


def _values(error: BaseException) -> Iterator[tuple[str, ...]]:
    """Yield what may be a line, from the innermost frame of the error outwards."""
    frames: list[FrameType] = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(frames):
        if "annotation_converters" in frame.f_code.co_filename:
            for value in frame.f_locals.values():
                words = _as_words(value)
                if words:
                    yield words


def _as_words(value: Any) -> tuple[str, ...]:
    """Return the words of a line as converters hold it: text, a row of texts, or one by its columns' names."""
    if isinstance(value, Mapping):
        value = [each for each in value.values() if each is not None]
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        value = " ".join(value)
    return _words(value) if isinstance(value, str) else ()
