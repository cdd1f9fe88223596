"""Options: how each operation of a model is quantized. Plain values, stored as JSON, never as code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

from quantize_zoo.config import QuantizationConfig
from quantize_zoo.graph import Placement, QuantizableOperation

EstimatorPreset = Literal["default", "quantile"]


@dataclass(frozen=True)
class TensorOption:
    """How one tensor is quantized (``config``) and how its range is estimated."""

    config: QuantizationConfig
    range_estimator: EstimatorPreset = "default"


@dataclass(frozen=True)
class OperationOption:
    """The choice for one operation; ``weights`` is None for operations without weights."""

    quantize: bool
    activations: TensorOption
    weights: TensorOption | None


ModelOption = Mapping[str, OperationOption]


def base_option(placement: Placement) -> ModelOption:
    """Return the option that preset *performance* gives: everything symmetric, default range estimators."""
    return {operation.name: _symmetric(operation) for operation in placement.operations}


def option_hash(option: ModelOption) -> str:
    """Return a hash that is equal for options that make the same model.

    The tensors of an operation that is not quantized do not count.
    """
    values = {
        name: (
            {"activations": _plain(choice.activations), "weights": _plain(choice.weights)} if choice.quantize else None
        )
        for name, choice in option.items()
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def quantization_ratio(option: ModelOption) -> float:
    """Return the share of operations that are quantized."""
    return sum(choice.quantize for choice in option.values()) / len(option)


def without_quantization(choice: OperationOption) -> OperationOption:
    """Return the same choice, not quantized."""
    return replace(choice, quantize=False)


def _symmetric(operation: QuantizableOperation) -> OperationOption:
    weights = TensorOption(_first_symmetric(operation.weights)) if operation.weights else None
    return OperationOption(True, TensorOption(_first_symmetric(operation.activations)), weights)


def _first_symmetric(configs: tuple[QuantizationConfig, ...]) -> QuantizationConfig:
    return next((config for config in configs if config.mode == "symmetric"), configs[0])


def _plain(tensor: TensorOption | None) -> dict[str, object] | None:
    return None if tensor is None else {**asdict(tensor), "config": tensor.config.model_dump()}
