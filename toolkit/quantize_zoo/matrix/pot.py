"""POT's configurations: a search as a matrix of one model, anything else quantized once, without a search."""

from __future__ import annotations

import tempfile
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
from quantize_zoo.config.compression import CORRECTIONS
from quantize_zoo.config.model import Optimizer
from quantize_zoo.config.pot import Images, PotJob
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.graph import make_canonical, read_model, save_model
from quantize_zoo.quantization import Pipeline, Samples, collect_statistics
from quantize_zoo.scoring import (
    AccuracySession,
    InputBudget,
    checker_metrics,
    compile_for_accuracy,
    find_checker,
    open_session,
    read_images,
    require_device,
)
from quantize_zoo.scoring.proof import PROVEN_SAMPLES, require_same_outputs
from quantize_zoo.text.slugs import model_slug


def pot_matrix(job: PotJob) -> MatrixConfig:
    """Return the matrix of a job with an optimizer.

    Raises:
        ConfigurationError: the engine is not the accuracy checker, or names no metric.

    """
    model = _model_config(job)
    device = DeviceSpec(device=job.target)
    return MatrixConfig(
        source=job.source, models=(model,), devices=(device,), on_missing_device="fail", require_targets=False
    )


def quantize_once(job: PotJob, output: Path, *, evaluate: bool) -> dict[str, float]:
    """Write the quantized model of a job without an optimizer; return its metrics where they are asked for.

    Raises:
        QuantizeZooError: the model or the data cannot be used, or the model cannot be written.

    """
    if evaluate and isinstance(job.engine, Images):
        raise errors.pot_unsupported(
            str(job.source), "the simplified engine has no metric to evaluate", "use the accuracy_checker engine"
        )
    if evaluate:
        require_device(DeviceSpec(device=job.target))
    with tempfile.TemporaryDirectory() as folder:
        canonical = Path(folder, "model.xml")
        make_canonical(job.model, {}, canonical)
        return _quantize(job, read_model(canonical), output, evaluate=evaluate)


def _quantize(job: PotJob, model: ov.Model, output: Path, *, evaluate: bool) -> dict[str, float]:
    budget = InputBudget(output / "inputs", MatrixConfig.model_fields["input_memory_mb"].default * 1_000_000)
    session = (
        None if isinstance(job.engine, Images) else open_session(find_checker(), _model_config(job), model, budget)
    )

    def samples(size: int | None) -> Samples:
        return read_images(job.engine, model, size) if isinstance(job.engine, Images) else _inputs(session, size)

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
    written = output / f"{job.name}.xml"
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
        save_model(pipeline.build(uncorrected), output / "optimized" / f"{job.name}.xml")
    if not evaluate or session is None:
        return {}
    return session.score(compile_for_accuracy(read_model(written), device)).metrics


def _inputs(session: AccuracySession | None, size: int | None) -> Samples:
    assert session is not None, "a job without images has a session"
    return session.inputs()[:size]


def _model_config(job: PotJob) -> ModelConfig:
    if isinstance(job.engine, Images):
        raise errors.pot_unsupported(
            str(job.source),
            "Tpe needs a metric, which the simplified engine has not",
            "use the accuracy_checker engine",
        )
    changes: dict[str, Any] = {
        "name": model_slug(job.name),
        "model": job.model,
        "accuracy_checker": job.engine,
        "metric": "",
        "compression": job.compression,
        "optimizer": Optimizer(params=job.optimizer or OptimizerParams()),
        "source": job.source,
        "data_folder": Path.cwd(),  # as POT's paths, these are relative to the working directory
    }
    config = ModelConfig(**changes)
    return config.model_copy(update={"metric": checker_metrics(config)[0]})
