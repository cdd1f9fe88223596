"""Paths that somebody wrote: also those that no file system takes."""

from __future__ import annotations

import errno
import os
import stat
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


def why_no_folder(path: Path) -> str:
    """Return what stands in the way of a folder, as a sentence about that; empty if nothing does."""
    for each in (path, *path.parents):
        if is_folder(each):
            return ""
        if instead := why_no_file(each):
            return f"{each} {instead}"
    return ""


def is_program(path: Path) -> bool:
    """Tell whether there is a file that can be executed."""
    return is_file(path) and os.access(path, os.X_OK)


def is_there(path: Path) -> bool:
    """Tell whether there is such a file or folder."""
    return is_file(path) or is_folder(path)


def why_no_file(path: Path) -> str:
    """Return what is there in place of a file, as the end of a sentence about it; empty if nothing is there."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "is a link to a file that is not there" if path.is_symlink() else ""
    except (OSError, ValueError) as error:
        told = {errno.ELOOP: "is a link that leads to itself", errno.EACCES: "is in a folder that cannot be read"}
        return told.get(getattr(error, "errno", 0), "")  # no file has a name of any other
    kinds = {stat.S_IFDIR: "is a folder", stat.S_IFREG: "is a file"}
    return kinds.get(stat.S_IFMT(mode), "is a pipe or a device")
