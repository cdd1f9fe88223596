"""Options: how each operation of a model is quantized. Plain values, stored as JSON, never as code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache

from pydantic import BaseModel

from quantize_zoo import errors
from quantize_zoo.config import (
    HardwareConfig,
    Mode,
    QuantizationConfig,
    RangeEstimatorParams,
    TensorParams,
    TunableQuantizationParams,
    WeightCompression,
)
from quantize_zoo.graph import Placement
from quantize_zoo.quantization.estimators import RangeEstimator, configured_estimator

_MOST_NAMES = 3


@dataclass(frozen=True)
class TensorOption:
    """How one tensor is quantized (``config``) and how its range is estimated."""

    config: QuantizationConfig
    range_estimator: RangeEstimator


@dataclass(frozen=True)
class OperationOption:
    """The choice for one operation; ``weights`` is None for operations without weights.

    ``compressed_weights`` is how the weights of an operation are stored that is not quantized; None is as they are.
    """

    quantize: bool
    activations: TensorOption
    weights: TensorOption | None
    compressed_weights: WeightCompression | None = None


@dataclass(frozen=True)
class ModelOption:
    """The choice for a model: for each operation, and which of the pipeline's other steps are applied."""

    operations: Mapping[str, OperationOption]
    steps: tuple[str, ...] = field(default=())

    @property
    def has_compressed_weights(self) -> bool:
        """Tell whether the weights of an operation are stored compressed."""
        return any(choice.compressed_weights is not None for choice in self.operations.values())

    @property
    def is_fp32(self) -> bool:
        """Tell whether nothing is quantized or compressed: what is made of it computes what FP32 does."""
        return not (self.has_compressed_weights or any(choice.quantize for choice in self.operations.values()))


def base_option(
    placement: Placement,
    hardware: HardwareConfig,
    params: TunableQuantizationParams,
    steps: tuple[str, ...] = (),
) -> ModelOption:
    """Return the option that the preset and the overrides give: everything quantized, all steps applied.

    Raises:
        CellError: an override asks for a configuration that the hardware has for no operation.

    """
    activations_mode: Mode = "symmetric" if params.preset == "performance" else "asymmetric"
    weights_mode: Mode = "asymmetric" if params.preset == "accuracy" else "symmetric"
    rules = [(rule.activations, rule.weights) for rule in hardware.operations]
    _check("activations", params.activations, [c for rule in rules for c in rule[0]], hardware.target)
    _check("weights", params.weights, [c for rule in rules for c in rule[1]], hardware.target)
    operations = {}
    for operation in placement.operations:
        config = _choose(operation.activations, activations_mode, params.activations)
        activations = _tensor(config, params.activations, params.range_estimator, weights=False)
        weights = None
        if operation.weights:
            config = _choose(operation.weights, weights_mode, params.weights)
            weights = _tensor(config, params.weights, params.range_estimator, weights=True)
        operations[operation.name] = OperationOption(True, activations, weights)
    return ModelOption(operations, steps)


def fitted_option(option: ModelOption, base: ModelOption) -> ModelOption:
    """Return an option of another release, or of another hardware configuration, as one of these operations.

    What it does not name is not quantized, as it was not there; what can no longer be quantized is left out.

    Args:
        option: the option.
        base: any option of the operations that can be quantized now.

    """
    if option.operations.keys() == base.operations.keys():
        return option
    operations = {
        name: option.operations.get(name) or without_quantization(choice) for name, choice in base.operations.items()
    }
    return replace(option, operations=operations)


def operations_difference(option: ModelOption, base: ModelOption) -> str:
    """Return which operations an option names that are not among these, and the other way round; empty if none."""
    gone = [name for name in option.operations if name not in base.operations]
    new = [name for name in base.operations if name not in option.operations]
    found = (("no longer quantizable", gone), ("newly quantizable", new))
    return "; ".join(f"{what}: {_named(names)}" for what, names in found if names)


def _named(names: list[str]) -> str:
    listed = ", ".join(names[:_MOST_NAMES])
    return listed if len(names) <= _MOST_NAMES else f"{listed} and {len(names) - _MOST_NAMES} more"


def option_hash(option: ModelOption) -> str:
    """Return a hash that is equal for options that make the same model.

    The tensors of an operation that is not quantized do not count, and for samples of batch size 1 batch_mean is mean.
    """
    operations = (f"{json.dumps(name)}: {_text(choice)}" for name, choice in sorted(option.operations.items()))
    text = f"[{{{', '.join(operations)}}}, {json.dumps(option.steps)}]"
    return hashlib.sha256(text.replace('"batch_mean"', '"mean"').encode()).hexdigest()


def _text(choice: OperationOption) -> str:
    if choice.quantize:
        return _quantized_text(choice.activations, choice.weights)
    return json.dumps(choice.compressed_weights, sort_keys=True, default=BaseModel.model_dump)


@lru_cache(maxsize=4096)  # of hundreds of operations most have equal options
def _quantized_text(activations: TensorOption, weights: TensorOption | None) -> str:
    values = {"activations": asdict(activations), "weights": weights and asdict(weights)}
    return json.dumps(values, sort_keys=True, default=BaseModel.model_dump)


def quantization_ratio(option: ModelOption) -> float:
    """Return the share of operations that are quantized."""
    return sum(choice.quantize for choice in option.operations.values()) / len(option.operations)


def without_quantization(choice: OperationOption, compressed: WeightCompression | None = None) -> OperationOption:
    """Return the same choice, not quantized; its weights are stored as they are, or compressed."""
    return replace(choice, quantize=False, compressed_weights=compressed)


def _check(tensor: str, wanted: TensorParams, known: list[QuantizationConfig], target: str) -> None:
    if not any(_agrees(config, wanted) for config in known):
        named = {key: value for key, value in wanted.model_dump(exclude={"range_estimator"}).items() if value}
        listed = dict.fromkeys(f"{config.bits} bits {config.mode} {config.granularity}" for config in known)
        raise errors.not_in_hardware(tensor, named, target, listed)


def _agrees(config: QuantizationConfig, wanted: TensorParams) -> bool:
    return (
        wanted.bits in (None, config.bits)
        and wanted.mode in (None, config.mode)
        and wanted.granularity in (None, config.granularity)
    )


def _choose(configs: tuple[QuantizationConfig, ...], mode: Mode, wanted: TensorParams) -> QuantizationConfig:
    """Return the fastest configuration that agrees with the override, else with the preset's mode."""
    allowed = [config for config in configs if _agrees(config, wanted)] or list(configs)
    return next((config for config in allowed if config.mode == mode), allowed[0])


def _tensor(
    config: QuantizationConfig, params: TensorParams, common: RangeEstimatorParams, *, weights: bool
) -> TensorOption:
    return TensorOption(config, configured_estimator(config, params.range_estimator or common, weights=weights))
