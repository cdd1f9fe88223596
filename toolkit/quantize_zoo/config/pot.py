"""POT's configuration files: what they say, in this project's terms.

A key that was POT's and has no meaning here is a warning that says what replaces it; any other unknown key is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from quantize_zoo import errors
from quantize_zoo.config.compression import CompressionParams
from quantize_zoo.config.json_source import read_json
from quantize_zoo.config.model import OptimizerParams
from quantize_zoo.config.numbers import Flag, ShareAboveZero
from quantize_zoo.config.strict import Strict
from quantize_zoo.config.yaml_source import ConfigSource, Key, read_yaml, validate
from quantize_zoo.text.paths import is_file, is_folder

_NO_MEANING = {
    "keep_uncompressed_weights": "weights are written at full precision; OpenVINO stores them as INT8 when it compiles",
    "multinode": "this command runs on one machine",
    "debug": "the log of a run has everything",
    "anneal": "the search is hyperopt's TPE, with nothing to anneal",
    "inplace_statistics": "statistics are always reduced inside the model",
    "stat_requests_number": "OpenVINO's throughput hint decides",
    "eval_requests_number": "OpenVINO's throughput hint decides",
    "level_low": "levels follow from bits and mode",
    "level_high": "levels follow from bits and mode",
    "use_layerwise_tuning": "layerwise tuning is not available; use_fast_bias: false corrects biases more accurately",
    "shuffle_data": "calibration takes the first samples in order",
    "seed": "the search has the option --seed",
    "performance_count": "the report names the kernels that ran",
    "nireq": "OpenVINO decides",
    "niter": "duration_seconds decides",
    "benchmark_app_dir": "latency is measured in this program's own process",
}
_DEVICES = {"ANY": "CPU", "VPU": "NPU", "NPU": "NPU", "CPU": "CPU", "GPU": "GPU", "CPU_SPR": "CPU"}


class _Model(Strict):
    model_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    model: Path
    weights: Path | None = None


class _Algorithm(Strict):
    name: Literal[
        "ActivationChannelAlignment",
        "BiasCorrection",
        "DefaultQuantization",
        "FastBiasCorrection",
        "MinMaxQuantization",
        "SmoothQuant",
        "TunableQuantization",
    ]
    params: dict[str, Any] = Field(default_factory=dict)


class _Compression(Strict):
    target_device: str = "ANY"
    model_type: Literal["transformer"] | None = None
    dump_intermediate_model: Flag = False
    algorithms: tuple[_Algorithm, ...] = Field(min_length=1)


class _Optimizer(Strict):
    name: Literal["Tpe"]
    params: dict[str, Any] = Field(default_factory=dict)


class _File(Strict):
    model: _Model
    engine: dict[str, Any]
    compression: _Compression
    optimizer: _Optimizer | None = None


class Images(Strict):
    """The simplified engine: a folder of images, fed as they are after resizing."""

    data_source: Path
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    central_fraction: ShareAboveZero | None = None


@dataclass(frozen=True)
class PotJob:
    """A POT configuration; ``engine`` is the accuracy checker's configuration, a path to it, or a folder of images."""

    name: str
    model: Path
    target: str
    compression: CompressionParams
    optimizer: OptimizerParams | None
    engine: Path | dict[str, Any] | Images
    dump_intermediate: bool
    source: Path
    warnings: tuple[str, ...]


def load_pot(path: Path) -> PotJob:
    """Read a POT configuration file; its paths are relative to the working directory, as POT's are.

    Raises:
        ConfigurationError: anything that is wrong in the file, or not available here.

    """
    source = read_json(path)
    warnings: list[str] = []
    data = _without_meaning(source, source.data, (), warnings)
    file = validate(_File, ConfigSource(path, data, source.lines))
    for key, named in (("model", file.model.model), ("weights", file.model.weights)):
        if named is not None and not is_file(named):
            raise errors.file_missing(named, f"{source.where(('model', key))}: model.{key}")
    target = _DEVICES.get(file.compression.target_device)
    if target is None:
        where = source.where(("compression", "target_device"))
        raise errors.unknown_value(where, "compression.target_device", file.compression.target_device, _DEVICES)
    algorithms = _algorithms(source, file.compression)
    content = {
        "compression": {"target_device": target, "algorithms": [algorithm for _, algorithm in algorithms]},
        "optimizer": _optimizer(file.optimizer) if file.optimizer else {},
    }
    lines = _moved(source.lines, [position for position, _ in algorithms])
    translated = validate(_Translated, ConfigSource(path, content, lines))
    return PotJob(
        name=file.model.model_name or file.model.model.stem,
        model=file.model.model.absolute(),
        target=target,
        compression=translated.compression,
        optimizer=translated.optimizer if file.optimizer else None,
        engine=_engine(source, file.engine),
        dump_intermediate=file.compression.dump_intermediate_model,
        source=path.absolute(),
        warnings=tuple(warnings),
    )


