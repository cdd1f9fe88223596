"""What is kept of the history: the newest nights, the runs of baselines, and files that a baseline names."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from quantize_zoo import errors
from quantize_zoo.matrix.baselines import baselines_folder, names_of
from quantize_zoo.store import Store

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Pruned:
    """What went: runs by id, and how many files of baselines that no baseline has any more."""

    runs: tuple[str, ...]
    files: int

    @property
    def text(self) -> str:
        """What went in one line."""
        runs, files = len(self.runs), self.files
        return f"pruned: {runs} run{'s' * (runs != 1)}, {files} file{'s' * (files != 1)} of former baselines"


def prune(store: Store, reports: Path, keep_nights: int, *, keep_baselines: bool) -> Pruned:
    """Remove all runs but the newest from the store, with their folders, and what only former baselines name.

    A run that is not over is kept. The history of baselines stays, and their models as long as a cell's baseline has
    them.

    Args:
        store: the store.
        reports: the folder that the runs' own are in.
        keep_nights: how many of the newest runs are kept.
        keep_baselines: whether the runs that the cells' baselines are of are kept as well.

    Raises:
        CellError: the store cannot be written.
        ConfigurationError: the store is damaged, or a folder cannot be removed.

    """
    current = [baseline.content for baseline in store.baselines()]
    kept = {content.run_id for content in current} if keep_baselines else set()
    runs = store.prune(keep_nights, kept)
    try:
        for run_id in runs:
            _remove(reports / run_id)
        named = {Path(name).parent.name for content in current for name in names_of(content)}
        unnamed = [path for path in _contents(baselines_folder(reports)) if path.name not in named]
        for path in unnamed:
            _remove(path)
    except OSError as error:
        raise errors.reports_unwritable(reports, errors.message_of(error)) from error
    store.vacuum()
    return Pruned(tuple(runs), len(unnamed))


def _contents(folder: Path) -> list[Path]:
    """Return the folders of a folder of baselines, each of which has one content."""
    return sorted(path for path in folder.iterdir() if _HASH.fullmatch(path.name)) if folder.is_dir() else []


def _remove(folder: Path) -> None:
    """Remove a folder with all that is in it; a link is somebody else's."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
