"""Tables of a terminal: whole names and figures, whatever its width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from quantize_zoo.text.shown import shown

_PROSE = 24  # columns that a text of many words takes at least
_FRAME = 3  # of a column: a line and a space on either side


@dataclass(frozen=True)
class Listing:
    """Rows under headings; ``prose`` are the headings of texts that may be broken between words."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    prose: frozenset[str] = frozenset()


def print_listing(listing: Listing, width: int | None) -> None:
    """Print a table on standard output, or where it would have to cut a name or a figure, a block for each row.

    Args:
        listing: what to print.
        width: columns of the terminal; None where nothing limits them.

    """
    rows = [[shown(text) for text in row] for row in listing.rows]
    if width is None or _needed(listing, rows) <= width:
        Console(width=width or _natural(listing, rows)).print(_table(listing, rows))
        return
    console = Console()
    label = max(map(cell_len, listing.headings))
    if listing.title:
        _line(console, listing.title)
    for row in rows:
        _line(console, row[0])
        for heading, text in zip(listing.headings[1:], row[1:], strict=True):
            start = f"  {heading}{' ' * (label - cell_len(heading))}  "
            room = max(_PROSE, width - label - len("    "))
            for line in wrap(text, room, break_long_words=False, break_on_hyphens=False):
                _line(console, start + line)
                start = " " * cell_len(start)


def _table(listing: Listing, rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*(Column(name, no_wrap=name not in listing.prose) for name in listing.headings))
    table.title = Text(shown(listing.title)) if listing.title else None
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _line(console: Console, text: str) -> None:
    """Print a line that the terminal breaks if it has to, and nobody cuts."""
    console.print(Text(text), soft_wrap=True)


def _needed(listing: Listing, rows: Sequence[Sequence[str]]) -> int:
    """Return the columns without which something would be cut."""
    return sum(
        min(width, max(_PROSE, _longest_word(column))) if name in listing.prose else width
        for name, width, column in _columns(listing, rows)
    ) + _frame(listing)


def _natural(listing: Listing, rows: Sequence[Sequence[str]]) -> int:
    return sum(width for _, width, _ in _columns(listing, rows)) + _frame(listing)


def _frame(listing: Listing) -> int:
    return _FRAME * len(listing.headings) + 1


def _columns(listing: Listing, rows: Sequence[Sequence[str]]) -> list[tuple[str, int, list[str]]]:
    """Return each column's heading, its width, and all of its texts."""
    texts = [[name, *(row[index] for row in rows)] for index, name in enumerate(listing.headings)]
    return [(name, max(map(cell_len, column)), column) for name, column in zip(listing.headings, texts, strict=True)]


def _longest_word(texts: Sequence[str]) -> int:
    return max((cell_len(word) for text in texts for word in text.split()), default=0)
