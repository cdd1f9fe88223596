"""POT's algorithms in this project's terms; accuracy-aware quantization as what it asks of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from pydantic import Field

from quantize_zoo import errors
from quantize_zoo.config.compression import (
    CORRECTIONS,
    PIPELINE_ORDER,
    AlignmentParams,
    BiasCorrectionParams,
    SmoothQuantParams,
    TunableQuantizationParams,
)
from quantize_zoo.config.model import GiveBack, WholeModelChange
from quantize_zoo.config.numbers import Flag
from quantize_zoo.config.pot.source import PartSource, ignored
from quantize_zoo.config.strict import Strict
from quantize_zoo.config.yaml_source import ConfigSource, Key, validate

ACCURACY_AWARE = "AccuracyAwareQuantization"
_QUANTIZING = ("TunableQuantization", "DefaultQuantization", "MinMaxQuantization", ACCURACY_AWARE)
_ANY_PRESET = {"symmetric": "performance", "asymmetric": "accuracy"}
_KEEPS_ACCURACY = ("NPU", "VPU")  # POT's command read accuracy as mixed for all others
_SLOW_CORRECTION_THRESHOLD = 1000.0  # POT's default for BiasCorrection; of FastBiasCorrection it is ours
_CORRECTION = frozenset(BiasCorrectionParams.model_fields)
_QUANTIZATION = frozenset(TunableQuantizationParams.model_fields) | {"target_device"}
_DEFAULT = _QUANTIZATION | _CORRECTION | {"use_fast_bias", "apply_for_all_nodes"}
_TPE = "use TunableQuantization with the optimizer Tpe and tuning_scope: [range_estimator]"
_PRUNE = "remove it; weights are pruned while a model is trained, with NNCF"
_ELSEWHERE = {
    "WeightSparsity": ("no weights are pruned here", _PRUNE),
    "MagnitudeSparsity": ("no weights are pruned here", _PRUNE),
    "BaseWeightSparsity": ("no weights are pruned here", _PRUNE),
    "INT4MixedQuantization": (
        "no plugin computes convolutions in INT4",
        "remove it, or quantize weights alone with NNCF's compress_weights",
    ),
    "RangeOptimization": ("ranges are not optimized one by one here", _TPE),
    "ParamsGridSearchAlgorithm": ("estimators are found by a search here", _TPE),
    "ParamsTuningSearch": ("estimators are found by a search here", _TPE),
    "QuantileTuningAlgorithm": ("quantiles are found by a search here", _TPE),
    "DataFreeQuantization": (
        "it is an engine's choice here",
        "use DefaultQuantization with engine.type: data_free, or better with pictures",
    ),
    "OverflowCorrection": (
        "weights are scaled so that nothing overflows",
        "remove it, and name saturation_fix: all if an old CPU saturates",
    ),
    "RangeSupervision": ("no ranges are supervised here", "remove it"),
    "OutlierChannelSplitting": ("no channels are split here", "use SmoothQuant or ActivationChannelAlignment"),
    "WeightBiasCorrection": ("weights have no bias of their own corrected", "use FastBiasCorrection"),
    "LayerwiseFinetuning": ("no weights are trained here", "use BiasCorrection"),
    "AccuracyAwareGNA": ("OpenVINO has no GNA plugin since 2024.0", f"use {ACCURACY_AWARE} for another device"),
}
_MEASURING = {"QuantNoiseEstimator": "it changed nothing; the report of a search has the error of each operation"}
_KNOWN: dict[str, frozenset[str]] = {
    "TunableQuantization": _QUANTIZATION,
    "MinMaxQuantization": _QUANTIZATION,
    "DefaultQuantization": _DEFAULT,
    "ActivationChannelAlignment": frozenset(AlignmentParams.model_fields),
    "SmoothQuant": frozenset(SmoothQuantParams.model_fields),
    "FastBiasCorrection": _CORRECTION | {"apply_for_all_nodes"},
    "BiasCorrection": _CORRECTION | {"apply_for_all_nodes"},
}
# What a part of an algorithm does, which a pipeline does once.
_DUTIES = {
    "ActivationChannelAlignment": "align channels",
    "SmoothQuant": "smooth activations",
    "TunableQuantization": "quantize",
    **dict.fromkeys(CORRECTIONS, "correct biases"),
}


class Algorithm(Strict):
    """One of the file's algorithms, whose parameters are not looked at yet."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict)


class _Metric(Strict):
    name: str
    type: str | None = None
    baseline_value: float | None = None


