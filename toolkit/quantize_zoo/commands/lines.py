"""Lines on a terminal, of texts of any origin."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from quantize_zoo.text.shown import shown_lines

_MOST_LINES = 20  # of one message


def say(text: str) -> None:
    """Print a line on standard output."""
    _print(text, Console())


def tell(text: str) -> None:
    """Print a line on standard error, beside the progress."""
    _print(text, Console(stderr=True))


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print what libraries warn of as lines of this program's, without the place and the source in the library.

    The format alone is exchanged: the accuracy checker puts its own function in the place of what prints.
    """
    former = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {shown_lines(str(message))}\n"
    try:
        yield
    finally:
        warnings.formatwarning = former


def _print(text: str, console: Console) -> None:
    lines = shown_lines(text).splitlines()
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"... and {len(lines) - _MOST_LINES + 1} more lines"]
    console.print(Text("\n".join(lines)), soft_wrap=True)
