"""Counts in words."""

from __future__ import annotations

from collections.abc import Sized


def counted(count: int | Sized, noun: str) -> str:
    """Return a number, or that of a container's values, with the noun in the number that belongs to it."""
    number = count if isinstance(count, int) else len(count)
    return f"{number} {noun}{'' if number == 1 else 's'}"
