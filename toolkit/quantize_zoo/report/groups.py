"""What is told of cells, and what is told of many of them at once: one cause is one group with a count."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from quantize_zoo.store import CellRecord
from quantize_zoo.text.slugs import slug

# So many lines of one kind are a group although each has figures of its own; fewer are told one by one.
_MANY = 4
_NAMED = 3  # cells of a group that are named where there is no room for all


@dataclass(frozen=True)
class Line:
    """What is told of one cell.

    ``kind`` is what lines of the same cause have in common although their figures differ; ``same`` is the text without
    the cell's own names, which lines of the same cause share.
    """

    cell: str
    status: str
    text: str
    kind: str = ""
    same: str = ""


@dataclass(frozen=True)
class Group:
    """Lines of the same status and cause, in their order; ``text`` is what they have in common."""

    status: str
    text: str
    lines: tuple[Line, ...]

    @property
    def who(self) -> str:
        """The cells: by name if they are few, else how many, and the first ones."""
        return who([line.cell for line in self.lines])

    @property
    def alike(self) -> bool:
        """Whether the common text is all that there is to tell."""
        return len(self.lines) == 1 or len({line.same or line.text for line in self.lines}) == 1


def who(cells: list[str]) -> str:
    """Name cells: ``a, b``; of many their number and the first ones, ``150 cells (a, b, c and 147 more)``."""
    if len(cells) <= _NAMED:
        return ", ".join(cells)
    return f"{len(cells)} cells ({', '.join(cells[:_NAMED])} and {len(cells) - _NAMED} more)"


def line_of(cell: CellRecord, name: str, status: str, text: str, kind: str = "") -> Line:
    """Return a line of a cell; what the text calls the cell is no other cause."""
    return Line(name, status, text, kind, _without_names(text, cell))


def grouped(lines: Iterable[Line]) -> list[Group]:
    """Put lines together that tell the same, in the order of their first ones."""
    by_text: dict[tuple[str, str, str], list[Line]] = {}
    for line in lines:
        by_text.setdefault((line.status, line.kind, line.same or line.text), []).append(line)
    by_kind: dict[tuple[str, str], int] = {}
    for (status, kind, _), each in by_text.items():
        by_kind[status, kind] = by_kind.get((status, kind), 0) + len(each)
    found: dict[tuple[str, ...], list[Line]] = {}
    for key, each in by_text.items():
        status, kind, _ = key
        many = kind and by_kind[status, kind] >= _MANY
        found.setdefault((status, kind) if many else key, []).extend(each)
    return [_group(each) for each in found.values()]


def _group(lines: list[Line]) -> Group:
    first = lines[0]
    if len(lines) == 1:
        return Group(first.status, first.text, (first,))
    texts = {line.text for line in lines}
    same = {line.same or line.text for line in lines}
    text = first.text if len(texts) == 1 else same.pop() if len(same) == 1 else first.kind
    return Group(first.status, text, tuple(lines))


def _without_names(text: str, cell: CellRecord) -> str:
    for name, put in ((cell.name, "<cell>"), (slug(cell.name), "<cell>"), (cell.model, "<model>")):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", put, text)
    return text
