"""Baselines: accepting a run's cells, and moving them between machines. Models lie beside the store by content."""

from __future__ import annotations

import getpass
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from quantize_zoo import errors
from quantize_zoo.config import cell_label
from quantize_zoo.graph import content_hash
from quantize_zoo.store import Baseline, CellRecord, Final, Reference, RunRecord, Store

_BASELINES = TypeAdapter(list[Baseline])
_INDEX = "baselines.json"


def accept(
    run: RunRecord, cells: Sequence[str], reports: Path, store: Store, *, reason: str, expected_change: str
) -> list[Baseline]:
    """Make these cells of a run the baseline; without names all that have a model.

    Raises:
        ConfigurationError: there is no such cell, it has no model, or the run's files are gone or changed.

    """
    known = {cell.name: cell for cell in run.cells}
    for name in cells:
        if name not in known:
            raise errors.unknown_cell(name, known)
    chosen = [known[name] for name in cells] or [cell for cell in run.cells if cell.final is not None]
    if not chosen:
        raise errors.nothing_to_accept(", ".join(known), "not finished")
    accepted = [_baseline(run, cell, reports, reason=reason, expected_change=expected_change) for cell in chosen]
    for baseline in accepted:
        store.add_baseline(baseline)
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
        ConfigurationError: the folder cannot be written.

    """
    current = [stored.content for stored in store.baselines()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for baseline in current:
            for name in (baseline.fp32, baseline.int8, baseline.answers):
                shutil.copytree((baselines_folder(reports) / name).parent, (folder / name).parent, dirs_exist_ok=True)
        (folder / _INDEX).write_bytes(_BASELINES.dump_json(current, indent=1) + b"\n")
    except OSError as error:
        raise errors.reports_unwritable(folder, str(error)) from error
    return len(current)


def import_baselines(store: Store, reports: Path, folder: Path) -> int:
    """Accept what was exported, unless it is what holds already; return how many there are.

    Raises:
        ConfigurationError: the folder has no exported baselines, or one of their files is not what its name says.

    """
    try:
        found = _BASELINES.validate_json((folder / _INDEX).read_bytes())
    except (OSError, ValidationError) as error:
        raise errors.bad_baseline_folder(folder, str(error).splitlines()[0]) from error
    for baseline in found:
        for name in (baseline.fp32, baseline.int8, baseline.answers):
            path = folder / name
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise errors.bad_baseline_folder(folder, f"{name} leads out of the folder")
            if not path.is_file() or content_hash(path) != path.parent.name:
                raise errors.bad_baseline_folder(folder, f"{name} is missing or damaged")
            shutil.copytree(path.parent, (baselines_folder(reports) / name).parent, dirs_exist_ok=True)
    held = {stored.name: stored.content for stored in store.baselines()}
    for baseline in found:
        # Compared as text: JSON has no tuples.
        before = held.get(cell_label(baseline.model, baseline.device))
        if before is None or _BASELINES.dump_json([before]) != _BASELINES.dump_json([baseline]):
            store.add_baseline(baseline)
    return len(found)


def _baseline(run: RunRecord, cell: CellRecord, reports: Path, *, reason: str, expected_change: str) -> Baseline:
    if cell.final is None or cell.reference is None:
        raise errors.nothing_to_accept(cell.name, cell.status)
    folder = reports / run.id
    fp32, int8 = Path(cell.reference.model_path), folder / cell.final.model
    answers = folder / cell.final.answers
    for path in (fp32, int8, answers):
        if not path.is_file():
            raise errors.run_files_missing(path)
    # Runs of 0.1.0 named the source, by a part of its hash.
    known = cell.reference.model_hash or cell.reference.identity["model content"]
    if not content_hash(fp32).startswith(known):
        raise errors.baseline_changed(fp32)
    return replace(
        baseline_content(cell, cell.reference, cell.final),
        accepted_by=getpass.getuser(),
        reason=reason,
        expected_change=expected_change,
        fp32=_keep(fp32, reports),
        int8=_keep(int8, reports),
        answers=_keep(answers, reports),
    )


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


def _keep(path: Path, reports: Path) -> str:
    """Copy a file, an IR with its weights, to where its content says; return that name."""
    name = Path(content_hash(path)) / f"content{path.suffix}"
    target = baselines_folder(reports) / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        weights = path.with_suffix(".bin")
        if path.suffix == ".xml" and weights.is_file():
            shutil.copyfile(weights, target.with_suffix(".bin"))
        shutil.copyfile(path, target)
    except OSError as error:
        raise errors.reports_unwritable(target.parent, str(error)) from error
    return name.as_posix()


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
