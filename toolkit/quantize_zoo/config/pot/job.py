"""POT's configuration files: what they say, in this project's terms.

A key that was POT's and has no meaning here is a warning that says what replaces it; any other unknown key is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from quantize_zoo import errors
from quantize_zoo.config.compression import CompressionParams, CompressionValues
from quantize_zoo.config.model import BenchmarkParams, OptimizerParams
from quantize_zoo.config.numbers import Flag
from quantize_zoo.config.pot.algorithms import AccuracyAware, Algorithm, require_one_pipeline, translate
from quantize_zoo.config.pot.command_line import PotOptions, read_options
from quantize_zoo.config.pot.engine import Engine, read_engine
from quantize_zoo.config.pot.places import ModelPlaces, TranslatedSource
from quantize_zoo.config.pot.source import PotSource, place_of, read_pot_file, without_meaning
from quantize_zoo.config.strict import Strict
from quantize_zoo.config.yaml_source import ConfigSource, Key, read_yaml, validate
from quantize_zoo.text.paths import is_file

_DEVICES = {"ANY": "CPU", "VPU": "NPU", "NPU": "NPU", "CPU": "CPU", "GPU": "GPU", "CPU_SPR": "CPU"}
_FILLED = {"simplified": ("data_source",), "data_free": ("data_source", "shape")}  # of engines, by options
_GONE_DEVICES = ("GNA", "GNA3", "GNA3.5")
_READ_AS_ANOTHER = {
    "VPU": "OpenVINO has no plugin for VPUs any more (MYRIAD, HDDL); the hardware configuration is an NPU's",
    "CPU_SPR": "POT had rules for its additions; the hardware configuration is any CPU's",
}


class _Model(Strict):
    model_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    model: Path
    weights: Path | None = None


class _Compression(Strict):
    target_device: str = "ANY"
    model_type: Literal["transformer"] | None = None
    dump_intermediate_model: Flag = False
    algorithms: tuple[Algorithm, ...] = Field(min_length=1)

    @field_validator("model_type", mode="before")
    @classmethod
    def _no_type(cls, value: Any) -> Any:
        return None if value == "None" else value  # as POT's own specification writes it


class _Optimizer(Strict):
    name: Literal["Tpe"]
    params: dict[str, Any] = Field(default_factory=dict)


class _File(Strict):
    model: _Model
    engine: dict[str, Any]
    compression: _Compression
    optimizer: _Optimizer | None = None


@dataclass(frozen=True)
class PotJob:
    """A POT configuration; it is a search if there is an ``optimizer`` or accuracy is to be kept (``accuracy_aware``).

    ``weights`` are those of the model, if they do not lie beside it under its name. ``names`` are what names weights
    and model: options, or keys of the file; ``places`` tells where the file says what a model's YAML would say.
    """

    name: str
    model: Path
    weights: Path | None
    target: str
    compression: CompressionParams
    optimizer: OptimizerParams | None
    accuracy_aware: AccuracyAware | None
    engine: Engine
    dump_intermediate: bool
    source: Path
    places: ModelPlaces
    warnings: tuple[str, ...]
    names: tuple[str, str]

    @property
    def is_search(self) -> bool:
        """Tell whether models are compared, which takes a metric."""
        return self.optimizer is not None or self.accuracy_aware is not None


def load_pot(path: Path, options: PotOptions = PotOptions()) -> PotJob:  # noqa: B008 -- frozen
    """Read a POT configuration file; its paths are relative to the working directory, as POT's are.

    Raises:
        ConfigurationError: anything that is wrong in the file, or not available here.

    """
    read = read_pot_file(path)
    data, said = _with_engine(read.data, options)
    return _job(PotSource.of(read, data, said), path, options)


def pot_of_options(options: PotOptions) -> PotJob:
    """Return what POT's command line asks for by itself, without a file.

    Raises:
        ConfigurationError: a file is missing, or the options do not go together.

    """
    read = read_options(options)
    source = replace(read, data=_with_engine(read.data, options)[0])
    return _job(source, options.ac_config or options.model or Path(), options)


def load_pot_compression(path: Path) -> CompressionParams:
    """Read a YAML file that has POT's part ``compression`` alone, as Open Model Zoo's quantization.yml files do.

    Raises:
        ConfigurationError: anything that is wrong in the file, or not available here.

    """
    source = read_yaml(path)
    data = without_meaning(source, [])
    file = validate(_CompressionFile, ConfigSource(path, data, source.lines))
    compression = file.compression
    found = translate(source, compression.algorithms, compression.target_device, compression.model_type, [])
    content = {"algorithms": [algorithm for _, algorithm in found.algorithms]}
    translated = TranslatedSource.of(source, {"compression": content}, found)
    validate(_Values, translated)
    require_one_pipeline(source, compression.algorithms, found)
    return validate(_TranslatedCompression, translated).compression


class _CompressionFile(Strict):
    compression: _Compression


class _Values(Strict):
    compression: CompressionValues


class _TranslatedCompression(Strict):
    compression: CompressionParams


class _Translated(Strict):
    compression: CompressionParams
    optimizer: OptimizerParams


def _job(source: PotSource, path: Path, options: PotOptions) -> PotJob:
    warnings = [*options.warnings, *_unused_options(source, options)]
    data = without_meaning(source, warnings)
    _refuse_cascade(source, data)
    file = validate(_File, replace(source, data=data))
    for key, named in (("model", file.model.model), ("weights", file.model.weights)):
        if named is not None and not is_file(named):
            raise errors.file_missing(named, place_of(source, ("model", key)), beside=False)
    compression = file.compression
    target = _target(source, compression.target_device, warnings)
    found = translate(source, compression.algorithms, compression.target_device, compression.model_type, warnings)
    if found.accuracy_aware is not None and file.optimizer is not None:
        raise errors.pot_unsupported(
            source.where(("optimizer",)),
            "AccuracyAwareQuantization is a search, and Tpe is another one",
            "remove the optimizer, or name TunableQuantization instead",
        )
    content = {
        "compression": {"target_device": target, "algorithms": [algorithm for _, algorithm in found.algorithms]},
        "optimizer": _optimizer(file.optimizer) if file.optimizer else {},
    }
    translated_source = TranslatedSource.of(source, content, found)
    validate(_Values, replace(translated_source, data={"compression": content["compression"]}))
    require_one_pipeline(source, compression.algorithms, found)
    translated = validate(_Translated, translated_source)
    engine = read_engine(source, file.engine, warnings)
    weights = file.model.weights
    beside = file.model.model.with_suffix(".bin")
    return PotJob(
        name=file.model.model_name or file.model.model.stem,
        model=file.model.model.absolute(),
        weights=None if weights is None or weights.absolute() == beside.absolute() else weights.absolute(),
        target=target,
        compression=translated.compression,
        optimizer=translated.optimizer if file.optimizer else None,
        accuracy_aware=found.accuracy_aware,
        engine=engine,
        dump_intermediate=compression.dump_intermediate_model,
        source=path.absolute(),
        places=ModelPlaces.of(translated_source, engine, found),
        warnings=tuple(warnings),
        names=(place_of(source, ("model", "weights")), "-m" if options.config is None else "model.model"),
    )


def _with_engine(data: Any, options: PotOptions) -> tuple[Any, list[tuple[Key, ...]]]:
    """Return the values with what the command line says of the engine: its type wins, its data fill a gap.

    And the keys of what it says.
    """
    if not isinstance(data, dict) or not isinstance(data.get("engine"), dict):
        return data, []
    engine, said = dict(data["engine"]), []
    if options.engine is not None:
        engine["type"] = options.engine
        said.append("type")
    given = {"data_source": options.data_source, "shape": options.shape}
    for key, value in given.items():
        if value is not None and key in _FILLED.get(str(engine.get("type")), ()) and key not in engine:
            engine[key] = str(value)
            said.append(key)
    return {**data, "engine": engine}, [("engine", key) for key in said]


def _unused_options(source: PotSource, options: PotOptions) -> list[str]:
    """Return warnings of options that say nothing: the engine does not take them, or the file says it already."""
    engine = source.data.get("engine") if isinstance(source.data, dict) else None
    if not isinstance(engine, dict):
        return []
    kind = str(engine.get("type", "accuracy_checker"))
    unused = []
    for key, option, value in (
        ("data_source", "--data-source", options.data_source),
        ("shape", "--shape", options.shape),
    ):
        if value is None:
            continue
        if key not in _FILLED.get(kind, ()):
            unused.append(f"{option} is ignored: the engine is {kind}")
        elif source.option(("engine", key)) != option:
            unused.append(f"{option} is ignored: {place_of(source, ('engine', key))} says it")
    return unused


def _refuse_cascade(source: ConfigSource, data: Any) -> None:
    model = data.get("model") if isinstance(data, dict) else None
    if isinstance(model, dict) and "cascade" in model:
        raise errors.pot_unsupported(
            source.where(("model", "cascade")),
            "a cascade is several networks, one fed with what the other finds, which POT quantized at once",
            "quantize one of them: name its files as model.model and model.weights, and in the engine a configuration "
            "of the accuracy checker that feeds this network alone",
        )


def _target(source: ConfigSource, device: str, warnings: list[str]) -> str:
    where, key = source.where(("compression", "target_device")), "compression.target_device"
    if device in _GONE_DEVICES:
        raise errors.pot_unsupported(
            where, f"{key}: OpenVINO has no GNA plugin since 2024.0", f"name one of {', '.join(_DEVICES)}"
        )
    if device not in _DEVICES:
        raise errors.unknown_value(where, key, device, _DEVICES)
    if device in _READ_AS_ANOTHER:
        warnings.append(
            f"{place_of(source, ('compression', 'target_device'))} {device} is read as {_DEVICES[device]}: "
            f"{_READ_AS_ANOTHER[device]}"
        )
    return _DEVICES[device]


def _optimizer(optimizer: _Optimizer) -> dict[str, Any]:
    """Return the parameters, without the zeros of the benchmark, by which POT leaves a choice to OpenVINO."""
    # POT scored on all samples, and calibrated on the first of them.
    params = {"holdout": 0, "compatibility": "pot", **optimizer.params}
    benchmark = params.get("benchmark")
    if isinstance(benchmark, dict):
        params["benchmark"] = {key: value for key, value in benchmark.items() if not _leaves_a_choice(key, value)}
    return params


def _leaves_a_choice(key: str, value: Any) -> bool:
    return key in BenchmarkParams.model_fields and isinstance(value, int) and value is not False and value == 0
