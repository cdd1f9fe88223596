"""Tables of a terminal: whole names and figures, whatever its width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap

from rich.box import HEAVY_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console
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
    columns = _columns(listing, rows)
    if width is None or sum(each.least for each in columns) + _frame(columns) <= width:
        lines = _table(listing, rows, _widths(columns, width))
    else:
        lines = _blocks(listing, rows, width)
    for line in lines:
        print(line)


@dataclass(frozen=True)
class _Column:
    """How wide a column is, and must be at least."""

    width: int
    least: int


def _columns(listing: Listing, rows: Sequence[Sequence[str]]) -> list[_Column]:
    columns = []
    for index, name in enumerate(listing.headings):
        texts = [name, *(row[index] for row in rows)]
        width = max(map(cell_len, texts))
        least = min(width, max(_PROSE, _longest_word(texts))) if name in listing.prose else width
        columns.append(_Column(width, least))
    return columns


def _widths(columns: Sequence[_Column], limit: int | None) -> list[int]:
    """Return how wide columns are made: as wide as they are, but for prose where there is no room for that."""
    widths = [each.width for each in columns]
    while limit is not None and sum(widths) + _frame(columns) > limit:
        _, _, widest = max((widths[at], -at, at) for at, each in enumerate(columns) if widths[at] > each.least)
        widths[widest] -= 1
    return widths


def _frame(columns: Sequence[_Column]) -> int:
    return _FRAME * len(columns) + 1


def _table(listing: Listing, rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Give the lines of a table in a frame of Rich, whose own tables take most of a millisecond a row."""
    frame = HEAVY_HEAD.substitute(Console().options)
    framed = [width + len("  ") for width in widths]
    if listing.title:
        yield shown(listing.title).center(sum(framed) + len(framed) + 1).rstrip()
    yield frame.get_top(framed)
    yield from _row(listing.headings, widths, (frame.head_left, frame.head_vertical, frame.head_right))
    yield frame.get_row(framed, "head")
    for row in rows:
        yield from _row(row, widths, (frame.mid_left, frame.mid_vertical, frame.mid_right))
    yield frame.get_bottom(framed)


def _row(texts: Sequence[str], widths: Sequence[int], bars: tuple[str, str, str]) -> Iterator[str]:
    """Give the lines of a row: more than one where a text is wider than its column."""
    left, between, right = bars
    cells = [_wrapped(text, width) for text, width in zip(texts, widths, strict=True)]
    for line in zip_longest(*cells, fillvalue=""):
        padded = (f" {set_cell_size(part, width)} " for part, width in zip(line, widths, strict=True))
        yield f"{left}{between.join(padded)}{right}"


def _wrapped(text: str, width: int) -> list[str]:
    return [text] if cell_len(text) <= width else [line.plain for line in Text(text).wrap(Console(), width)]


def _blocks(listing: Listing, rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Give the lines of a block for each row; the terminal breaks those that are too wide for it."""
    label = max(map(cell_len, listing.headings))
    if listing.title:
        yield shown(listing.title)
    for row in rows:
        yield row[0]
        for heading, text in zip(listing.headings[1:], row[1:], strict=True):
            start = f"  {heading}{' ' * (label - cell_len(heading))}  "
            room = max(_PROSE, width - label - len("    "))
            for line in wrap(text, room, break_long_words=False, break_on_hyphens=False):
                yield start + line
                start = " " * cell_len(start)


def _longest_word(texts: Sequence[str]) -> int:
    return max((cell_len(word) for text in texts for word in text.split()), default=0)