class AccuracyAware(Strict):
    """What AccuracyAwareQuantization asks for; a drop is one of the metric's values, or a share of FP32's."""

    maximal_drop: float = Field(default=0.01, ge=0)
    drop_type: Literal["absolute", "relative"] = "absolute"
    max_iter_num: int | None = Field(default=None, ge=0)
    use_prev_if_drop_increase: Flag = True
    base_algorithm: Literal["DefaultQuantization", "MinMaxQuantization"] = "DefaultQuantization"
    annotation_free: Flag = False
    tune_hyperparams: Flag = False
    convert_to_mixed_preset: Flag = False
    metrics: tuple[_Metric, ...] = ()

    @property
    def give_back(self) -> GiveBack:
        """The search that it is here."""
        wanted: dict[WholeModelChange, bool] = {
            "pipeline": self.base_algorithm == "DefaultQuantization",  # a step that harms costs no speed to leave out
            "activations": self.convert_to_mixed_preset,
            "estimator": self.tune_hyperparams,
        }
        changes = tuple(change for change, is_wanted in wanted.items() if is_wanted)
        return GiveBack(most=self.max_iter_num, steps_back=self.use_prev_if_drop_increase, changes=changes)


_AWARE = frozenset(AccuracyAware.model_fields)
_AWARE_IGNORED = {
    "ranking_subset_size": "layers are ranked by the errors of their outputs, of which 32 samples tell enough",
    "metric_subset_ratio": "every trial is scored on all samples",
    "annotation_conf_threshold": "it belongs to annotation_free, which is not available",
}


@dataclass(frozen=True)
class Translated:
    """Algorithms here, each with the position of POT's that it comes from; what accuracy-aware quantization asks.

    ``aware_position`` is the position of accuracy-aware quantization among POT's.
    """

    algorithms: list[tuple[int, dict[str, Any]]]
    accuracy_aware: AccuracyAware | None
    aware_position: int | None


def translate(
    source: ConfigSource, algorithms: Iterable[Algorithm], target: str, model_type: str | None, warnings: list[str]
) -> Translated:
    """Return POT's algorithms in this project's terms.

    Args:
        source: the file.
        algorithms: as they are written there.
        target: POT's target device.
        model_type: of the compression.
        warnings: what is read otherwise than it is written is added to them.

    Raises:
        ConfigurationError: an algorithm or parameter is not available, or none of them quantizes.

    """
    found: list[tuple[int, dict[str, Any]]] = []
    aware, aware_position = None, None
    for position, algorithm in enumerate(algorithms):
        at: tuple[Key, ...] = ("compression", "algorithms", position, "params")
        params = dict(algorithm.params)
        name = algorithm.name
        if name in _MEASURING:
            warnings.append(f"{source.where((*at[:-1], 'name'))}: {name} is ignored: {_MEASURING[name]}")
            continue
        if name == ACCURACY_AWARE:
            aware, aware_position = _accuracy_aware(source, at, params, warnings), position
            name = aware.base_algorithm
        _require_available(source, at[:-1], name)
        _require_known(source, at, params, _KNOWN[name] | (_AWARE if aware else frozenset()))
        _read_preset(source, at, params, target, warnings)
        if params.pop("apply_for_all_nodes", False):
            warnings.append(
                ignored(source, (*at, "apply_for_all_nodes"), "biases are corrected where weights are quantized")
            )
        scope = params.get("tuning_scope", ["range_estimator"])
        has_no_estimators = isinstance(scope, list) and "range_estimator" not in scope
        if has_no_estimators and params.pop("estimator_tuning_scope", ()):
            why = "range_estimator is not in tuning_scope"
            warnings.append(ignored(source, (*at, "estimator_tuning_scope"), why))
        parts = _parts(source, at, name, params)
        if model_type is not None:
            for part in parts:
                if part["name"] == "TunableQuantization":
                    part["params"]["model_type"] = model_type
        found += [(position, part) for part in parts]
    if all(part["name"] != "TunableQuantization" for _, part in found):
        raise errors.pot_unsupported(
            source.where(("compression", "algorithms")),
            "no quantization among the algorithms",
            "add TunableQuantization, DefaultQuantization, MinMaxQuantization or AccuracyAwareQuantization",
        )
    return Translated(found, aware, aware_position)


