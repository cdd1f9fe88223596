"""What is kept of the history: the newest nights, the runs of baselines, and files that a baseline names."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from quantize_zoo import errors
from quantize_zoo.matrix.baselines import baselines_folder, models_folder, names_of
from quantize_zoo.store import Store
from quantize_zoo.text.counts import counted

_HASH = re.compile(r"[0-9a-f]{64}")
_KEY = re.compile(r"[0-9a-f]{24}")  # of canonical models and of statistics


@dataclass(frozen=True)
class Pruned:
    """What went: runs by id, how many files of baselines that no baseline has any more, and how many ``others``.

    These are models and statistics that only runs that are gone had used, and comparisons of such runs.
    """

    runs: tuple[str, ...]
    files: int
    others: int = 0

    @property
    def text(self) -> str:
        """What went in one line."""
        runs, files = len(self.runs), self.files
        others = f", {self.others} model{'s' * (self.others != 1)}, statistics or comparisons" if self.others else ""
        return f"pruned: {counted(runs, 'run')}, {counted(files, 'file')} of former baselines{others}"


def prune(store: Store, reports: Path, keep_nights: int, *, keep_baselines: bool) -> Pruned:
    """Remove all runs but the newest from the store, with their folders, and what only former baselines name.

    A run that is not over is kept. The history of baselines stays, and their models as long as a cell's baseline has
    them. With a run go the comparisons that it is one side of, canonical models that no other run has, and statistics
    that none of the newest runs has used; while a run is under way, which may have found any of them, models stay.

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
    models, since = store.model_paths(), store.oldest_of(keep_nights)
    runs = store.prune(keep_nights, kept)
    unused = set() if store.is_running() else models - store.model_paths()
    try:
        for run_id in runs:
            _remove(reports / run_id)
        named = {Path(name).parent.name for content in current for name in names_of(content)}
        unnamed = [path for path in _contents(baselines_folder(reports)) if path.name not in named]
        for path in unnamed:
            _remove(path)
        others = [*_models(reports, unused), *_statistics(reports, since), *_comparisons(reports, runs)]
        for path in others:
            _remove(path)
    except OSError as error:
        raise errors.reports_unwritable(reports, errors.message_of(error)) from error
    store.vacuum()
    return Pruned(tuple(runs), len(unnamed), len(others))


def _contents(folder: Path) -> list[Path]:
    """Return the folders of a folder of baselines, each of which has one content."""
    return sorted(path for path in folder.iterdir() if _HASH.fullmatch(path.name)) if folder.is_dir() else []


def _models(reports: Path, unused: Iterable[str]) -> list[Path]:
    """Return the folders of canonical models, of those that lie among the reports."""
    folder = models_folder(reports).absolute()
    parents = {Path(each).absolute().parent for each in unused}
    return sorted(each for each in parents if each.parent == folder and _KEY.fullmatch(each.name) and each.is_dir())


def _statistics(reports: Path, since: datetime | None) -> list[Path]:
    """Return the files of statistics that were not used since a time; of none if there is none."""
    if since is None:
        return []
    found = sorted((reports / "statistics").glob("*.npz"))
    return [each for each in found if _KEY.fullmatch(each.stem) and each.stat().st_mtime < since.timestamp()]


def _comparisons(reports: Path, runs: Iterable[str]) -> list[Path]:
    """Return the folders of comparisons of runs that are gone."""
    found = {path for run in runs for name in (f"compare-{run}-*", f"compare-*-{run}") for path in reports.glob(name)}
    return sorted(each for each in found if each.is_dir() and not each.is_symlink())


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; a link is somebody else's."""
    if path.is_symlink():
        return
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
