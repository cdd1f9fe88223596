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
from quantize_zoo.terms import LATEST
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
    """Remove old runs from the store, with their folders, and what only former baselines name.

    What stays beside the newest nights, see ``Store.old_runs``. The history of baselines stays, and their models as
    long as a cell's baseline has them. With a run go the comparisons that it is one side of, canonical models that no
    other run has, and statistics that none of the newest nights has used; while a run is under way, which may have
    found any of them, models stay. Files go first: the store knows what to remove until all of it is gone.

    Args:
        store: the store.
        reports: the folder that the runs' own are in.
        keep_nights: how many of the newest nights are kept, which are runs in which a cell ended.
        keep_baselines: whether the runs that the cells' baselines are of are kept as well.

    Raises:
        CellError: the store cannot be written.
        ConfigurationError: the store is damaged, or a folder cannot be removed.

    """
    current = [baseline.content for baseline in store.baselines()]
    kept = {content.run_id for content in current} if keep_baselines else set()
    old = store.old_runs(keep_nights, kept)
    try:
        for run_id in old.runs:
            _remove(reports / run_id)
        named = {Path(name).parent.name for content in current for name in names_of(content)}
        unnamed = [path for path in _contents(baselines_folder(reports)) if path.name not in named]
        for path in unnamed:
            _remove(path)
        others = [*_models(reports, old.models), *_statistics(reports, old.since), *_comparisons(reports, old.runs)]
        for path in others:
            _remove(path)
        _point_to_what_is_left(reports / LATEST)
    except OSError as error:
        raise errors.history_not_removed(reports, errors.message_of(error)) from error
    store.delete_runs(old.runs)
    store.vacuum()
    return Pruned(old.runs, len(unnamed), len(others))


def _point_to_what_is_left(latest: Path) -> None:
    """Let the link to the newest report lead nowhere rather than to what is gone: reports of a run may be lacking."""
    if latest.is_symlink() and not latest.exists():
        latest.unlink()


def _contents(folder: Path) -> list[Path]:
    """Return the folders of a folder of baselines, each of which has one content."""
    return sorted(path for path in folder.iterdir() if _HASH.fullmatch(path.name)) if folder.is_dir() else []


def _models(reports: Path, unused: Iterable[str]) -> list[Path]:
    """Return the folders of canonical models, of those that lie among the reports."""
    keys = {Path(each).parent.name for each in unused}  # the reports may have been moved since
    folders = (models_folder(reports) / each for each in keys if _KEY.fullmatch(each))
    return sorted(each for each in folders if each.is_dir())


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
