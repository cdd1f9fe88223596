"""Baselines: accepting a run's cells, and moving them between machines. Models lie beside the store by content.

What is refused changes nothing: everything is looked at first, copied to a temporary place, and compared there with the
hash that it is to have, before it is renamed into place and stored.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from quantize_zoo import errors
from quantize_zoo.config import cell_label
from quantize_zoo.errors import CellError
from quantize_zoo.graph import content_hash
from quantize_zoo.scoring import read_answers
from quantize_zoo.store import Baseline, CellRecord, Final, Reference, RunRecord, Store
from quantize_zoo.store.adapters import plain, problem_of
from quantize_zoo.store.values import BASELINE
from quantize_zoo.text.files import drafts_for, made, place, remove, write_whole

_BASELINES = TypeAdapter(list[Baseline], config=ConfigDict(extra="forbid"))
_INDEX = "baselines.json"
_NAME = re.compile(r"[0-9a-f]{64}/content\.[A-Za-z0-9]{1,16}")
_WEIGHTS = ".bin"
_ANSWERED = frozenset({"fp32", "int8"})


@dataclass(frozen=True)
class _Kept:
    """A file of a baseline, to be copied: where it is now, and its name by content in the folder of baselines."""

    source: Path
    name: str

    @property
    def files(self) -> dict[str, Path]:
        """What to copy, by name: the file, and before it the weights of an IR."""
        weights = self.source.with_suffix(_WEIGHTS)
        both = self.source.suffix == ".xml" and weights.is_file()
        return {**({str(Path(self.name).with_suffix(_WEIGHTS)): weights} if both else {}), self.name: self.source}


def accept(
    run: RunRecord, cells: Sequence[str], reports: Path, store: Store, *, reason: str, expected_change: str
) -> list[Baseline]:
    """Make these cells of a run the baseline; without names all that have a model.

    Raises:
        ConfigurationError: there is no such cell, it has no model, or the run's files are gone or changed.
        CellError: the store cannot be written.

    """
    known = {cell.name: cell for cell in run.cells}
    for name in cells:
        if name not in known:
            raise errors.unknown_cell(name, known)
    chosen = [known[name] for name in cells] or [cell for cell in run.cells if cell.final is not None]
    if not chosen:
        raise errors.nothing_to_accept(", ".join(known), "not finished")
    accepted = []
    kept: list[_Kept] = []
    for cell in chosen:
        files = _files_of_cell(run, cell, reports)
        kept += files
        fp32, int8, answers = (each.name for each in files)
        assert cell.reference is not None, "its files were found"
        assert cell.final is not None, "its files were found"
        content = baseline_content(cell, cell.reference, cell.final)
        accepted.append(
            replace(
                content, accepted_by=_user(), reason=reason, expected_change=expected_change,
                fp32=fp32, int8=int8, answers=answers,
            )
        )  # fmt: skip
    with _placed(kept, baselines_folder(reports), errors.run_file_changed):
        store.add_baselines(accepted)
    return accepted


def baselines_folder(reports: Path) -> Path:
    """Return where the models of baselines lie."""
    return reports / "baselines"


def models_folder(reports: Path) -> Path:
    """Return where canonical FP32 models lie."""
    return reports / "models"


def export_baselines(store: Store, reports: Path, folder: Path) -> int:
    """Write the current baselines with their models into a folder; return how many.

    Raises:
        ConfigurationError: a file of a baseline is gone or damaged, or the folder cannot be written.

    """
    current = [stored.content for stored in store.baselines()]
    kept = [_Kept(_in_folder(baselines_folder(reports), name), name) for each in current for name in names_of(each)]
    with _placed(kept, folder, errors.baseline_damaged, option=""):
        try:
            write_whole(folder / _INDEX, _BASELINES.dump_json(current, indent=1) + b"\n")
        except OSError as error:
            raise errors.reports_unwritable(folder, errors.message_of(error), option="") from error
    return len(current)


def read_exported(folder: Path) -> list[Baseline]:
    """Read what was exported, and see that it is whole: the index, and every file by its hash.

    Raises:
        ConfigurationError: the folder has no exported baselines, or one of their files is not what its name says.

    """
    try:
        found = _BASELINES.validate_json((folder / _INDEX).read_bytes())
        for index, baseline in enumerate(found):
            plain(BASELINE, baseline)
            for name in names_of(baseline):
                if not _NAME.fullmatch(name) or content_hash(_in_folder(folder, name)) != Path(name).parent.name:
                    raise errors.bad_baseline_folder(folder, f"{_INDEX}[{index}]: {name} is missing or damaged")
            _require_answers(folder / baseline.answers)
    except ValidationError as error:
        raise errors.bad_baseline_folder(folder, f"{_INDEX}{problem_of(error)}") from error
    except (OSError, CellError) as error:
        raise errors.bad_baseline_folder(folder, errors.message_of(error)) from error
    return found


def import_baselines(store: Store, reports: Path, folder: Path, found: Sequence[Baseline]) -> int:
    """Accept what ``read_exported`` found, unless it is what holds already; return how many there are.

    Raises:
        ConfigurationError: a file has changed since.
        CellError: the store cannot be written.

    """
    held = {stored.name: stored.content for stored in store.baselines()}
    kept = [_Kept(_in_folder(folder, name), name) for baseline in found for name in names_of(baseline)]
    new = []
    for baseline in found:
        # Compared as text: JSON has no tuples.
        before = held.get(cell_label(baseline.model, baseline.device))
        if before is None or _BASELINES.dump_json([before]) != _BASELINES.dump_json([baseline]):
            new.append(baseline)
    with _placed(kept, baselines_folder(reports), errors.baseline_damaged):
        store.add_baselines(new)
    return len(found)


def names_of(baseline: Baseline) -> tuple[str, str, str]:
    """Return the names of a baseline's files in a folder of baselines: FP32, INT8, answers."""
    return baseline.fp32, baseline.int8, baseline.answers