def load_pot_compression(path: Path) -> CompressionParams:
    """Read a YAML file that has POT's part ``compression`` alone, as Open Model Zoo's quantization.yml files do.

    Raises:
        ConfigurationError: anything that is wrong in the file, or not available here.

    """
    source = read_yaml(path)
    data = _without_meaning(source, source.data, (), [])
    file = validate(_CompressionFile, ConfigSource(path, data, source.lines))
    algorithms = _algorithms(source, file.compression)
    content = {"algorithms": [algorithm for _, algorithm in algorithms]}
    lines = _moved(source.lines, [position for position, _ in algorithms])
    return validate(_TranslatedCompression, ConfigSource(path, {"compression": content}, lines)).compression


class _CompressionFile(Strict):
    compression: _Compression


class _TranslatedCompression(Strict):
    compression: CompressionParams


class _Translated(Strict):
    compression: CompressionParams
    optimizer: OptimizerParams


def _without_meaning(source: ConfigSource, data: Any, at: tuple[Key, ...], warnings: list[str]) -> Any:
    """Return the data without the keys that have no meaning here, and warn of them; the engine's are not looked at."""
    if isinstance(data, list):
        return [_without_meaning(source, item, (*at, index), warnings) for index, item in enumerate(data)]
    if not isinstance(data, dict) or at == ("engine",):
        return data
    kept = {}
    for key, value in data.items():
        if key in _NO_MEANING:
            warnings.append(f"{source.where((*at, key))}: {key} is ignored: {_NO_MEANING[key]}")
        else:
            kept[key] = _without_meaning(source, value, (*at, key), warnings)
    return kept


def _algorithms(source: ConfigSource, compression: _Compression) -> list[tuple[int, dict[str, Any]]]:
    """Return the algorithms in this project's terms, each with the position of the one that it comes from."""
    algorithms: list[tuple[int, dict[str, Any]]] = []
    for position, algorithm in enumerate(compression.algorithms):
        # POT takes the whole dataset where no size is named.
        params: dict[str, Any] = {"stat_subset_size": None, **algorithm.params}
        params.pop("target_device", None)
        names: list[str] = [algorithm.name]
        if algorithm.name == "DefaultQuantization":
            correction = "FastBiasCorrection" if params.pop("use_fast_bias", True) else "BiasCorrection"
            names = ["ActivationChannelAlignment", "TunableQuantization", correction]
        elif algorithm.name == "MinMaxQuantization":
            names = ["TunableQuantization"]
        for name in names:
            whole = name == "TunableQuantization" or len(names) == 1
            own = dict(params) if whole else {"stat_subset_size": params["stat_subset_size"]}
            if name == "TunableQuantization" and compression.model_type is not None:
                own["model_type"] = compression.model_type
            algorithms.append((position, {"name": name, "params": own}))
    if all(algorithm["name"] != "TunableQuantization" for _, algorithm in algorithms):
        raise errors.pot_unsupported(
            source.where(("compression", "algorithms")),
            "no quantization among the algorithms",
            "add TunableQuantization, DefaultQuantization or MinMaxQuantization",
        )
    return algorithms


def _optimizer(optimizer: _Optimizer) -> dict[str, Any]:
    """Return the parameters, without the zeros of the benchmark, by which POT leaves a choice to OpenVINO."""
    # POT scored on all samples, and calibrated on the first of them.
    params = {"holdout": 0, "compatibility": "pot", **optimizer.params}
    benchmark = params.get("benchmark")
    if isinstance(benchmark, dict):
        params["benchmark"] = {key: value for key, value in benchmark.items() if value != 0}
    return params


def _moved(lines: dict[tuple[Key, ...], int], positions: list[int]) -> dict[tuple[Key, ...], int]:
    """Return the lines with those of the algorithms under their new positions."""
    prefix = ("compression", "algorithms")
    moved = {keys: line for keys, line in lines.items() if keys[:2] != prefix or len(keys) == len(prefix)}
    for new, old in enumerate(positions):
        moved.update({(*prefix, new, *keys[3:]): line for keys, line in lines.items() if keys[:3] == (*prefix, old)})
    return moved


def _engine(source: ConfigSource, engine: dict[str, Any]) -> Path | dict[str, Any] | Images:
    kind = engine.get("type", "accuracy_checker")
    options = {key: value for key, value in engine.items() if key not in ("type", "name", *_NO_MEANING)}
    if kind == "simplified":
        images = validate(_ImagesEngine, ConfigSource(source.path, {"engine": options}, source.lines)).engine
        if not is_folder(images.data_source):
            where = f"{source.where(('engine', 'data_source'))}: engine.data_source"
            raise errors.file_missing(images.data_source, where)
        return images
    if kind != "accuracy_checker":
        raise errors.unknown_value(
            source.where(("engine", "type")), "engine.type", str(kind), ["accuracy_checker", "simplified"]
        )
    if "config" in options:
        configuration = Path(str(options["config"])).absolute()
        if not is_file(configuration):
            raise errors.file_missing(configuration, f"{source.where(('engine', 'config'))}: engine.config")
        return configuration
    return {"models": [{"name": "model", **options}]}


class _ImagesEngine(Strict):
    engine: Images
