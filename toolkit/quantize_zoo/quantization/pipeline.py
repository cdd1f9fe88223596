"""The pipeline of a cell: from a model, its data and an option to the quantized model.

Steps that change the FP32 model (ActivationChannelAlignment, SmoothQuant) give variants of it, each with statistics of
its own; a variant is prepared when an option first asks for it, and kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import CompressionParams, HardwareConfig, TunableQuantizationParams
from quantize_zoo.config.compression import (
    DEFAULT_OUTLIER_PROB,
    ActivationChannelAlignment,
    Algorithm,
    BiasCorrection,
    FastBiasCorrection,
    SmoothQuant,
)
from quantize_zoo.graph import (
    ActivationPoint,
    Placement,
    branches_by_operation,
    constant_value,
    find_placement,
    ignored_in_vain,
    ignored_operations,
    nodes_by_name,
)
from quantize_zoo.graph.operations import WEIGHTED
from quantize_zoo.quantization.alignment import alignment_requests, apply_alignment, compute_alignment, find_pairs
from quantize_zoo.quantization.bias_correction import (
    FastBiasCorrections,
    correct_sequentially,
    find_biases,
    output_mean,
)
from quantize_zoo.quantization.candidate import Weights, insert_fake_quantizes, set_biases
from quantize_zoo.quantization.instrumentation import ChannelMean, Extremes, Request
from quantize_zoo.quantization.options import ModelOption, base_option, fitted_option
from quantize_zoo.quantization.output_changes import Infer, affordable_samples, infer_here, output_changes, switchable
from quantize_zoo.quantization.pot_bias_correction import PotBiasCorrections, pot_requests
from quantize_zoo.quantization.range_finder import RangeFinder
from quantize_zoo.quantization.ranges import CHANNEL_AXIS
from quantize_zoo.quantization.scopes import scope_notes, vain_note
from quantize_zoo.quantization.sensitivity import operation_errors
from quantize_zoo.quantization.smooth_quant import apply_smoothing, compute_smoothing, find_smoothed, smoothing_requests
from quantize_zoo.quantization.statistics import ActivationStatistics, Samples
from quantize_zoo.quantization.untaken import untaken_branches

# Collects statistics of a model over the first samples (None: all); the name tells what was done to the cell's model.
Collect = Callable[[ov.Model, Iterable[Request], int | None, str], ActivationStatistics]

_ERROR_SAMPLES = 32  # enough to rank operations by their errors
_BYTE = 8  # bits
_EVALUATIONS = 3.0  # that finding out what each operation changes in the output may cost
_TAMED = 0.25  # power of a sample's change: a few samples change so much that they alone would make a mean


@dataclass(frozen=True)
class _Variant:
    """The FP32 model after some of the preparing steps, with everything that options need of it."""

    model: ov.Model
    placement: Placement
    weights: Weights
    rescaled: frozenset[str]
    ranges: RangeFinder
    means: ActivationStatistics
    fast_corrections: FastBiasCorrections | PotBiasCorrections | None


class Pipeline:
    """Builds candidates of one model, on its own graph: what is placed and measured is what is exported.

    ``collect`` collects statistics, ``samples`` gives the first samples of the calibration data, ``scopes`` are what is
    tuned: what all options around a base need is collected in one pass. ``compatibility: pot`` corrects biases by POT's
    rule, also where that makes a layer worse.

    Raises:
        CellError: the model has nothing to quantize, is quantized already, or the parameters do not fit it.

    """

    def __init__(
        self,
        model: ov.Model,
        name: str,
        hardware: HardwareConfig,
        params: CompressionParams,
        collect: Collect,
        samples: Callable[[int | None], Samples],
        scopes: Iterable[TunableQuantizationParams] = (),
        compatibility: Literal["pot"] | None = None,
    ) -> None:
        self._model = model
        self._name = name
        self._hardware = hardware
        self._params = params
        self._collect = collect
        self._samples = samples
        self._steps: dict[str, Algorithm] = {each.name: each for each in params.algorithms}
        self._as_pot = compatibility == "pot"
        self._stages = tuple(scopes) or (params.tunable,)
        self._scopes = (params.tunable, *self._stages)
        self._tail = 0.0
        self._variants: dict[tuple[str, ...], _Variant] = {}
        self._place(ignored_operations(model, hardware, params.tunable, name, as_pot=self._as_pot))

    def leave_untaken_branches(self) -> tuple[str, ...]:
        """Leave the branches alone that no calibration sample takes, since no range is known; return their names.

        Raises:
            CellError: then there is nothing to quantize, or inference fails.

        """
        branches = {name: each.name for name, each in branches_by_operation(self._model).items()}
        if not any(operation.name in branches for operation in self.placement.operations):
            return ()
        untaken = untaken_branches(self._model, self._samples(self._params.tunable.stat_subset_size))
        left = {name for name, branch in branches.items() if branch in untaken}
        if left:
            self._place(self._ignored | left)
        return untaken

    def _place(self, ignored: frozenset[str]) -> None:
        self._ignored = ignored
        self.placement = find_placement(self._model, self._hardware, self._name, ignored)
        self._weights = _weights(self._model, self.placement)  # what is no number is told before the model is scored
        self.base = base_option(self.placement, self._hardware, self._params.tunable, self._params.steps)

    def prepare(self, base: ModelOption) -> None:
        """Collect what all options around a base need, if it was not collected yet.

        Raises:
            CellError: see ``collect_statistics``.

        """
        self._variant(base)

    def scope_notes(self) -> tuple[str, ...]:
        """Return what is named in vain, to be tuned or ignored, and what could be chosen and is not named."""
        notes = tuple(scope_notes(self.placement, self.base, self._stages, self._hardware))
        scope = self._params.tunable.ignored.scope
        if not scope:
            return notes
        placement = find_placement(self._model, self._hardware, self._name)
        quantizable = [each.name for each in placement.operations]
        vain = ignored_in_vain(self._model, self._hardware, scope, quantizable)
        return (*notes, *(vain_note(name, quantizable) for name in vain))

    def build(self, option: ModelOption) -> ov.Model:
        """Return the quantized model; of an option of other operations see ``fitted_option``.

        Raises:
            CellError: see ``collect_statistics``.

        """
        option = fitted_option(option, self.base)
        variant = self._variant(option)
        candidate = self._quantize(variant, option)
        if variant.fast_corrections is not None and "FastBiasCorrection" in option.steps:
            biases = variant.fast_corrections.of(option)
            set_biases(candidate, variant.fast_corrections.biases, biases)
        if "BiasCorrection" in option.steps:
            self._correct_sequentially(variant, option, candidate)
        return candidate

    def errors(self, option: ModelOption) -> dict[str, float]:
        """Return how much quantizing each operation as the option does changes its output; see ``operation_errors``.

        Raises:
            CellError: see ``collect_statistics``.

        """
        option = fitted_option(option, self.base)
        variant = self._variant(option)
        candidate = self._quantize(variant, option)
        return operation_errors(variant.model, candidate, variant.placement, self._samples(_ERROR_SAMPLES))

    def output_changes(self, option: ModelOption, evaluated: int, infer: Infer = infer_here) -> dict[str, float]:
        """Return how much quantizing each operation by itself as the option does changes the model's output.

        It is the power mean of the samples' changes; see ``output_changes``. All of them together cost no more than
        three evaluations of so many samples. Operations of bodies, and those whose change is no number, are left out.
        ``infer`` does it elsewhere.

        Raises:
            CellError: see ``collect_statistics``.

        """
        variant = self._variant(option)
        biases = find_biases(variant.model, variant.placement)
        ends = {name: bias.addition for name, bias in biases.items()}
        made = switchable(variant.model, self.build(option), variant.placement, ends)
        alone = [(name,) for name in made.operations]
        count = affordable_samples(len(alone), evaluated, _EVALUATIONS, _ERROR_SAMPLES)
        changes = output_changes(made, alone, self._samples(count), infer)
        changes = (changes**_TAMED).mean(axis=1) ** (1 / _TAMED)
        return {name: float(each) for name, each in zip(made.operations, changes, strict=True) if np.isfinite(each)}

    def saved_bytes(self, option: ModelOption) -> dict[str, int]:
        """Return by how many bytes quantizing each operation as the option does makes its weights smaller.

        Asymmetric ones stay floating point in the file; see ``with_integer_weights``.
        """
        nodes = nodes_by_name(self._model)
        saved: dict[str, int] = {}
        for point in self.placement.weights:
            choice = option.operations[point.operation].weights
            if choice is None or choice.config.mode != "symmetric":
                continue
            weights = nodes[point.operation].input_value(point.port)
            kind = weights.get_element_type()
            less = math.prod(weights.get_shape()) * (kind.bitwidth - choice.config.bits) // _BYTE
            saved[point.operation] = saved.get(point.operation, 0) + less
        return saved

    def _quantize(self, variant: _Variant, option: ModelOption) -> ov.Model:
        return insert_fake_quantizes(
            variant.model, variant.placement, option, variant.ranges, variant.weights, variant.rescaled
        )

    def _correct_sequentially(self, variant: _Variant, option: ModelOption, candidate: ov.Model) -> None:
        """Correct the candidate's biases in place."""
        correction = self._correction
        assert correction is not None, "the step comes from the parameters"
        biases = find_biases(variant.model, variant.placement, as_pot=self._as_pot)
        samples = self._samples(correction.params.stat_subset_size)
        threshold = correction.params.threshold
        correct_sequentially(variant.means, candidate, biases, option, samples, threshold, as_pot=self._as_pot)

    @property
    def _correction(self) -> FastBiasCorrection | BiasCorrection | None:
        found = (each for each in self._steps.values() if isinstance(each, FastBiasCorrection | BiasCorrection))
        return next(found, None)

    def _variant(self, option: ModelOption) -> _Variant:
        tail = max(largest_probability(option, scope) for scope in self._scopes)
        if tail > self._tail:
            self._tail = tail
            self._variants.clear()
        preparing = tuple(step for step in option.steps if step in ("ActivationChannelAlignment", "SmoothQuant"))
        if preparing not in self._variants:
            self._variants[preparing] = self._make_variant(preparing)
        return self._variants[preparing]

    def _make_variant(self, preparing: tuple[str, ...]) -> _Variant:
        model = self._model.clone()
        grown: frozenset[str] = frozenset()
        for position, name in enumerate(preparing):
            step = self._steps[name]
            before = "+".join(preparing[:position])
            if isinstance(step, ActivationChannelAlignment):
                pairs = find_pairs(model)
                found = self._collect(model, alignment_requests(pairs), step.params.stat_subset_size, before)
                alignment = compute_alignment(model, pairs, found)
                grown = alignment.consumers
                apply_alignment(model, alignment=alignment)
            elif isinstance(step, SmoothQuant):
                tensors = find_smoothed(model)
                found = self._collect(model, smoothing_requests(tensors), step.params.stat_subset_size, before)
                smoothing = compute_smoothing(model, tensors, found, step.params.alpha)
                apply_smoothing(model, smoothing=smoothing)
        model.validate_nodes_and_infer_types()
        placement = find_placement(model, self._hardware, self._name, self._ignored)
        weights = _weights(model, placement) if preparing else self._weights
        statistics, means = self._statistics(model, placement, "+".join(preparing))
        ranges = RangeFinder(placement, statistics, weights)
        multiplied = frozenset(each.name for each in placement.operations if each.weights and each.type in WEIGHTED)
        # Their states are computed of sums that have overflowed before: measured with AVX2, errors of 2.5 times.
        sequences = frozenset(each.operation for each in placement.recurrent)
        rescaled = {
            "all": multiplied | sequences,
            "first_layer": ((placement.first_convolutions | grown) & multiplied) | sequences,
            "no": frozenset[str](),
        }[self._params.tunable.saturation_fix]
        correction, fast = self._correction, None
        if isinstance(correction, FastBiasCorrection):
            size, threshold = correction.params.stat_subset_size, correction.params.threshold
            samples = partial(self._samples, size)
            fast = (
                PotBiasCorrections(model, placement, means, ranges, weights, rescaled, threshold)
                if self._as_pot
                else FastBiasCorrections(model, placement, ranges, weights, rescaled, threshold, samples)
            )
        return _Variant(model, placement, weights, rescaled, ranges, means, fast)

    def _statistics(
        self, model: ov.Model, placement: Placement, name: str
    ) -> tuple[ActivationStatistics, ActivationStatistics]:
        """Return the statistics for ranges, and those for biases: in one pass where both take the same samples."""
        size = self._params.tunable.stat_subset_size
        extremes = [request for point in placement.activations for request in _point_extremes(point, self._tail)]
        extremes += [Extremes(scale.output, None, self._tail) for scale in placement.recurrent]
        means, correction = self._mean_requests(model, placement), self._correction
        if correction is None or not means or correction.params.stat_subset_size == size:
            both = self._collect(model, [*extremes, *means], size, name)
            return both, both
        return self._collect(model, extremes, size, name), self._collect(
            model, means, correction.params.stat_subset_size, name
        )

    def _mean_requests(self, model: ov.Model, placement: Placement) -> list[ChannelMean]:
        biases = find_biases(model, placement, as_pot=self._as_pot)
        if isinstance(self._correction, BiasCorrection):
            return [output_mean(bias) for bias in biases.values()]
        return pot_requests(model, biases) if self._correction is not None and self._as_pot else []


