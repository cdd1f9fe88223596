"""TunableQuantization's derivation of the search space, factored.

POT crosses all variables of an operation into one list of options. Here each dimension is a variable of its own, and
those that only mean something for a certain choice hang below it: estimators below the configuration, probabilities
below a quantile. What can be reached is the same, and the size is a sum instead of a product.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from quantize_zoo.config import (
    Aggregator,
    CompressionParams,
    EstimatorPreset,
    QuantizationConfig,
    TunableQuantizationParams,
    WeightCompression,
)
from quantize_zoo.config.estimators import MaxType, MinType
from quantize_zoo.graph import Placement, QuantizableOperation
from quantize_zoo.quantization.estimators import (
    PRESETS,
    QUANTILE_TYPES,
    Border,
    RangeEstimator,
    border,
    preset_estimator,
)
from quantize_zoo.quantization.options import ModelOption, OperationOption, TensorOption, without_quantization


@dataclass(frozen=True)
class Branch:
    """One choice of a variable, and the variables that exist only below it."""

    value: Any
    below: tuple[Variable, ...] = ()


@dataclass(frozen=True)
class Variable:
    """One dimension; the first branch is the base option's."""

    name: str
    branches: tuple[Branch, ...]

    @property
    def reachable(self) -> int:
        """Number of different values, counting what is below."""
        return sum(math.prod(variable.reachable for variable in branch.below) for branch in self.branches)


@dataclass(frozen=True)
class SearchSpace:
    """One variable ``quantize`` an operation with all others of the operation below it, and one a tunable step."""

    operations: Mapping[str, Variable]
    steps: tuple[Variable, ...] = ()

    @property
    def has_choices(self) -> bool:
        """Tell whether anything can be chosen."""
        return self.reachable > 1

    @property
    def offers_compressed_weights(self) -> bool:
        """Tell whether the weights of an operation may be stored compressed."""
        branches = (branch for variable in self.operations.values() for branch in variable.branches)
        return any(isinstance(branch.value, WeightCompression) for branch in branches)

    @property
    def reachable(self) -> int:
        """Number of different choices of all variables together; some of them may make the same option."""
        return math.prod(variable.reachable for variable in (*self.operations.values(), *self.steps))


Choice = Mapping[str, Any]  # of a variable: "value", and for each variable below that branch its own choice


def derive_space(
    placement: Placement, base: ModelOption, compression: CompressionParams, idle: Container[str] = ()
) -> SearchSpace:
    """Derive the variables of each operation, and of the pipeline's steps, from the base option.

    An operation that the base leaves unquantized (fine_tune after it was best so) stays so; an ``idle`` one as well,
    whose weights may be compressed.
    """
    params = compression.tunable
    operations = operation_variables(placement, base, params, idle)
    steps: tuple[Variable, ...] = ()
    if "pipeline" in params.tuning_scope:
        applied = {step: step in base.steps for step in compression.steps}
        steps = tuple(Variable(step, (Branch(first), Branch(not first))) for step, first in applied.items())
    return SearchSpace(operations, steps)


def operation_variables(
    placement: Placement, base: ModelOption, params: TunableQuantizationParams, idle: Container[str] = ()
) -> dict[str, Variable]:
    """Return the variable of each operation; arguments as above."""
    reading = {name for point in placement.activations for name in point.operations}
    return {
        operation.name: _operation_variable(
            operation,
            base.operations[operation.name],
            params,
            reads=operation.name in reading,
            idle=operation.name in idle,
        )
        for operation in placement.operations
    }


def assemble(base: ModelOption, operations: Mapping[str, Choice], steps: Mapping[str, Choice]) -> ModelOption:
    """Return the option that the choices of all operations and of the tunable steps make."""
    return ModelOption(
        {name: _operation_option(option, operations[name]) for name, option in base.operations.items()},
        tuple(step for step, choice in steps.items() if choice["value"]) if steps else base.steps,
    )


