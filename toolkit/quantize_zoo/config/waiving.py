"""A waiver written into a matrix; comments and order of the file stay."""

from __future__ import annotations

import io
import re
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from quantize_zoo import errors
from quantize_zoo.config.gate import Waiver
from quantize_zoo.config.yaml_source import read_text, read_yaml, source_of
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.text.files import write_whole
from quantize_zoo.text.from_yaml import parse_yaml

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
        ConfigurationError: the file is one model's YAML, which has no waivers, or it cannot be read or written, or
            not written without changing what else it says.

    """
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    text = read_text(path)
    indented = re.search(r"^( *)- ", text, re.MULTILINE)
    offset = len(indented[1]) if indented else 0
    yaml.indent(mapping=2, sequence=offset + 2, offset=offset)
    source = source_of(path, text, parse_yaml, errors.yaml_syntax)
    if not isinstance(source.data, dict) or "models" not in source.data:
        raise errors.no_matrix_to_waive(path)
    wanted = waiver.model_dump(mode="json", exclude_defaults=True)
    added = CommentedMap(waiver.model_dump(exclude_defaults=True))  # whose date is one, which needs no quotes
    added.fa.set_flow_style()
    plain = source.data.get("waivers") or []
    same = [index for index, each in enumerate(plain) if (each["cell"], each["check"]) == (waiver.cell, waiver.check)]
    place = same[0] if same else len(plain)
    try:
        matrix = yaml.load(text)
        if not matrix.get("waivers"):
            matrix["waivers"] = CommentedSeq()
        if same:
            matrix["waivers"][place] = added
        else:
            matrix["waivers"].append(added)
        stream = io.StringIO()
        yaml.dump(matrix, stream)
        written = parse_yaml(stream.getvalue()).data
    except Exception as error:  # it makes more of a text than plain values, and raises what that raises
        raise errors.matrix_not_kept(path, type(error).__name__) from error
    if written != {**source.data, "waivers": [*plain[:place], wanted, *plain[place + 1 :]]}:
        raise errors.matrix_not_kept(path, "it would say something else")
    try:
        write_whole(path, stream.getvalue())
    except OSError as error:
        raise errors.matrix_unwritable(path, error.strerror or str(error)) from error
