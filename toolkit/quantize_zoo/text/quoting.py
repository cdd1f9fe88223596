"""Any text inside of a YAML that is written line by line: as a value, or in a comment."""

from __future__ import annotations

import json

from quantize_zoo.text.documents import TextError
from quantize_zoo.text.from_yaml import parse_yaml


def quoted(text: str) -> str:
    """Return a text as a value, in quotes where it would be something else without."""
    try:
        if text.isprintable() and parse_yaml(f"{{key: {text}}}").data == {"key": text}:
            return text
    except TextError:
        pass
    return in_quotes(text)


def in_quotes(text: str) -> str:
    """Return a text as a value in double quotes, on one line."""
    return _escaped(json.dumps(text, ensure_ascii=False))


def commented(text: str) -> str:
    """Return a text for a comment, on one line."""
    return _escaped(text)


def _escaped(text: str) -> str:
    """Return a text whose characters that are not to be seen are escapes, as YAML reads them in double quotes."""
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in text)
