"""Whether two model files compute the same, by all that an IR says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from defusedxml import ElementTree

_NAMES = frozenset({"name", "names", "output_names"})  # of layers and tensors
_HISTORY = frozenset({"fused_names"})  # what a layer was made of


def same_model(first: Path, second: Path) -> bool:
    """Tell whether two IRs have the same weights and the same graph: operations, attributes, types, shapes and edges.

    Names make no difference. Files that are no IRs, or lack their weights, are the same only if their bytes are.
    """
    if first.read_bytes() == second.read_bytes() and _weights(first) == _weights(second):
        return True
    if {first.suffix, second.suffix} != {".xml"} or _weights(first) is None or _weights(first) != _weights(second):
        return False
    return bool(_graph(first) == _graph(second))


def _weights(path: Path) -> bytes | None:
    beside = path.with_suffix(".bin")
    return beside.read_bytes() if path.suffix == ".xml" and beside.is_file() else None


def _graph(path: Path) -> Any:
    root = ElementTree.parse(path).getroot()
    about = root.find("rt_info")
    options = [] if about is None else about.findall("runtime_options")
    parts = [each for each in root if each.tag != "rt_info"]
    return [_plain(each) for each in [*parts, *options]]


def _plain(element: Any) -> Any:
    attributes = {key: value for key, value in element.attrib.items() if element.tag == "data" or key not in _NAMES}
    children = [each for each in element if not (element.tag == "rt_info" and each.get("name") in _HISTORY)]
    if element.tag == "rt_info":  # its attributes are told apart by their names
        return element.tag, sorted(sorted(each.attrib.items()) for each in children)
    return element.tag, attributes, (element.text or "").strip(), [_plain(each) for each in children]
