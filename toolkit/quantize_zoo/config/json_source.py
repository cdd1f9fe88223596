"""JSON as POT wrote it, with comments and trailing commas, with the line of every key."""

from __future__ import annotations

from pathlib import Path

from quantize_zoo import errors
from quantize_zoo.config.yaml_source import ConfigSource, read_text, source_of
from quantize_zoo.text.from_json import parse_json


def read_json(path: Path) -> ConfigSource:
    """Read a JSON file.

    Raises:
        ConfigurationError: the file is missing or unreadable, is not JSON, has a key twice, or is beyond a limit.

    """
    return source_of(path, read_text(path), parse_json, errors.json_syntax)
