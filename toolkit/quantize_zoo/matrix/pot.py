"""POT's configurations: a search as a matrix of one model, anything else quantized once, without a search."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import (
    DeviceSpec,
    MatrixConfig,
    ModelConfig,
    OptimizerParams,
    hardware_path,
    load_hardware,
)
from quantize_zoo.config.compression import CORRECTIONS, EstimatorTuningScope, TuningScope
from quantize_zoo.config.model import MetricBaseline, Optimizer, StageParams
from quantize_zoo.config.pot import AccuracyAware, CheckerEngine, Images, PotJob
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.graph import make_canonical, normalizes_input, read_model, save_model
from quantize_zoo.quantization import Pipeline, Samples, collect_statistics
from quantize_zoo.scoring import (
    AccuracySession,
    InputBudget,
    checker_entry,
    checker_metrics,
    compile_for_accuracy,
    find_checker,
    make_noise,
    open_session,
    read_images,
    require_device,
    require_metric,
)
from quantize_zoo.scoring.proof import PROVEN_SAMPLES, require_same_outputs
from quantize_zoo.text.slugs import model_slug

Tell = Callable[[str], None]
_UNBOUNDED = 1_000_000  # trials: the search ends when the target is met, or no layer is left
_ROUNDING = 1e-9  # percent: a drop of what is allowed is allowed, whatever 0.98 - 0.97 is in floating point


def pot_matrix(job: PotJob) -> MatrixConfig:
    """Return the matrix of a job that is a search.

    Raises:
        ConfigurationError: the engine is not the accuracy checker, or has no metric or annotation.
        CellError: an absolute drop is allowed, and the FP32 model cannot be scored.

    """
    model = _searched(job)
    device = DeviceSpec(device=job.target)
    return MatrixConfig(
        source=job.source, models=(model,), devices=(device,), on_missing_device="fail", require_targets=False,
        portability=False,
    )  # fmt: skip


def quantize_once(job: PotJob, written: Path, *, evaluate: bool, tell: Tell) -> dict[str, float]:
    """Write the quantized model of a job that is no search; return its metrics where they are asked for.

    Args:
        job: the job.
        written: the IR.
        evaluate: score it.
        tell: is told what should be known of the calibration.

    Raises:
        QuantizeZooError: the model or the data cannot be used, or the model cannot be written.

    """
    if evaluate:
        _require_accuracy(job)
        require_device(DeviceSpec(device=job.target))
    with tempfile.TemporaryDirectory() as folder:
        canonical = Path(folder, "model.xml")
        make_canonical(job.model, {}, canonical)
        return _quantize(job, read_model(canonical), written, evaluate=evaluate, tell=tell)


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


def _quantize(job: PotJob, model: ov.Model, written: Path, *, evaluate: bool, tell: Tell) -> dict[str, float]:
    samples = _calibration(job, model, written.parent, tell)
    pipeline = Pipeline(
        model,
        job.name,
        load_hardware(hardware_path(job.target)),
        job.compression,
        lambda variant, requests, size, _: collect_statistics(variant, requests, samples(size)),
        samples,
        compatibility="pot",
    )
    device = DeviceSpec(device=job.target if evaluate else "CPU")
    candidate = pipeline.build(pipeline.base)
    save_model(candidate, written)
    try:
        require_same_outputs(candidate, written, device, samples(PROVEN_SAMPLES))
    except QuantizeZooError:
        for suffix in (".xml", ".bin"):
            written.with_suffix(suffix).unlink(missing_ok=True)
        raise
    if job.dump_intermediate:
        steps = tuple(step for step in pipeline.base.steps if step not in CORRECTIONS)
        uncorrected = replace(pipeline.base, steps=steps)
        save_model(pipeline.build(uncorrected), _intermediate(written))
    if not evaluate:
        return {}
    session = _session(job, model, written.parent, 0)
    return session.score(compile_for_accuracy(read_model(written), device)).metrics


def _intermediate(written: Path) -> Path:
    """Return where the model before bias correction goes: into POT's folder, which may be the model's own."""
    folder = written.parent / "optimized"
    return (
        folder / written.name if written.parent.name != folder.name else written.parent / "intermediate" / written.name
    )


def _calibration(job: PotJob, model: ov.Model, folder: Path, tell: Tell) -> Callable[[int | None], Samples]:
    """Return what gives the first samples of the engine's data."""
    engine = job.engine
    if isinstance(engine, CheckerEngine):
        session = _session(job, model, folder, engine.calibration)
        return lambda size: session.inputs()[:size]
    if not isinstance(engine, Images):
        return lambda size: make_noise(engine, model, size)
    (first,) = read_images(engine, model, 1)
    name = next(iter(first))
    if not normalizes_input(model, name):
        tell(
            f"the model's first layers hold no normalization, and the simplified engine feeds {name!r} pixels of 0 to "
            "255, as POT did: if it was trained on others, put mean and scale into the model when it is converted, or "
            "use the accuracy_checker engine with preprocessing"
        )
    return lambda size: read_images(engine, model, size)


