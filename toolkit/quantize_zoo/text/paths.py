"""Paths that somebody wrote: also those that no file system takes."""

from __future__ import annotations

from pathlib import Path


def is_file(path: Path) -> bool:
    """Tell whether there is such a file; there is none under a name that is too long, or not to be looked at."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, no permission; a NUL
        return False


def is_folder(path: Path) -> bool:
    """Tell the same of a folder."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
