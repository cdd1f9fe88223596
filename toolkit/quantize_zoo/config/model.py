"""One model's YAML. Names follow POT and the accuracy checker; unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from quantize_zoo import errors
from quantize_zoo.config.compression import (
    CompressionParams,
    EstimatorTuningScope,
    TuningScope,
    check_scopes,
    require_steps,
)
from quantize_zoo.config.strict import Strict
from quantize_zoo.config.yaml_source import ConfigSource, read_yaml, validate

TrialsLoadMethod = Literal["cold_start", "warm_start", "fine_tune", "eval"]
InferencePrecision = Literal["f32", "bf16", "f16"]
Positive = Annotated[int, Field(gt=0)]


class DeviceSpec(Strict):
    """A target device; written as its OpenVINO name, or as a mapping when the precision is named too."""

    device: str = Field(min_length=1)
    inference_precision: InferencePrecision | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"device": value} if isinstance(value, str) else value

    @property
    def label(self) -> str:
        """The name of the device in tables, with what was asked of it: ``CPU`` or ``CPU[f32]``."""
        return f"{self.device}[{self.inference_precision}]" if self.inference_precision else self.device


class BenchmarkParams(Strict):
    """How latency is measured; the names are POT's."""

    nthreads: Positive = 1
    nstreams: Positive = 1
    api_type: Literal["sync", "async"] = "sync"
    batch_size: Positive = 1
    duration_seconds: float = Field(default=1.0, gt=0, description="time budget of one comparison with FP32")


class MetricBaseline(Strict):
    """The FP32 value of a metric, which spares evaluating the FP32 model."""

    name: str
    baseline_value: float


class StageParams(Strict):
    """A part of a search with a scope of its own; the first starts where the load method says, others at the best."""

    max_trials: Positive
    tuning_scope: TuningScope
    estimator_tuning_scope: EstimatorTuningScope = ()

    @model_validator(mode="after")
    def _scopes_agree(self) -> StageParams:
        check_scopes(self.tuning_scope, self.estimator_tuning_scope)
        return self


class OptimizerParams(Strict):
    """Parameters of Tpe; accuracy_loss is in percent of the FP32 value, latency_reduce is FP32 time / INT8 time.

    ``holdout`` is the share of the samples that the search never sees; ``compatibility: pot`` searches as POT did.
    """

    max_trials: Positive = 60
    max_minutes: float | None = Field(default=None, gt=0)
    trials_load_method: TrialsLoadMethod = "cold_start"
    stages: tuple[StageParams, ...] = ()
    stop_on_target: bool = False
    eval_subset_size: Positive | None = None
    holdout: float = Field(default=0.3, ge=0, lt=1)
    metrics: tuple[MetricBaseline, ...] = ()
    compatibility: Literal["pot"] | None = None
    accuracy_loss: float = Field(default=1.0, ge=0)
    latency_reduce: float = Field(default=1.0, gt=0)
    accuracy_weight: float = Field(default=1.0, ge=0)
    latency_weight: float = Field(default=1.0, ge=0)
    expected_quantization_ratio: float = Field(default=0.5, gt=0, lt=1)
    quantization_ratio_weight: float = Field(default=0.0, ge=0)
    benchmark: BenchmarkParams = BenchmarkParams()


class Optimizer(Strict):
    """The optimizer entry."""

    name: Literal["Tpe"] = "Tpe"
    params: OptimizerParams = OptimizerParams()


class ModelConfig(Strict):
    """A model's YAML; ``model`` and ``accuracy_checker`` are absolute once loaded."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    model: Path
    accuracy_checker: Path | dict[str, Any]
    metric: str
    compression: CompressionParams
    optimizer: Optimizer = Optimizer()
    source: Path = Field(default=Path(), exclude=True, description="the file this was read from; set by the loader")
    data_folder: Path = Field(
        default=Path(), exclude=True, description="where the checker's relative paths start; set by the loader"
    )

    @field_validator("accuracy_checker", mode="before")
    @classmethod
    def _path_or_mapping(cls, value: Any) -> Any:
        if not isinstance(value, str | Path | dict):
            raise ValueError("must be a path or the accuracy checker's own configuration")
        return value

    @model_validator(mode="after")
    def _steps_to_tune(self) -> ModelConfig:
        if any("pipeline" in stage.tuning_scope for stage in self.optimizer.params.stages):
            require_steps(self.compression)
        return self

    def with_optimizer(self, changes: dict[str, Any]) -> ModelConfig:
        """Return the configuration with these parameters of Tpe changed."""
        params = self.optimizer.params.model_copy(update=changes)
        return self.model_copy(update={"optimizer": self.optimizer.model_copy(update={"params": params})})

    @property
    def location(self) -> str:
        """The file that an error about this model points at."""
        return str(self.source)


def load_model_config(path: Path, named_by: str = "") -> ModelConfig:
    """Read one model's YAML; its paths are relative to the file.

    Raises:
        ConfigurationError: see ``read_yaml`` and ``validate``; also a missing model or checker configuration.

    """
    return model_from_source(read_yaml(path, named_by))


def model_from_source(source: ConfigSource) -> ModelConfig:
    """Validate a model's YAML that was read already, and resolve its paths."""
    config = validate(ModelConfig, source)
    folder = source.path.resolve().parent
    changes: dict[str, Any] = {"source": source.path.resolve(), "model": folder / config.model, "data_folder": folder}
    if isinstance(config.accuracy_checker, Path):
        changes["accuracy_checker"] = folder / config.accuracy_checker
        changes["data_folder"] = changes["accuracy_checker"].parent
    hardware = config.compression.hardware
    if hardware is not None:
        changes["compression"] = config.compression.model_copy(update={"hardware": folder / hardware})
    resolved = config.model_copy(update=changes)
    named = {
        ("model",): resolved.model,
        ("accuracy_checker",): resolved.accuracy_checker,
        ("compression", "hardware"): resolved.compression.hardware,
    }
    for keys, file in named.items():
        if isinstance(file, Path) and not file.is_file():
            raise errors.file_missing(file, f"{source.where(keys)}: {'.'.join(keys)}")
    return resolved
