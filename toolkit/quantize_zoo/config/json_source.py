"""JSON as POT wrote it, with comments and trailing commas, with the line of every key."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from quantize_zoo import errors
from quantize_zoo.config.yaml_source import ConfigSource, key_lines, read_text

_STRING = r'"(?:\\.|[^"\\])*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)
_TAB = re.compile(rf"({_STRING})|\t")


def read_json(path: Path) -> ConfigSource:
    """Read a JSON file.

    Raises:
        ConfigurationError: the file is missing or unreadable, is not JSON, or has a key twice.

    """
    text = read_text(path)
    # What is no string is replaced by as many lines, so that errors name the line of the file.
    text = _COMMENT.sub(lambda match: match[1] or "\n" * match[0].count("\n"), text)
    text = _TRAILING_COMMA.sub(lambda match: match[1] or "", text)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise errors.json_syntax(f"{path}:{error.lineno}", error.msg) from error
    # JSON without tabs is YAML, whose parser knows lines; it reads some numbers differently, so it gives lines only.
    node = yaml.compose(_TAB.sub(lambda match: match[1] or " ", text), Loader=yaml.SafeLoader)
    return ConfigSource(path, data, key_lines(path, node))