def _session(job: PotJob, model: ov.Model, folder: Path, dataset: int) -> AccuracySession:
    budget = InputBudget(folder / "inputs", MatrixConfig.model_fields["input_memory_mb"].default * 1_000_000)
    return open_session(find_checker(), _model_config(job), model, budget, dataset)


def _searched(job: PotJob) -> ModelConfig:
    """Return the model's configuration with the search that the job asks for."""
    _require_accuracy(job)
    config = _model_config(job)
    aware = job.accuracy_aware
    metric = aware.metrics[0].name if aware is not None and aware.metrics else checker_metrics(config)[0]
    config = config.model_copy(update={"metric": metric})
    require_metric(config)
    if aware is None:
        return config
    known = [each for each in aware.metrics if each.baseline_value is not None]
    params = OptimizerParams(
        metrics=tuple(MetricBaseline(name=each.name, baseline_value=each.baseline_value) for each in known),
        holdout=0,
        stages=_stages(aware),
        accuracy_loss=_percent(aware, config, job),
        latency_weight=0,  # the most accurate change of the whole model is what layers are given back of
    )
    return config.model_copy(update={"optimizer": Optimizer(params=params), "give_back": aware.give_back})


def _stages(aware: AccuracyAware) -> tuple[StageParams, ...]:
    layers = StageParams(max_trials=_UNBOUNDED, tuning_scope=("layer",))
    changes = aware.give_back.changes
    if not changes:
        return (layers,)
    scope: TuningScope = (
        *(("pipeline",) if "pipeline" in changes else ()),
        *(("mode",) if "activations" in changes else ()),
        *(("range_estimator",) if "estimator" in changes else ()),
    )
    estimators: EstimatorTuningScope = ("preset",) if "estimator" in changes else ()
    whole = StageParams(max_trials=_UNBOUNDED, tuning_scope=scope, estimator_tuning_scope=estimators)
    return whole, layers


def _percent(aware: AccuracyAware, config: ModelConfig, job: PotJob) -> float:
    """Return the largest drop in percent of the FP32 model's metric, which an absolute one has to know."""
    if aware.drop_type == "relative":
        return 100 * aware.maximal_drop + _ROUNDING
    value = next((each.baseline_value for each in aware.metrics if each.baseline_value is not None), None)
    if value is None:
        device = DeviceSpec(device=job.target)
        require_device(device)
        with tempfile.TemporaryDirectory() as folder:
            canonical = Path(folder, "model.xml")
            make_canonical(job.model, {}, canonical)
            model = read_model(canonical)
            session = _session(job, model, Path(folder), 0)
            value = session.score(compile_for_accuracy(model, device)).metrics[config.metric]
    if not value:
        raise errors.fp32_metric_unusable(config.metric, value)
    return 100 * aware.maximal_drop / abs(value) + _ROUNDING


def _require_accuracy(job: PotJob) -> None:
    """Refuse a job that needs an accuracy and has none."""
    if not isinstance(job.engine, CheckerEngine):
        raise errors.pot_unsupported(
            str(job.source),
            "a search and --evaluate need a metric, which pictures alone do not have",
            "use the accuracy_checker engine",
        )
    config = _model_config(job)
    dataset = checker_entry(config)["datasets"][0]
    checker_metrics(config)
    if not dataset.keys() & {"annotation", "annotation_conversion"}:
        raise errors.pot_unsupported(
            config.location,
            f"dataset {dataset.get('name')!r} has no annotation, without which there is no accuracy",
            "add annotation_conversion; DefaultQuantization without --evaluate needs none",
        )


def _model_config(job: PotJob) -> ModelConfig:
    assert isinstance(job.engine, CheckerEngine), "pictures have no configuration of the checker"
    changes: dict[str, Any] = {
        "name": model_slug(job.name),
        "model": job.model,
        "accuracy_checker": job.engine.config,
        "paths": job.engine.paths,
        "definitions": job.engine.definitions,
        "compression": job.compression,
        "optimizer": Optimizer(params=job.optimizer or OptimizerParams()),
        "source": job.source,
        "data_folder": Path.cwd(),  # as POT's paths, these are relative to the working directory
    }
    return ModelConfig(**changes)
