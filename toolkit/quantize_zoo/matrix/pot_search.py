"""POT's configurations that are a search, as a matrix of one model."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.cell.inspection import place_model
from quantize_zoo.config import DeviceSpec, MatrixConfig, ModelConfig, OptimizerParams
from quantize_zoo.config.compression import EstimatorTuningScope, TuningScope
from quantize_zoo.config.model import MetricBaseline, Optimizer, StageParams
from quantize_zoo.config.pot import AccuracyAware, PotJob
from quantize_zoo.graph import make_canonical, read_model
from quantize_zoo.matrix.pot_model import model_config, pot_session, require_accuracy
from quantize_zoo.quantization import Pipeline, derive_space
from quantize_zoo.scoring import compile_for_accuracy, require_device
from quantize_zoo.scoring.checker_config import checker_metrics, require_metric
from quantize_zoo.search.startup import whole_model_choices

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


def _searched(job: PotJob) -> ModelConfig:
    """Return the model's configuration with the search that the job asks for."""
    require_accuracy(job)
    config = model_config(job)
    aware = job.accuracy_aware
    metric = aware.metrics[0].name if aware is not None and aware.metrics else checker_metrics(config)[0]
    config = config.model_copy(update={"metric": metric})
    config = config.model_copy(update={"metric": require_metric(config)})
    if aware is None:
        return config
    with tempfile.TemporaryDirectory() as folder:
        canonical = Path(folder, "model.xml")
        make_canonical(job.model, {}, canonical)
        model = read_model(canonical)
        known = [each for each in aware.metrics if each.baseline_value is not None]
        params = OptimizerParams(
            metrics=tuple(MetricBaseline(name=each.name, baseline_value=each.baseline_value) for each in known),
            holdout=0,
            stages=_stages(aware, place_model(model, config, job.target), config),
            accuracy_loss=_percent(aware, config, job, model, Path(folder)),
            latency_weight=0,  # the most accurate change of the whole model is what layers are given back of
        )
    return config.model_copy(update={"optimizer": Optimizer(params=params), "give_back": aware.give_back})


def _stages(aware: AccuracyAware, pipeline: Pipeline, config: ModelConfig) -> tuple[StageParams, ...]:
    """Return the stages, each with as many trials as it can have at most: it ends when there is nothing left to try."""
    quantized = sum(choice.quantize for choice in pipeline.base.operations.values())
    # Each layer is given back, once more if that made it worse before, and tried quantized again.
    given = 2 * quantized if aware.max_iter_num is None else min(2 * quantized, aware.max_iter_num)
    layers = StageParams(max_trials=1 + given + min(given, quantized), tuning_scope=("layer",))
    changes = aware.give_back.changes
    if not changes:
        return (layers,)
    scope: TuningScope = (
        *(("pipeline",) if "pipeline" in changes else ()),
        *(("mode",) if "activations" in changes else ()),
        *(("range_estimator",) if "estimator" in changes else ()),
    )
    estimators: EstimatorTuningScope = ("preset",) if "estimator" in changes else ()
    space = derive_space(pipeline.placement, pipeline.base, config.compression.scoped(scope, estimators))
    whole = 1 + sum(1 for _ in whole_model_choices(space))
    return StageParams(max_trials=whole, tuning_scope=scope, estimator_tuning_scope=estimators), layers


def _percent(aware: AccuracyAware, config: ModelConfig, job: PotJob, model: ov.Model, folder: Path) -> float:
    """Return the largest drop in percent of the FP32 model's metric, which an absolute one has to know."""
    if aware.drop_type == "relative":
        return 100 * aware.maximal_drop + _ROUNDING
    value = next((each.baseline_value for each in aware.metrics if each.baseline_value is not None), None)
    if value is None:
        device = DeviceSpec(device=job.target)
        require_device(device)
        session = pot_session(job, model, folder, 0)
        value = session.score(compile_for_accuracy(model, device)).metrics[config.metric]
    if not value or not math.isfinite(value):
        raise errors.fp32_metric_unusable(config.metric, value)
    return 100 * aware.maximal_drop / abs(value) + _ROUNDING
