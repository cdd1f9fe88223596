"""To which of some operations everything else in a graph belongs: what an operation computes, up to the next one."""

from __future__ import annotations

from collections.abc import Collection

import openvino as ov


def owners(model: ov.Model, chosen: Collection[str]) -> dict[str, str]:
    """Return the chosen operation that each operation belongs to: itself, or the last one before it.

    What no chosen operation comes before is left out.
    """
    found: dict[str, str] = {}
    position: dict[str, int] = {}
    for number, node in enumerate(model.get_ordered_ops()):
        name = node.get_friendly_name()
        position[name] = number
        if name in chosen:
            found[name] = name
            continue
        before = [value.get_node().get_friendly_name() for value in node.input_values()]
        last = max((found[each] for each in before if each in found), key=position.__getitem__, default=None)
        if last is not None:
            found[name] = last
    return found