def disassemble(space: SearchSpace, option: ModelOption) -> tuple[dict[str, Choice], dict[str, Choice]] | None:
    """Return choices of all operations and of the tunable steps that make the option; None if none do.

    Where several do, since a preset's borders can be changed into another's, the first branches are taken.
    """
    operations = {name: _operation_choice(each, option.operations[name]) for name, each in space.operations.items()}
    steps: dict[str, Choice] = {each.name: _choice_of(each, each.name in option.steps) for each in space.steps}
    found = {name: choice for name, choice in operations.items() if choice is not None}
    return (found, steps) if len(found) == len(operations) else None


def _operation_variable(
    operation: QuantizableOperation,
    base: OperationOption,
    params: TunableQuantizationParams,
    *,
    reads: bool,
    idle: bool,
) -> Variable:
    """Return the variable of an operation; one that ``reads`` no quantized tensor, an embedding, has weights only.

    Its values are whether the operation is quantized, and the ways to compress the weights of one that is not.
    """
    compressed = [Branch(each) for each in operation.compressed_weights] if "bits" in params.tuning_scope else []
    if not base.quantize and base.compressed_weights is None:
        return Variable("quantize", (Branch(False), *(compressed if idle else ())))
    below = [_tensor_variable("activations", base.activations, operation.activations, params)] if reads else []
    if base.weights is not None:
        below.append(_tensor_variable("weights", base.weights, operation.weights, params))
    quantized = Branch(True, tuple(below))
    first = quantized if base.quantize else Branch(base.compressed_weights)
    others = [Branch(False)] if "layer" in params.tuning_scope else []
    if "bits" in params.tuning_scope:
        others += [quantized, *compressed]
    return Variable("quantize", (first, *(each for each in others if each.value != first.value)))


def _tensor_variable(
    name: str, base: TensorOption, allowed: tuple[QuantizationConfig, ...], params: TunableQuantizationParams
) -> Variable:
    configs = [base.config, *(c for c in allowed if c != base.config and _in_scope(c, base.config, params))]
    return Variable(
        name, tuple(Branch(config, _estimator_variables(base, config, params, name == "weights")) for config in configs)
    )


def _in_scope(config: QuantizationConfig, base: QuantizationConfig, params: TunableQuantizationParams) -> bool:
    """Tell whether the configurations differ only in what the scope names."""
    scope = params.tuning_scope
    return (
        (config.bits == base.bits or "bits" in scope)
        and (config.mode == base.mode or "mode" in scope)
        and (config.granularity == base.granularity or "granularity" in scope)
    )


def _estimator_variables(
    base: TensorOption, config: QuantizationConfig, params: TunableQuantizationParams, weights: bool
) -> tuple[Variable, ...]:
    """Return the variables of the range estimator, starting from the base's, or its equal for another configuration."""
    start = base.range_estimator
    if config != base.config:
        start = preset_estimator(config, _preset_of(base, weights), weights=weights)
    scope = params.estimator_tuning_scope
    if "preset" in scope and "type" not in scope:
        presets = [preset_estimator(config, preset, weights=weights) for preset in PRESETS]
        starts = [start, *(preset for preset in presets if preset != start)]
        kinds = tuple(Branch(each, _borders(each, params, weights)) for each in starts)
        return (Variable("estimator", kinds),)
    return (Variable("estimator", (Branch(start, _borders(start, params, weights)),)),)


def _preset_of(base: TensorOption, weights: bool) -> EstimatorPreset:
    for preset in PRESETS:
        if base.range_estimator == preset_estimator(base.config, preset, weights=weights):
            return preset
    return "default"


def _borders(start: RangeEstimator, params: TunableQuantizationParams, weights: bool) -> tuple[Variable, ...]:
    variables = [] if start.min is None else _border_variables("min", start.min, get_args(MinType), params, weights)
    return (*variables, *_border_variables("max", start.max, get_args(MaxType), params, weights))


def _border_variables(
    name: str, start: Border, types: tuple[Any, ...], params: TunableQuantizationParams, weights: bool
) -> list[Variable]:
    scope = params.estimator_tuning_scope
    kinds = [start.type, *(kind for kind in types if kind != start.type)] if "type" in scope else [start.type]
    branches = tuple(Branch(kind, _probabilities(name, kind, start, params)) for kind in kinds)
    variables = [Variable(f"{name}.type", branches)]
    if "aggregator" in scope and not weights:
        others = (each for each in get_args(Aggregator) if each != start.aggregator)
        aggregators = tuple(Branch(each) for each in (start.aggregator, *others))
        variables.append(Variable(f"{name}.aggregator", aggregators))
    return variables


