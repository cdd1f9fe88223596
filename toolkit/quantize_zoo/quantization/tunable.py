"""TunableQuantization's derivation of the search space, factored.

POT crosses all variables of an operation into one list of options. Here each dimension is a variable of its own, and
those that only mean something for a quantized operation hang below its ``quantize`` choice; what can be reached is
the same, and the size is a sum instead of a product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from quantize_zoo.config.model import TunableQuantizationParams
from quantize_zoo.quantization.options import (
    EstimatorPreset,
    ModelOption,
    OperationOption,
    TensorOption,
    without_quantization,
)


@dataclass(frozen=True)
class OperationSpace:
    """The choices of one operation; the first of each is the base option's."""

    operation: str
    quantize: tuple[bool, ...]
    activations: tuple[EstimatorPreset, ...]
    weights: tuple[EstimatorPreset, ...]

    @property
    def reachable(self) -> int:
        """Number of different options of this operation."""
        quantized = len(self.activations) * max(1, len(self.weights)) if True in self.quantize else 0
        return quantized + (False in self.quantize)


SearchSpace = tuple[OperationSpace, ...]
Choice = Mapping[str, object]  # quantize: bool, activations and weights: EstimatorPreset


def derive_space(base: ModelOption, params: TunableQuantizationParams) -> SearchSpace:
    """Derive the variables of each operation from the base option.

    An operation that the base leaves unquantized (fine_tune after it was best so) stays so.
    """
    return tuple(_operation_space(name, choice, params) for name, choice in base.items())


def presets_in_scope(base: ModelOption, params: TunableQuantizationParams) -> frozenset[EstimatorPreset]:
    """Return the range estimator presets that options of this space can name."""
    tensors = [tensor for choice in base.values() for tensor in (choice.activations, choice.weights) if tensor]
    named = {tensor.range_estimator for tensor in tensors}
    return frozenset(named | {"default", "quantile"} if "preset" in params.estimator_tuning_scope else named)


def assemble(base: ModelOption, choices: Mapping[str, Choice]) -> ModelOption:
    """Apply what was chosen for each operation to the base option."""
    return {name: _apply(option, choices.get(name, {})) for name, option in base.items()}


def _operation_space(name: str, base: OperationOption, params: TunableQuantizationParams) -> OperationSpace:
    if not base.quantize:
        return OperationSpace(name, (False,), (), ())
    layer = (True, False) if "layer" in params.tuning_scope else (True,)
    tune_estimator = "preset" in params.estimator_tuning_scope
    weights = _presets(base.weights, tune_estimator) if base.weights else ()
    return OperationSpace(name, layer, _presets(base.activations, tune_estimator), weights)


def _presets(tensor: TensorOption, tune: bool) -> tuple[EstimatorPreset, ...]:
    other: EstimatorPreset = "quantile" if tensor.range_estimator == "default" else "default"
    return (tensor.range_estimator, other) if tune else (tensor.range_estimator,)


def _apply(option: OperationOption, choice: Choice) -> OperationOption:
    if choice.get("quantize") is False:
        return without_quantization(option)
    return replace(
        option,
        activations=_with_preset(option.activations, choice.get("activations")),
        weights=option.weights and _with_preset(option.weights, choice.get("weights")),
    )


def _with_preset(tensor: TensorOption, preset: object) -> TensorOption:
    return replace(tensor, range_estimator=preset) if preset in ("default", "quantile") else tensor