def _in_folder(folder: Path, name: str) -> Path:
    """Return a file of a folder of baselines by the name that it has there.

    Raises:
        ConfigurationError: it is no name of a baseline's file, not there, or a link, which could lead anywhere.

    """
    path = folder / name
    parts = (path.parent, path, *([path.with_suffix(_WEIGHTS)] if path.suffix == ".xml" else []))
    if not _NAME.fullmatch(name) or not path.is_file() or any(each.is_symlink() for each in parts):
        raise errors.baseline_damaged(path)
    return path


@contextmanager
def _placed(
    kept: Iterable[_Kept],
    folder: Path,
    changed: Callable[[Path], errors.ConfigurationError],
    option: str = "--reports",
) -> Iterator[None]:
    """Copy files into a folder under names by their content; if the context is left by an exception, nothing stays.

    Raises:
        ConfigurationError: what was copied is not what its name says, or the folder cannot be written.

    """
    with ExitStack() as stack:
        try:
            stack.enter_context(made(folder))
            new = _place_copies(kept, folder, changed)
        except OSError as error:
            raise errors.reports_unwritable(folder, errors.message_of(error), option) from error
        try:
            yield
        except BaseException:
            remove(new)
            raise


def _place_copies(
    kept: Iterable[_Kept], folder: Path, changed: Callable[[Path], errors.ConfigurationError]
) -> list[Path]:
    """Copy the files, compare the copies with their hashes, rename them into place; return what is new."""
    with drafts_for(folder) as drafts:
        names: dict[str, None] = {}
        for each in kept:
            for name, source in each.files.items():
                (drafts / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(source, drafts / name)
                names[name] = None
            if content_hash(drafts / each.name) != Path(each.name).parent.name:
                raise changed(each.source)
        return place(drafts, folder, names)


def _files_of_cell(run: RunRecord, cell: CellRecord, reports: Path) -> list[_Kept]:
    """Return FP32 model, INT8 model and answers of a cell, as the run left them.

    Raises:
        ConfigurationError: the cell has no model, or one of them is gone or was changed since.

    """
    if cell.final is None or cell.reference is None:
        raise errors.nothing_to_accept(cell.name, cell.status)
    folder, final = reports / run.id, cell.final
    fp32, int8 = _canonical_model(Path(cell.reference.model_path), reports), folder / final.model
    answers = folder / final.answers
    for path in (fp32, int8, answers):
        if not path.is_file():
            raise errors.run_files_missing(path)
    # Runs of 0.1.0 named the source, by a part of its hash, and knew no hash of what they wrote.
    known = cell.reference.model_hash or cell.reference.identity.get("model content", "")
    found = []
    for path, expected in ((fp32, known), (int8, final.model_hash), (answers, final.answers_hash)):
        content = require_unchanged(path, expected)
        found.append(_Kept(path, f"{content}/content{path.suffix}"))
    try:
        _require_answers(answers)
    except CellError as error:
        raise errors.run_file_changed(answers) from error
    return found


def _canonical_model(stored: Path, reports: Path) -> Path:
    """Return where a canonical model is that a run had; the reports may have been moved or copied since."""
    here = models_folder(reports) / stored.parent.name / stored.name
    return here if here.is_file() else stored


def require_unchanged(path: Path, expected: str) -> str:
    """Return the hash of a run's file, which is the one that was stored with the run.

    Raises:
        ConfigurationError: the file was changed since; of files without a stored hash, as of 0.1.0, nobody knows.

    """
    content = content_hash(path)
    if not content.startswith(expected):
        raise errors.run_file_changed(path)
    return content


def taken_unverified(accepted: Sequence[Baseline], run: RunRecord) -> Iterator[str]:
    """Yield a line for each accepted cell whose files nobody can tell to be those of the run: it stored no hashes."""
    names = {cell_label(each.model, each.device) for each in accepted}
    for cell in run.cells:
        if cell.name in names and cell.final and not (cell.final.model_hash and cell.final.answers_hash):
            yield f"{cell.name}: its files are taken as they are: {run.version} stored no hashes of them"


def _require_answers(path: Path) -> None:
    """See that the answers of both models can be read.

    Raises:
        CellError: they cannot.

    """
    if missing := _ANSWERED - read_answers(path).keys():
        raise errors.answers_unreadable(path, f"those of {', '.join(sorted(missing))} are not in it")


def _user() -> str:
    """Return the name of the user, or the number of one without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def baseline_content(cell: CellRecord, reference: Reference, final: Final) -> Baseline:
    """Return what a finished cell is as a baseline, without files, and accepted by nobody."""
    best = cell.trials[final.trial]
    return Baseline(
        model=cell.model,
        device=cell.device,
        accepted_by="",
        reason="",
        expected_change="",
        run_id=cell.run_id,
        option=best.option,
        metric=reference.metric,
        dataset=reference.identity["dataset"],
        reference=reference,
        latency=final.latency,
        figures=final.figures,
        fp32="",
        int8="",
        answers="",
        accuracy=best.measurement.accuracy if best.measurement else None,
    )


def baseline_rows(store: Store, *, history: bool) -> list[dict[str, Any]]:
    """Return what is told of the baselines, as plain values."""
    return [
        {
            "id": row.id,
            "cell": row.name,
            "accepted_at": row.accepted_at.isoformat(),
            "dropped_at": row.dropped_at.isoformat() if row.dropped_at else None,
            "accepted_by": row.content.accepted_by,
            "reason": row.content.reason,
            "expected_change": row.content.expected_change,
            "run": row.content.run_id,
            "openvino": row.content.reference.environment.openvino,
        }
        for row in store.baselines(history=history)
    ]