def _probabilities(name: str, kind: str, start: Border, params: TunableQuantizationParams) -> tuple[Variable, ...]:
    if kind not in QUANTILE_TYPES or "outlier_prob" not in params.estimator_tuning_scope:
        return ()
    first = border("quantile").outlier_prob if start.outlier_prob is None else start.outlier_prob
    choices = dict.fromkeys((first, *params.outlier_prob_choices))
    if start.outlier_prob is None and first not in params.outlier_prob_choices:
        choices.pop(first)
    return (Variable(f"{name}.outlier_prob", tuple(Branch(each) for each in choices)),)


def _operation_option(base: OperationOption, choice: Choice) -> OperationOption:
    if choice["value"] is not True:
        return without_quantization(base, choice["value"] or None)
    weights = None if base.weights is None else _tensor_option(choice["weights"])
    activations = _tensor_option(choice["activations"]) if "activations" in choice else base.activations
    return OperationOption(True, activations, weights)


def _tensor_option(choice: Choice) -> TensorOption:
    estimator = choice["estimator"]
    start: RangeEstimator = estimator["value"]
    low = None if start.min is None else _border(start.min, estimator, "min")
    return TensorOption(choice["value"], RangeEstimator(low, _border(start.max, estimator, "max")))


def _border(start: Border, choice: Choice, name: str) -> Border:
    kind = choice[f"{name}.type"]
    probability = kind.get(f"{name}.outlier_prob", {"value": start.outlier_prob})["value"]
    aggregator = choice.get(f"{name}.aggregator", {"value": start.aggregator})["value"]
    return border(kind["value"], aggregator, probability, start.clipping_value)


def _operation_choice(variable: Variable, option: OperationOption) -> Choice | None:
    value = True if option.quantize else option.compressed_weights or False
    branch = next((each for each in variable.branches if each.value == value), None)
    if branch is None:
        return None
    wanted = {"activations": option.activations, "weights": option.weights}
    tensors = {each.name: _tensor_choice(each, wanted[each.name]) for each in branch.below}
    return None if None in tensors.values() else {"value": branch.value, **tensors}


def _tensor_choice(variable: Variable, option: TensorOption | None) -> Choice | None:
    if option is None:
        return None
    branch = next((each for each in variable.branches if each.value == option.config), None)
    if branch is None:
        return None
    (estimator,) = branch.below
    choices = (_estimator_choice(each, option.range_estimator) for each in estimator.branches)
    found = next((each for each in choices if each is not None), None)
    return None if found is None else {"value": branch.value, "estimator": found}


def _estimator_choice(branch: Branch, wanted: RangeEstimator) -> Choice | None:
    """Return the choices below a start that make an estimator; None if it cannot be made from there."""
    start: RangeEstimator = branch.value
    if (start.min is None) != (wanted.min is None):
        return None
    choice: dict[str, Any] = {"value": start}
    for name, first, last in (("min", start.min, wanted.min), ("max", start.max, wanted.max)):
        if first is None or last is None:
            continue
        for variable in (each for each in branch.below if each.name.startswith(f"{name}.")):
            choice[variable.name] = _choice_of(
                variable, last.type if variable.name.endswith("type") else last.aggregator
            )
            for below in _branch_of(variable, choice[variable.name]["value"]).below:
                choice[variable.name][below.name] = _choice_of(below, last.outlier_prob)
        if _border(first, choice, name) != last:
            return None
    return choice


def _choice_of(variable: Variable, value: Any) -> dict[str, Any]:
    return {"value": _branch_of(variable, value).value}


def _branch_of(variable: Variable, value: Any) -> Branch:
    """Return the branch with a value, the first if there is none: what is assembled of it shows that."""
    return next((each for each in variable.branches if each.value == value), variable.branches[0])
