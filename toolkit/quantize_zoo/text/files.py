"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from quantize_zoo import interrupts

_DRAFTS = ".draft-"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that is either the old one or the new one at any moment, also after a power failure."""
    write_together(path.parent, {path.name: content})


def write_together(folder: Path, contents: Mapping[str, str | bytes]) -> None:
    """Write files that belong together: all are written beside their places, then renamed in the order given.

    Whoever interrupts the process gets either all of them or none; nothing is left of those that were not to be.

    Args:
        folder: where they go; it is made.
        contents: by the name in the folder, which may have folders of its own.

    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    drafts = Path(tempfile.mkdtemp(prefix=_DRAFTS, dir=folder))
    try:
        for name, content in contents.items():
            (drafts / name).parent.mkdir(parents=True, exist_ok=True)
            _write_through(drafts / name, content)
        with interrupts.held():
            for name in contents:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (drafts / name).replace(folder / name)
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
        if made:
            with suppress(OSError):  # it is not empty: all went well, or somebody else writes there
                folder.rmdir()


def point(link: Path, target: str) -> None:
    """Let a symbolic link lead to a folder beside it, from one moment to the next."""
    draft = link.with_name(f".{link.name}{_DRAFTS}{os.getpid()}")
    with interrupts.held():
        draft.unlink(missing_ok=True)
        draft.symlink_to(target, target_is_directory=True)
        draft.replace(link)


def _write_through(path: Path, content: str | bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content.encode() if isinstance(content, str) else content)
        stream.flush()
        os.fsync(stream.fileno())
