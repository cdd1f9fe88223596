"""A POT file's text as values: YAML or JSON by its name, without the keys that have no meaning here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantize_zoo.config.file_kinds import POT, require_kind
from quantize_zoo.config.json_source import read_json
from quantize_zoo.config.yaml_source import ConfigSource, Key, read_yaml
from quantize_zoo.errors import ConfigurationError

_YAML = (".yaml", ".yml")
_WEIGHTS_STAY = "weights are written at full precision; OpenVINO stores them as INT8 when it compiles"
_REQUESTS = "OpenVINO's throughput hint decides"
_NO_LAYERWISE = "layerwise tuning is not available; use_fast_bias: false corrects biases more accurately"
_STATISTICS = "statistics are always reduced inside the model"
_LEVELS = "levels follow from bits and mode"
NO_MEANING = {
    "keep_uncompressed_weights": _WEIGHTS_STAY,
    "multinode": "this command runs on one machine",
    "debug": "the log of a run has everything",
    "anneal": "the search is hyperopt's TPE, with nothing to anneal",
    "inplace_statistics": _STATISTICS,
    "inplase_statistics": _STATISTICS,  # as POT's own specification of DefaultQuantization spells it
    "stat_requests_number": _REQUESTS,
    "eval_requests_number": _REQUESTS,
    "level_low": _LEVELS,
    "level_high": _LEVELS,
    "use_layerwise_tuning": _NO_LAYERWISE,
    "shuffle_data": "calibration takes the first samples in order",
    "seed": "the search has the option --seed",
    "performance_count": "the report names the kernels that ran",
    "nireq": "OpenVINO decides",
    "niter": "duration_seconds decides",
    "cpu_bind_thread": "OpenVINO decides",
    "benchmark_app_dir": "latency is measured in this program's own process",
    "exec_log_dir": "--output-dir names the folder",
    "model_log_dir": "--output-dir names the folder",
}
# What DefaultQuantization's layerwise tuning took; elsewhere some of these names mean something.
_OF_ALGORITHMS = dict.fromkeys(
    (
        "num_samples_for_tuning", "batch_size", "optimizer", "loss", "tuning_iterations", "random_seed",
        "use_ranking_subset", "calibration_indices_pool", "calculate_grads_on_loss_increase_only", "weight_decay",
    ),
    _NO_LAYERWISE,
)  # fmt: skip
_OF_BORDERS = {"granularity": "the border's granularity is the tensor's"}
_OF_MODELS = {"name": "POT's key is model_name; without it the model is named after its file"}


# What stands in the file that POT's options stand for, by the option that said it.
OPTIONS: dict[tuple[Key, ...], str] = {
    ("model", "model"): "-m",
    ("model", "weights"): "-w",
    ("engine",): "--engine",
    ("engine", "type"): "--engine",
    ("engine", "config"): "--ac-config",
    ("engine", "data_source"): "--data-source",
    ("engine", "shape"): "--shape",
    ("compression", "algorithms", 0, "params", "preset"): "--preset",
    ("compression", "algorithms", 0, "params", "maximal_drop"): "--max-drop",
    ("compression", "algorithms"): "-q",
}


@dataclass(frozen=True)
class PotSource(ConfigSource):
    """A file of POT's with what options say beside it, or options alone; ``options`` are those that said something."""

    options: Mapping[tuple[Key, ...], str] = field(default_factory=dict)

    @staticmethod
    def of(source: ConfigSource, data: Any, said: Collection[tuple[Key, ...]]) -> PotSource:
        """Return a file's values with those that options said, at these keys."""
        return PotSource(source.path, data, source.lines, {keys: OPTIONS[keys] for keys in said})

    def option(self, location: Sequence[Key]) -> str | None:
        """Return the option that said what stands at these keys; None where a file did, or nothing does."""
        keys = tuple(location)
        while keys and keys not in self.options and keys not in self.lines:
            keys = keys[:-1]
        return self.options.get(keys)

    def where(self, location: Sequence[Key]) -> str:
        """Return the option that said what stands at these keys, or its place in the file."""
        option = self.option(location)
        if option is not None:
            return option
        return super().where(location) if self.lines else str(self.path)


@dataclass(frozen=True)
class PartSource(ConfigSource):
    """Values of a part of a file, to which the keys ``before`` lead."""

    file: ConfigSource
    before: tuple[Key, ...]

    @staticmethod
    def of(file: ConfigSource, before: tuple[Key, ...], data: Any) -> PartSource:
        """Return values with the part of a file that they stand in."""
        return PartSource(file.path, data, {}, file, before)

    def where(self, location: Sequence[Key]) -> str:
        """Return the place in the file."""
        return self.file.where((*self.before, *location))


def place_of(source: ConfigSource, at: tuple[Key, ...], name: str = "") -> str:
    """Return an option, or the place of keys in a file with their name, by default all of them."""
    where = source.where(at)
    is_option = isinstance(source, PotSource) and source.option(at) is not None
    return where if is_option else f"{where}: {name or '.'.join(map(str, at))}"


def read_pot_file(path: Path) -> ConfigSource:
    """Read a POT file: YAML if its name says so, else JSON with comments.

    Raises:
        ConfigurationError: it cannot be read, or is another program's, or another one of this program.

    """
    if path.suffix.lower() in _YAML:
        source = read_yaml(path)
    else:
        try:
            source = read_json(path)
        except ConfigurationError:
            _require_pot(_as_yaml(path))
            raise
    _require_pot(source)
    return source


def without_meaning(source: ConfigSource, warnings: list[str]) -> Any:
    """Return the values without the keys that have no meaning here, and warn of these; the engine's are left."""
    return _kept(source, source.data, (), warnings)


def ignored(source: ConfigSource, at: tuple[Key, ...], why: str) -> str:
    """Return the warning of a key that is not looked at."""
    return f"{place_of(source, at, str(at[-1]))} is ignored: {why}"


def _kept(source: ConfigSource, data: Any, at: tuple[Key, ...], warnings: list[str]) -> Any:
    if isinstance(data, list):
        return [_kept(source, item, (*at, index), warnings) for index, item in enumerate(data)]
    # Names and attributes of the model's operations stand below ignored, and are anything.
    if not isinstance(data, dict) or at == ("engine",) or "ignored" in at:
        return data
    known = {**NO_MEANING, **_meaningless_at(at)}
    kept = {}
    for key, value in data.items():
        if key in known:
            warnings.append(ignored(source, (*at, key), known[key]))
        else:
            kept[key] = _kept(source, value, (*at, key), warnings)
    return kept


def _meaningless_at(at: tuple[Key, ...]) -> Mapping[str, str]:
    if at == ("model",):
        return _OF_MODELS
    if at[:2] == ("compression", "algorithms"):
        return _OF_BORDERS if at[-1] in ("min", "max") else _OF_ALGORITHMS if at[-1] == "params" else {}
    return {}


def _as_yaml(path: Path) -> ConfigSource:
    try:
        return read_yaml(path)
    except ConfigurationError:
        return ConfigSource(path, None, {})


def _require_pot(source: ConfigSource) -> None:
    require_kind(source.data, POT, source.path, source.where(()))
