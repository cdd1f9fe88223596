"""The file, and the line in it, at which one of the accuracy checker's converters stopped.

Its converters say what Python says, such as "not enough values to unpack". Which file and line they were at is in the
error, or in the local variables of the frames that it came through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any
from xml.etree.ElementTree import ParseError  # raised by whatever parser; nothing is parsed here

from quantize_zoo.text.paths import is_file, is_there

_MOST_BYTES = 50_000_000  # larger files are not searched
_SEPARATORS = re.compile(r"[\s,;]+")


def place_of(error: BaseException, conversion: Mapping[str, Any]) -> str:
    """Return ``file:line`` of what a converter was reading when it failed, or the file alone; nothing if neither.

    Args:
        error: what the converter raised.
        conversion: its part of the configuration, which names the files.

    """
    files = [path for path in map(Path, filter(_is_path, conversion.values())) if is_file(path)]
    if (parsed := _parsed(error, files)) is not None:
        return parsed
    lines = [(path, _lines(path)) for path in files]
    for value in _values(error):
        for path, numbered in lines:
            if value in numbered:
                return f"{path}:{numbered[value]}"
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError | PermissionError):
        return ""  # the error names the file
    read = _read(error)
    if read is None or read in files:  # of several it may be any: which is read is said by attributes, if at all
        return " or ".join(map(str, dict.fromkeys(files)))
    return str(read)


def _read(error: BaseException) -> Path | None:
    """Return the file that the innermost frame of the checker was at; None if it was at none, or at several."""
    for frame in _frames(error):
        if "accuracy_checker" in frame.f_code.co_filename:
            paths = {Path(value) for value in frame.f_locals.values() if _is_path(value)}
            found = [path for path in paths if is_file(path)]
            if found:
                return found[0] if len(found) == 1 else None
    return None


def missing_file(error: BaseException) -> Path | None:
    """Return the file that a converter found missing, and stumbled over when it was to say so; None if it did not.

    Converters tell of missing files in a list that they have where they are asked to check the content only.
    """
    if "'NoneType' object has no attribute 'append'" not in str(error):
        return None
    paths = [Path(value) for value in _frames(error)[0].f_locals.values() if isinstance(value, Path)]
    return next((path for path in paths if not is_there(path)), None)


def _parsed(error: BaseException, files: list[Path]) -> str | None:
    """Return where JSON or XML stopped being such; None where the error is another one."""
    if isinstance(error, json.JSONDecodeError):
        read = filter(None, [*files, _read(error)])
        return next((f"{path}:{error.lineno}" for path in read if _text(path) == error.doc), "")
    if isinstance(error, ParseError):
        paths = [value for frame in _frames(error) for value in frame.f_locals.values() if _is_path(value)]
        return next((f"{path}:{error.position[0]}" for path in map(Path, paths) if is_file(path)), "")
    return None


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path)


def _lines(path: Path) -> dict[tuple[str, ...], int]:
    """Return the first line (from 1) by its words; two lines of the same words are equally wrong."""
    text = _text(path)
    found: dict[tuple[str, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        found.setdefault(_words(line), number)
    return found


def _text(path: Path) -> str:
    """Return a file's text; none of what is no text, or too large to be searched."""
    try:
        return path.read_text(encoding="utf-8") if path.stat().st_size <= _MOST_BYTES else ""
    except (OSError, UnicodeDecodeError):
        return ""


def _words(text: str) -> tuple[str, ...]:
    return tuple(filter(None, _SEPARATORS.split(text)))


def _values(error: BaseException) -> Iterator[tuple[str, ...]]:
    """Yield what may be a line, from the innermost frame of the error outwards."""
    for frame in _frames(error):
        if "annotation_converters" in frame.f_code.co_filename:
            for value in frame.f_locals.values():
                words = _as_words(value)
                if words:
                    yield words


def _frames(error: BaseException) -> list[FrameType]:
    """Return the frames that an error came through, the innermost first."""
    return [frame for frame, _ in walk_tb(error.__traceback__)][::-1]


def _as_words(value: Any) -> tuple[str, ...]:
    """Return the words of a line as converters hold it: text, a row of texts, or one by its columns' names."""
    if isinstance(value, Mapping):
        value = [each for each in value.values() if each is not None]
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        value = " ".join(value)
    return _words(value) if isinstance(value, str) else ()
