"""One model's YAML. Names follow POT and the accuracy checker; unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, PrivateAttr, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from quantize_zoo import errors
from quantize_zoo.config.compression import (
    DEFAULT_COMPRESSION,
    CompressionParams,
    EstimatorTuningScope,
    TuningScope,
    check_scopes,
    require_steps,
)
from quantize_zoo.config.devices import require_device_name
from quantize_zoo.config.file_kinds import MODEL, require_kind
from quantize_zoo.config.hardware import load_hardware
from quantize_zoo.config.keys import CellKey
from quantize_zoo.config.numbers import (
    BatchSize,
    Dimension,
    Flag,
    Metric,
    Minutes,
    Percent,
    PropertyValue,
    Samples,
    Seconds,
    ShareBelowOne,
    ShareBetween,
    SpeedRatio,
    Threads,
    Trials,
    Weight,
)
from quantize_zoo.config.strict import Strict
from quantize_zoo.config.yaml_source import ConfigSource, read_yaml, validate
from quantize_zoo.terms import TrialsLoadMethod
from quantize_zoo.text.paths import is_file, is_folder

InferencePrecision = Literal["f32", "bf16", "f16"]
# oneDNN's names, as its environment variable ONEDNN_MAX_CPU_ISA takes them.
InstructionSet = Literal[
    "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16", "AVX512_CORE_FP16",
    "AVX512_CORE_AMX",
]  # fmt: skip


class DeviceSpec(Strict):
    """A target device; written as its OpenVINO name, or as a mapping when more is asked of it.

    ``isa`` limits a CPU to an instruction set, at f32; ``device_config`` are properties of its plugin; ``models`` are
    those of the matrix that run on it, all by default.
    """

    device: str = Field(min_length=1)
    inference_precision: InferencePrecision | None = None
    isa: InstructionSet | None = None
    device_config: dict[str, PropertyValue] = Field(default={})
    models: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"device": value}
        # oneDNN limited to a set cannot run the lower precisions that OpenVINO still announces.
        return {"inference_precision": "f32", **value} if isinstance(value, dict) and value.get("isa") else value

    @model_validator(mode="after")
    def _isa_is_a_cpu_at_f32(self) -> DeviceSpec:
        if self.isa is not None and self.device != "CPU":
            raise ValueError("isa limits a CPU: device must be CPU")
        if self.isa is not None and self.inference_precision != "f32":
            raise ValueError("isa needs inference_precision f32: OpenVINO announces more than the limited set can do")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """A device is a string or a mapping; pydantic knows of the mapping alone."""
        return {"anyOf": [{"type": "string"}, handler(core)]}

    @property
    def label(self) -> str:
        """The name of the device in tables, with what was asked of it; see ``CellKey.device_label``."""
        return self.key("").device_label

    def key(self, model: str, cpu: str = "") -> CellKey:
        """Return the key of a model's cell on this device."""
        properties = tuple(sorted((name, str(value)) for name, value in self.device_config.items()))
        return CellKey(model, self.device, properties, self.isa, self.inference_precision, cpu)


class BenchmarkParams(Strict):
    """How latency is measured; the names are POT's."""

    nthreads: Threads = 1
    nstreams: Threads = 1
    api_type: Literal["sync", "async"] = "sync"
    batch_size: BatchSize = 1
    duration_seconds: Seconds = Field(default=1.0, description="time budget of one comparison with FP32")


class MetricBaseline(Strict):
    """The FP32 value of a metric, which spares evaluating the FP32 model."""

    name: str
    baseline_value: Metric


class StageParams(Strict):
    """A part of a search with a scope of its own; the first starts where the load method says, others at the best."""

    max_trials: Trials
    tuning_scope: TuningScope
    estimator_tuning_scope: EstimatorTuningScope = ()

    @model_validator(mode="after")
    def _scopes_agree(self) -> StageParams:
        check_scopes(self.tuning_scope, self.estimator_tuning_scope)
        return self


class OptimizerParams(Strict):
    """Parameters of Tpe; accuracy_loss is in percent of the FP32 value, latency_reduce is FP32 time / INT8 time.

    ``size_reduce`` is FP32 bytes / bytes of the weights, where that is a target as well.
    ``holdout`` is the share of the samples that the search never sees; ``compatibility: pot`` searches
    and corrects biases as POT did.
    """

    max_trials: Trials = 60
    max_minutes: Minutes | None = None
    trials_load_method: TrialsLoadMethod = "cold_start"
    stages: tuple[StageParams, ...] = ()
    stop_on_target: Flag = False
    eval_subset_size: Samples | None = None
    holdout: ShareBelowOne = 0.3
    metrics: tuple[MetricBaseline, ...] = ()
    compatibility: Literal["pot"] | None = None
    accuracy_loss: Percent = 1.0
    latency_reduce: SpeedRatio = 1.0
    size_reduce: SpeedRatio | None = None
    accuracy_weight: Weight = 1.0
    latency_weight: Weight = 1.0
    expected_quantization_ratio: ShareBetween = 0.5
    quantization_ratio_weight: Weight = 0.0
    benchmark: BenchmarkParams = BenchmarkParams()


class Optimizer(Strict):
    """The optimizer entry."""

    name: Literal["Tpe"] = "Tpe"
    params: OptimizerParams = OptimizerParams()


WholeModelChange = Literal["pipeline", "activations", "estimator"]


