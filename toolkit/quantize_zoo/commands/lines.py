"""Lines on a terminal, of texts of any origin."""

from __future__ import annotations

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


def _print(text: str, console: Console) -> None:
    lines = shown_lines(text).splitlines()
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], f"... and {len(lines) - _MOST_LINES + 1} more lines"]
    console.print(Text("\n".join(lines)), soft_wrap=True)
