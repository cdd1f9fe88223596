"""The model of a POT job as one of this project's; whether it can be used at all, told before anything is written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.cell.inspection import inspect_model, open_model
from quantize_zoo.config import MatrixConfig, ModelConfig, OptimizerParams
from quantize_zoo.config.model import Optimizer
from quantize_zoo.config.pot import CheckerEngine, PotJob
from quantize_zoo.errors import CellError
from quantize_zoo.graph import weights_file_bytes
from quantize_zoo.scoring import (
    AccuracySession,
    InputBudget,
    checker_entry,
    find_checker,
    open_session,
    place_in_entry,
    require_pictures,
)
from quantize_zoo.scoring.checker_config import checker_metrics
from quantize_zoo.text.slugs import model_slug


def require_usable(job: PotJob, *, scored: bool) -> Sequence[str]:
    """See that model and data of a job can be used; return warnings.

    Args:
        job: the job, with its model and weights where they are named.
        scored: an accuracy is asked for, and not calibration alone.

    Raises:
        ConfigurationError: they cannot; nothing was written.

    """
    _require_own_weights(job)
    if scored:
        require_accuracy(job)
    with tempfile.TemporaryDirectory() as folder:
        job = with_weights_beside(job, Path(folder))
        if isinstance(job.engine, CheckerEngine):
            dataset = 0 if scored else job.engine.calibration
            found = inspect_model(
                model_config(job), [job.target], fast=False, scored=scored, lenient=True, dataset=dataset
            )
            for error in found.refusals:
                raise error
            return [f"{each.where}: {each.what}, which the accuracy checker passes over" for each in found.unknown_keys]
        canonical = Path(folder, "canonical")
        canonical.mkdir()
        model = open_model(model_config(job), [job.target], canonical)
        try:
            require_pictures(job.engine, model)
        except CellError as error:
            raise errors.not_ready(job.places.where(("engine", *error.keys)), error.what, error.remedy) from error
    return ()


def with_weights_beside(job: PotJob, folder: Path) -> PotJob:
    """Return the job with a model whose weights lie beside it under its name, copied into the folder if they did not.

    Raises:
        CellError: the folder cannot be written.

    """
    if job.weights is None:
        return job
    target = folder / f"{job.model.stem}.xml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(job.model, target)
        shutil.copyfile(job.weights, target.with_suffix(".bin"))
    except OSError as error:
        raise errors.model_export_failed(target, str(error)) from error
    return replace(job, model=target.absolute(), weights=None)


def _require_own_weights(job: PotJob) -> None:
    weights = job.weights or job.model.with_suffix(".bin")
    wanted = weights_file_bytes(job.model)
    if wanted is None and (job.weights is not None or job.model.suffix == ".xml"):
        raise errors.no_model(job.places.where(("model",)), job.model, "it is no IR")
    if wanted is None or not weights.is_file():
        return  # no IR, or nothing beside it: reading it tells
    has = weights.stat().st_size
    if has != wanted:
        raise errors.weights_of_another_model(job.names, weights, job.model, has, wanted)


def require_accuracy(job: PotJob) -> None:
    """Refuse a job that needs an accuracy and has none.

    Raises:
        ConfigurationError: the engine is not the accuracy checker, or has no metric or annotation.

    """
    if not isinstance(job.engine, CheckerEngine):
        raise errors.pot_unsupported(
            job.places.where(("engine", "type")),
            "a search and --evaluate need a metric, which pictures alone do not have",
            "use the accuracy_checker engine",
        )
    config = model_config(job)
    dataset = checker_entry(config)["datasets"][0]
    checker_metrics(config)
    if not dataset.keys() & {"annotation", "annotation_conversion"}:
        raise errors.pot_unsupported(
            place_in_entry(config)(("datasets", 0)),
            f"dataset {dataset.get('name')!r} has no annotation, without which there is no accuracy",
            "add annotation_conversion; DefaultQuantization without --evaluate needs none",
        )


def pot_session(job: PotJob, model: ov.Model, folder: Path, dataset: int) -> AccuracySession:
    """Return the session of a job's model; what does not fit into memory goes into the folder."""
    budget = InputBudget(folder / "inputs", MatrixConfig.model_fields["input_memory_mb"].default * 1_000_000)
    return open_session(find_checker(), model_config(job), model, budget, dataset)


def model_config(job: PotJob) -> ModelConfig:
    """Return the job's model as its YAML would say it; that of pictures has no configuration of the checker."""
    engine = job.engine
    changes: dict[str, Any] = {
        "name": model_slug(job.name),
        "model": job.model,
        "accuracy_checker": engine.config if isinstance(engine, CheckerEngine) else {},
        "compression": job.compression,
        "optimizer": Optimizer(params=job.optimizer or OptimizerParams()),
        "source": job.source,
        "data_folder": Path.cwd(),  # as POT's paths, these are relative to the working directory
    }
    if isinstance(engine, CheckerEngine):
        changes |= {"paths": engine.paths, "definitions": engine.definitions}
    return ModelConfig(**changes).placed_by(job.places)