class GiveBack(Strict):
    """A search that gives quantized layers back, those with the largest errors first, until accuracy_loss is met.

    ``most`` is how many layers it tries at most, all but one by default. With ``steps_back`` a layer whose return makes
    the accuracy worse is quantized again. ``changes`` are tried on the whole model before: without a step of the
    pipeline, another mode of activations, other range estimators.
    """

    most: int | None = Field(default=None, ge=0)
    steps_back: bool = True
    changes: tuple[WholeModelChange, ...] = ()


ZOO_PREFIX = "omz:"


class CheckerPaths(Strict):
    """Where the accuracy checker's relative paths start, as its options of these names say."""

    source: Path | None = None
    annotations: Path | None = None
    models: Path | None = None
    model_attributes: Path | None = None


class ModelConfig(Strict):
    """A model's YAML; its paths are absolute once loaded.

    ``model`` is a file, a folder (TensorFlow's SavedModel), or ``omz:NAME`` of Open Model Zoo; then
    ``accuracy_checker`` may be absent. ``dataset`` is the one that is tuned on, if the checker's configuration has
    several.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    model: Path
    accuracy_checker: Path | dict[str, Any] = Path()
    definitions: Path | None = None
    paths: CheckerPaths = CheckerPaths()
    dataset: str | None = None
    input_shapes: dict[str, tuple[Dimension, ...]] = Field(
        default={}, description="shapes to deploy, by input, -1 for a dynamic dimension; by default the model's own"
    )
    metric: str = Field(default="", description="the one that is tuned; by default the dataset's first")
    on_bad_sample: Literal["fail", "skip"] = "fail"
    compression: CompressionParams = DEFAULT_COMPRESSION
    optimizer: Optimizer = Optimizer()
    give_back: GiveBack | None = Field(default=None, exclude=True, description="instead of Tpe; set by POT's loader")
    source: Path = Field(default=Path(), exclude=True, description="the file this was read from; set by the loader")
    data_folder: Path = Field(
        default=Path(), exclude=True, description="where the checker's relative paths start; set by the loader"
    )

    _places: ConfigSource | None = PrivateAttr(default=None)

    @field_validator("accuracy_checker", mode="before")
    @classmethod
    def _path_or_mapping(cls, value: Any) -> Any:
        if not isinstance(value, str | Path | dict):
            raise ValueError("must be a path or the accuracy checker's own configuration")
        return value

    @model_validator(mode="after")
    def _steps_to_tune(self) -> ModelConfig:
        if "accuracy_checker" not in self.model_fields_set and self.zoo_name is None:
            raise PydanticCustomError("missing_checker", "key 'accuracy_checker' is missing")
        if any("pipeline" in stage.tuning_scope for stage in self.optimizer.params.stages):
            require_steps(self.compression)
        return self

    @property
    def zoo_name(self) -> str | None:
        """The model's name in Open Model Zoo, if it is from there."""
        return str(self.model)[len(ZOO_PREFIX) :] if str(self.model).startswith(ZOO_PREFIX) else None

    @property
    def places(self) -> ConfigSource | None:
        """What tells where keys stand, if the file that this was read from is no model's YAML."""
        return self._places

    def placed_by(self, places: ConfigSource) -> ModelConfig:
        """Return the configuration, of which these tell where keys stand."""
        placed = self.model_copy()
        placed._places = places
        return placed

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
    require_kind(source.data, MODEL, source.path, source.where(()))
    config = validate(ModelConfig, source)
    where = f"{source.where(('compression', 'target_device'))}: compression.target_device"
    require_device_name(config.compression.target_device, where)
    folder = source.path.resolve().parent
    own_checker = "accuracy_checker" in config.model_fields_set
    named: dict[tuple[str, ...], Path | None] = {
        ("model",): None if config.zoo_name else folder / config.model,
        ("accuracy_checker",): _beside(folder, config.accuracy_checker if own_checker else None),
        ("definitions",): _beside(folder, config.definitions),
        ("compression", "hardware"): _beside(folder, config.compression.hardware),
    }
    prefixes = {name: folder / path for name, path in config.paths if path is not None}
    named.update({("paths", name): path for name, path in prefixes.items()})
    for keys, file in named.items():
        if file is not None and not is_file(file) and not (keys[0] in ("model", "paths") and is_folder(file)):
            raise errors.file_missing(file, f"{source.where(keys)}: {'.'.join(keys)}")
    checker, hardware = named[("accuracy_checker",)], named[("compression", "hardware")]
    if hardware is not None:
        _require_hardware(hardware, f"{source.where(('compression', 'hardware'))}: compression.hardware")
    # What the file leaves out stays unset, so that Open Model Zoo's own can take its place.
    changes: dict[str, Any] = {
        "source": source.path.resolve(),
        "model": named[("model",)] or config.model,
        "data_folder": checker.parent if checker else folder,
        "definitions": named[("definitions",)],
        "paths": CheckerPaths(**prefixes),
    }
    if checker is not None:
        changes["accuracy_checker"] = checker
    if hardware is not None:
        changes["compression"] = config.compression.model_copy(update={"hardware": hardware})
    return config.model_copy(update=changes)


def _require_hardware(path: Path, named_by: str) -> None:
    """Refuse another YAML, which the cell would stumble upon."""
    try:
        load_hardware(path)
    except errors.ConfigurationError as error:
        raise errors.no_hardware(named_by, error) from error


def _beside(folder: Path, named: object) -> Path | None:
    """Resolve a path that a file of this folder names; None for what is no path."""
    return folder / named if isinstance(named, Path) else None
