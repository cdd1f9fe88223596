"""Any text inside of a YAML that is written: as a value, or in a comment."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from quantize_zoo.text.documents import TextError
from quantize_zoo.text.from_yaml import parse_yaml

_NUMBERLIKE = re.compile(r"[-+.]?[0-9]")  # what is a number differs between releases of YAML


def quoted(text: str) -> str:
    """Return a text as a value, in quotes where it would be something else without."""
    try:
        if text.isprintable() and not _NUMBERLIKE.match(text) and parse_yaml(f"{{key: {text}}}").data == {"key": text}:
            return text
    except TextError:
        pass
    return in_quotes(text)


def in_quotes(text: str) -> str:
    """Return a text as a value in double quotes, on one line."""
    return _escaped(json.dumps(text, ensure_ascii=False))


def yaml_of(values: Any) -> str:
    """Return plain values as YAML whose texts are texts to readers of YAML 1.1 and of 1.2."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False)


def commented(text: str) -> str:
    """Return a text for a comment, on one line."""
    return _escaped(text)


def _escaped(text: str) -> str:
    """Return a text whose characters that are not to be seen are escapes, as YAML reads them in double quotes."""
    return "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in text)


class _Dumper(yaml.SafeDumper):
    """PyYAML's writer follows YAML 1.1, in which 1e5 is a text."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if quoted(text) == text else '"')


_Dumper.add_representer(str, _text)