def require_one_pipeline(source: ConfigSource, algorithms: Sequence[Algorithm], found: Translated) -> None:
    """Refuse algorithms that do the same, or stand in another order than they run in, by the names in the file.

    Args:
        source: the file.
        algorithms: as they are written there.
        found: what they are here.

    Raises:
        ConfigurationError: two of them cannot stand together, or not in this order.

    """
    names = [each.name for each in algorithms]
    parts: dict[int, list[str]] = {}
    for position, part in found.algorithms:
        parts.setdefault(position, []).append(part["name"])
    pairs = list(combinations(parts, 2))
    for first, second in pairs:
        where = source.where(("compression", "algorithms", second, "name"))
        done = [_DUTIES[part] for part in parts[first]]
        for duty in (_DUTIES[part] for part in parts[second] if _DUTIES[part] in done):
            both = f"{names[first]} and {names[second]} both {duty}"
            what = f"{names[second]} is named twice" if names[first] == names[second] else both
            raise errors.pot_unsupported(where, what, "remove one of the two")
    for first, second in pairs:
        where = source.where(("compression", "algorithms", second, "name"))
        ranks, others = ([PIPELINE_ORDER.index(part) for part in parts[each]] for each in (first, second))
        if max(others) < min(ranks):
            what = f"{names[second]} runs before {names[first]}"
            raise errors.pot_unsupported(where, what, f"name it before {names[first]}")
        if max(ranks) > min(others):
            listed = ", ".join(sorted(parts[first] + parts[second], key=PIPELINE_ORDER.index))
            what = f"{names[first]} and {names[second]} do not run one after the other"
            raise errors.pot_unsupported(where, what, f"name what they consist of instead: {listed}")


def _require_available(source: ConfigSource, at: tuple[Key, ...], name: str) -> None:
    if name in _ELSEWHERE:
        why, remedy = _ELSEWHERE[name]
        raise errors.pot_unsupported(source.where((*at, "name")), f"{name} is not available: {why}", remedy)
    if name not in _KNOWN:
        key = ".".join(map(str, (*at, "name")))
        raise errors.unknown_value(source.where((*at, "name")), key, name, [*_KNOWN, ACCURACY_AWARE])


def _require_known(source: ConfigSource, at: tuple[Key, ...], params: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in params:
        if key not in known:
            raise errors.unknown_key(source.where((*at, key)), ".".join(map(str, (*at, key))), known)


def _read_preset(
    source: ConfigSource, at: tuple[Key, ...], params: dict[str, Any], target: str, warnings: list[str]
) -> None:
    """Read a preset as POT's command did, and say so where that is another than its name says."""
    written = params.get("preset")
    if not isinstance(written, str):
        return
    preset = _ANY_PRESET.get(written, written)
    if preset == "accuracy" and target not in _KEEPS_ACCURACY:
        preset = "mixed"
        warnings.append(
            f"{source.where((*at, 'preset'))}: preset {written} is read as mixed, as POT's command read it: asymmetric "
            "weights run no layer in INT8 on this device"
        )
    params["preset"] = preset


def _parts(source: ConfigSource, at: tuple[Key, ...], name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what one of POT's algorithms consists of."""
    # POT takes the whole dataset where no size is named.
    size = {"stat_subset_size": params.pop("stat_subset_size", None)}
    params.pop("target_device", None)
    if name == "DefaultQuantization":
        fast = params.pop("use_fast_bias", True)
        if not isinstance(fast, bool):
            where, key = source.where((*at, "use_fast_bias")), ".".join(map(str, (*at, "use_fast_bias")))
            raise errors.bad_value(where, key, fast, "must be true or false")
        threshold = {"threshold": params.pop("threshold")} if "threshold" in params else {}
        return [
            {"name": "ActivationChannelAlignment", "params": dict(size)},
            {"name": "TunableQuantization", "params": {**size, **params}},
            _correction("FastBiasCorrection" if fast else "BiasCorrection", {**size, **threshold}),
        ]
    if name == "MinMaxQuantization":
        name = "TunableQuantization"
    return [_correction(name, {**size, **params})]


def _correction(name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return an algorithm with POT's own default where that is another than here."""
    own = {"threshold": _SLOW_CORRECTION_THRESHOLD} if name == "BiasCorrection" else {}
    return {"name": name, "params": {**own, **params}}


def _accuracy_aware(
    source: ConfigSource, at: tuple[Key, ...], params: dict[str, Any], warnings: list[str]
) -> AccuracyAware:
    """Take the search's parameters out of those of the algorithm."""
    for key, why in _AWARE_IGNORED.items():
        if key in params:
            del params[key]
            warnings.append(ignored(source, (*at, key), why))
    own = {key: params.pop(key) for key in list(params) if key in _AWARE}
    aware = validate(AccuracyAware, PartSource.of(source, at, own))
    if aware.annotation_free:
        why = "accuracy is that of the annotation, and not of what the FP32 model answers"
        warnings.append(ignored(source, (*at, "annotation_free"), why))
    if len(aware.metrics) > 1:
        names = ", ".join(each.name for each in aware.metrics[1:])
        warnings.append(
            f"{source.where((*at, 'metrics'))}: accuracy is that of {aware.metrics[0].name!r}, the first; "
            f"{names}: not looked at by the search, and in the report"
        )
    return aware
