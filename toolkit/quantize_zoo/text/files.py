"""Files that appear whole or not at all: what is written goes into drafts first, and is renamed into place together."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from quantize_zoo import interrupts

_DRAFTS = ".draft-"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that is either the old one or the new one at any moment, also after a power failure."""
    write_together(path.parent, {path.name: content})


def write_together(folder: Path, contents: Mapping[str, str | bytes | Iterable[str]]) -> None:
    """Write files that belong together: all are written beside their places, then renamed in the order given.

    Whoever interrupts the process gets either all of them or none; nothing is left of those that were not to be.

    Args:
        folder: where they go; it is made.
        contents: by the name in the folder, which may have folders of its own; a text too large to be held as parts of
            it, which are written one after another.

    """
    with drafts_for(folder) as drafts:
        for name, content in contents.items():
            write_draft(drafts, name, content)
        place(drafts, folder, contents)


def copy_together(folder: Path, sources: Mapping[str, Path]) -> None:
    """Copy files that belong together, as ``write_together`` writes them.

    Args:
        folder: where they go; it is made.
        sources: the files to copy, by the name in the folder.

    """
    with drafts_for(folder) as drafts:
        for name, source in sources.items():
            (drafts / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, drafts / name)
        place(drafts, folder, sources)


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make a folder, and those above it; if the context is left by an exception, none that is empty stays of them."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for each in missing:
            with suppress(OSError):  # it is not empty: somebody else writes there
                each.rmdir()
        raise


@contextmanager
def drafts_for(folder: Path) -> Iterator[Path]:
    """Give an empty folder for what is to be placed in another one, on the same disk; nothing of it is left."""
    with made(folder):
        drafts = Path(tempfile.mkdtemp(prefix=_DRAFTS, dir=folder))
        try:
            yield drafts
        finally:
            shutil.rmtree(drafts, ignore_errors=True)


def write_draft(drafts: Path, name: str, content: str | bytes | Iterable[str]) -> None:
    """Write a file among drafts; its name may have folders, its content be the parts of a text."""
    path = drafts / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str | bytes):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return
    with path.open("wb") as stream:
        stream.writelines(part.encode() for part in content)


def copy_draft(drafts: Path, name: str, source: Path, same: Path) -> None:
    """Write a copy of a file among drafts: a link to another copy, if there is one on the same disk."""
    path = drafts / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if filecmp.cmp(source, same, shallow=False):
            path.hardlink_to(same.resolve())
            return
    except OSError:  # there is none, or the disk has no links
        pass
    shutil.copyfile(source, path)


def place(drafts: Path, folder: Path, names: Iterable[str]) -> list[Path]:
    """Rename drafts into a folder, in the order given, once all of them are on disk; return what was not there before.

    All are renamed or none, unless the disk fails; a signal waits for the last one.
    """
    targets = {drafts / name: folder / name for name in names}
    with ExitStack() as parents:
        for draft, target in targets.items():
            _sync(draft)
            parents.enter_context(made(target.parent))
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        new = [target for target in targets.values() if not target.exists()]
        with interrupts.held():
            for draft, target in targets.items():
                draft.replace(target)
    return new


def remove(paths: Iterable[Path]) -> None:
    """Take back what ``place`` placed, with folders that are empty then."""
    for path in paths:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # there is more in it
            path.parent.rmdir()


def point(link: Path, target: str) -> None:
    """Let a symbolic link lead to a folder beside it, from one moment to the next."""
    draft = link.with_name(f".{link.name}{_DRAFTS}{os.getpid()}")
    with interrupts.held():
        draft.unlink(missing_ok=True)
        draft.symlink_to(target, target_is_directory=True)
        draft.replace(link)


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
