"""Any trial's model as IR, with the configuration that made it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pydantic import TypeAdapter

from quantize_zoo import errors
from quantize_zoo.cell import Cell, Prepared
from quantize_zoo.cell.session import CellSession
from quantize_zoo.engines import LocalEngine
from quantize_zoo.engines.fetching import fetch
from quantize_zoo.matrix.baselines import models_folder, require_unchanged
from quantize_zoo.matrix.start import identity_differences
from quantize_zoo.quantization import ModelOption
from quantize_zoo.search import Trial
from quantize_zoo.store import CellRecord
from quantize_zoo.text.files import copy_together, write_whole
from quantize_zoo.text.quoting import yaml_of
from quantize_zoo.text.slugs import slug

_OPTION = TypeAdapter(ModelOption)
_SUFFIXES = (".bin", ".yml", ".xml")  # in the order of their appearance


def export_trial(record: CellRecord, number: int, cell: Cell, engine: LocalEngine, reports: Path, folder: Path) -> Path:
    """Write a trial's model into a folder: the run's file of its best, any other is built again; return the IR.

    Raises:
        ConfigurationError: the cell has no such trial, it failed, or the run's file of it was changed since.
        CellError: the model cannot be built or written, or is not the one that the trial scored.

    """
    if not 0 <= number < len(record.trials):
        raise errors.unknown_trial(record.name, number, len(record.trials))
    trial = record.trials[number]
    if trial.failure is not None:
        raise errors.failed_trial(record.name, number, trial.failure)
    target = folder / f"{slug(f'{record.name}-{number}')}.xml"
    kept = reports / record.run_id / record.final.model if record.final and record.final.trial == number else None
    if record.final and kept is not None and kept.is_file():
        require_unchanged(kept, record.final.model_hash)
        copy_model(kept, target)
        return target
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as name:  # what is refused is not left there
        draft = Path(name, target.name)
        log = folder / f"{target.stem}.log"
        accuracy = trial.measurement.accuracy.value if trial.measurement else None
        with engine.start(fetch(cell, models_folder(reports), log), log) as process:
            prepared = process.call(CellSession.prepare)
            process.call(CellSession.calibrate, trial.option)
            _require_the_same(record, trial, process.call(CellSession.identify, trial.option), prepared)
            process.call(CellSession.export, trial.option, accuracy, draft)
        write_configuration(draft, cell, trial)
        copy_model(draft, target)
    return target


def _require_the_same(record: CellRecord, trial: Trial, candidate: str, now: Prepared) -> None:
    """Refuse a model that is built of today's files and is not the one that the trial scored."""
    assert record.reference is not None, "a cell with a trial has one"
    differences = identity_differences(record.reference.identity, now.reference.identity)
    if candidate != trial.candidate or "model content" in differences:
        raise errors.other_candidate(record.name, trial.number, differences.values())


def copy_model(model: Path, target: Path) -> None:
    """Copy an IR with its weights and the configuration beside it.

    Raises:
        CellError: the folder cannot be written.

    """
    try:
        names = {target.with_suffix(suffix).name: model.with_suffix(suffix) for suffix in _SUFFIXES}
        copy_together(target.parent, names)
    except OSError as error:
        raise errors.model_export_failed(target, errors.message_of(error)) from error


def write_configuration(model: Path, cell: Cell, trial: Trial) -> None:
    """Write what made a model beside its IR.

    Raises:
        CellError: the folder cannot be written.

    """
    configuration = {
        "model": cell.model.name,
        "device": cell.key.device_label,
        "trial": trial.number,
        "option_hash": trial.option_hash,
        **_OPTION.dump_python(trial.option, mode="json"),
    }
    try:
        write_whole(model.with_suffix(".yml"), yaml_of(configuration))
    except OSError as error:
        raise errors.model_export_failed(model, errors.message_of(error)) from error