def _weights(model: ov.Model, placement: Placement) -> Weights:
    nodes = nodes_by_name(model)
    weights = {}
    for point in placement.weights:
        value = constant_value(nodes[point.operation].input_value(point.port))
        assert value is not None, "find_placement only makes points of constants"
        if not np.isfinite(value).all():
            raise errors.weights_not_finite(point.operation)
        weights[point.key] = value
    return weights


def _point_extremes(point: ActivationPoint, tail: float) -> list[Extremes]:
    requests = [Extremes(point.tensor, None, tail)]
    if any(config.granularity == "perchannel" for config in point.configs):
        requests.append(Extremes(point.tensor, CHANNEL_AXIS, tail))
    return requests


def largest_probability(base: ModelOption, params: TunableQuantizationParams) -> float:
    """Return the largest outlier probability of activations in the search space; 0 if none has a quantile."""
    estimators = [choice.activations.range_estimator for choice in base.operations.values()]
    borders = [each for estimator in estimators for each in (estimator.min, estimator.max) if each]
    found = {each.outlier_prob or 0.0 for each in borders}
    if {"preset", "type"} & set(params.estimator_tuning_scope):
        found.add(DEFAULT_OUTLIER_PROB)
    if "outlier_prob" in params.estimator_tuning_scope:
        found.update(params.outlier_prob_choices)
    return max(found)
