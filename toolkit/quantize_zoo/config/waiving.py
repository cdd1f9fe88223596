"""A waiver written into a matrix; comments and order of the file stay."""

from __future__ import annotations

import io
import re
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from quantize_zoo import errors
from quantize_zoo.config.gate import Waiver
from quantize_zoo.config.yaml_source import read_text, read_yaml
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.text.files import write_whole

_WIDTH = 120


def takes_waivers(path: Path) -> bool:
    """Tell whether a file is a matrix, in which waivers can stand; one that cannot be read here is taken for one."""
    try:
        data = read_yaml(path).data
    except ConfigurationError:
        return path.suffix in (".yml", ".yaml")
    return isinstance(data, dict) and "models" in data


def add_waiver(path: Path, waiver: Waiver) -> None:
    """Add a waiver to a matrix file; one of the same cell and check that is there already is replaced.

    Raises:
        ConfigurationError: the file is one model's YAML, which has no waivers, or it cannot be read or written.

    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    text = read_text(path)
    indented = re.search(r"^( *)- ", text, re.MULTILINE)
    offset = len(indented[1]) if indented else 0
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
    try:
        matrix = yaml.load(text)
    except YAMLError as error:
        raise errors.yaml_syntax(str(path), str(error)) from error
    if not isinstance(matrix, CommentedMap) or "models" not in matrix:
        raise errors.no_matrix_to_waive(path)
    added = CommentedMap(waiver.model_dump(exclude_defaults=True))
    added.fa.set_flow_style()
    if not matrix.get("waivers"):
        matrix["waivers"] = CommentedSeq()
    listed = matrix["waivers"]
    same = [index for index, each in enumerate(listed) if (each["cell"], each["check"]) == (waiver.cell, waiver.check)]
    if same:
        listed[same[0]] = added
    else:
        listed.append(added)
    stream = io.StringIO()
    yaml.dump(matrix, stream)
    try:
        write_whole(path, stream.getvalue())
    except OSError as error:
        raise errors.matrix_unwritable(path, error.strerror or str(error)) from error
