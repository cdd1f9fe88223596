"""The stages of a search: what each tunes, and after how many trials it ends."""

from __future__ import annotations

from dataclasses import dataclass

from quantize_zoo.config.compression import CompressionParams, EstimatorTuningScope, TuningScope
from quantize_zoo.config.model import ModelConfig, StageParams

# What POT's best practices do by hand: first the range estimators, then single layers around the best of it.
_ESTIMATORS_SHARE = 0.4
_LAYERS: TuningScope = ("layer", "range_estimator")
_PRESETS: EstimatorTuningScope = ("preset",)


@dataclass(frozen=True)
class Stage:
    """One stage; it goes on until the whole search has ``until`` trials."""

    compression: CompressionParams
    until: int


def search_stages(config: ModelConfig) -> tuple[Stage, ...]:
    """Return the stages of a model's search.

    Who names neither stages nor a scope gets layers and range estimators by preset together; as POT did, the estimators
    first, then layers. ``max_trials`` bounds stages all together.
    """
    params, compression = config.optimizer.params, config.compression
    is_named = params.stages or "tuning_scope" in compression.tunable.model_fields_set
    if is_named or params.compatibility is not None:
        return former_stages(config)
    return (Stage(compression.scoped(_LAYERS, _PRESETS), params.max_trials),)


def stages_note(config: ModelConfig) -> str:
    """Say that the search ends before its stages have what they ask for; empty where it does not."""
    params = config.optimizer.params
    wanted = sum(each.max_trials for each in params.stages)
    if search_stages(config)[-1].until >= wanted:
        return ""
    return f"max_trials {params.max_trials} ends the search before its stages, which ask for {wanted} trials together"


def former_stages(config: ModelConfig) -> tuple[Stage, ...]:
    """Return the stages that releases up to 0.1.0 made of the same configuration."""
    params = config.optimizer.params
    compression = config.compression
    stages = params.stages
    if not stages:
        if "tuning_scope" in compression.tunable.model_fields_set:
            return (Stage(compression, params.max_trials),)
        first = round(_ESTIMATORS_SHARE * params.max_trials)
        if first == 0:
            return (Stage(compression, params.max_trials),)
        stages = (
            StageParams(max_trials=first, tuning_scope=("range_estimator",), estimator_tuning_scope=("preset",)),
            StageParams(max_trials=params.max_trials - first, tuning_scope=("layer",)),
        )
    limit = params.max_trials if "max_trials" in params.model_fields_set else sum(each.max_trials for each in stages)
    found = []
    until = 0
    for stage in stages:
        until = min(until + stage.max_trials, limit)
        scoped = compression.scoped(stage.tuning_scope, stage.estimator_tuning_scope)
        found.append(Stage(scoped, until))
    return tuple(found)
