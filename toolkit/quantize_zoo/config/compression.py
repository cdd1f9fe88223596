"""The compression pipeline: what prepares the model, TunableQuantization, and bias correction after it."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from quantize_zoo.config.estimators import RangeEstimatorParams, TensorParams, WeightsParams
from quantize_zoo.config.numbers import Flag, OutlierProbability, RelativeChange, Samples, Share
from quantize_zoo.config.strict import Strict

Preset = Literal["performance", "mixed", "accuracy"]
SaturationFix = Literal["all", "first_layer", "no"]
TuningScope = tuple[Literal["bits", "mode", "granularity", "layer", "range_estimator", "pipeline"], ...]
EstimatorTuningScope = tuple[Literal["preset", "type", "aggregator", "outlier_prob"], ...]
SubsetSize = Samples | None  # the first samples of the dataset; None is all of them
DEFAULT_OUTLIER_PROB = 1e-4
# The order in which the pipeline runs; what prepares the model comes before its statistics are collected.
PIPELINE_ORDER = (
    "ActivationChannelAlignment",
    "SmoothQuant",
    "TunableQuantization",
    "FastBiasCorrection",
    "BiasCorrection",
)


CORRECTIONS = frozenset({"FastBiasCorrection", "BiasCorrection"})


def check_scopes(tuning_scope: TuningScope, estimator_tuning_scope: EstimatorTuningScope) -> None:
    """Raise ValueError if the scopes do not go together."""
    if not tuning_scope:
        raise ValueError("tuning_scope must name at least one of bits, mode, granularity, layer, range_estimator")
    if ("range_estimator" in tuning_scope) != bool(estimator_tuning_scope):
        raise ValueError("estimator_tuning_scope goes with range_estimator in tuning_scope, and only with it")


class IgnoredOperations(Strict):
    """Operations of one type, of those only the ones with these attributes."""

    type: str
    attributes: dict[str, Any] = Field(default_factory=dict)


class Ignored(Strict):
    """What is never quantized: operations by name, by type, or the whole model."""

    scope: tuple[str, ...] = ()
    operations: tuple[IgnoredOperations, ...] = ()
    skip_model: Flag = False


class TunableQuantizationParams(Strict):
    """Parameters of TunableQuantization; ``pipeline`` in the scope makes the other steps of the pipeline tunable.

    ``search_unexecuted`` spends trials on choices, too, that the device does not execute as such.
    """

    preset: Preset = "performance"
    stat_subset_size: SubsetSize = 300
    tuning_scope: TuningScope = ("layer",)
    estimator_tuning_scope: EstimatorTuningScope = ()
    outlier_prob_choices: tuple[OutlierProbability, ...] = (1e-3, 1e-4, 1e-5)
    range_estimator: RangeEstimatorParams = RangeEstimatorParams()
    activations: TensorParams = TensorParams()
    weights: WeightsParams = WeightsParams()
    ignored: Ignored = Ignored()
    model_type: Literal["transformer"] | None = None
    saturation_fix: SaturationFix = "first_layer"
    # Left out where it is not set, so that searches stored before know theirs again.
    search_unexecuted: Flag = Field(default=False, exclude_if=operator.not_)

    @model_validator(mode="after")
    def _scopes_agree(self) -> TunableQuantizationParams:
        check_scopes(self.tuning_scope, self.estimator_tuning_scope)
        return self


class AlignmentParams(Strict):
    """Parameters of ActivationChannelAlignment."""

    stat_subset_size: SubsetSize = 300


class SmoothQuantParams(Strict):
    """Parameters of SmoothQuant; ``alpha`` is how much of the difficulty moves from activations to weights."""

    stat_subset_size: SubsetSize = 300
    alpha: Share = 0.5


class BiasCorrectionParams(Strict):
    """Parameters of both bias corrections; a larger relative change than ``threshold`` is not applied."""

    stat_subset_size: SubsetSize = 300
    threshold: RelativeChange = 2.0


class ActivationChannelAlignment(Strict):
    """Levels the ranges of channels between pairs of convolutions."""

    name: Literal["ActivationChannelAlignment"]
    params: AlignmentParams = AlignmentParams()


class SmoothQuant(Strict):
    """Levels the ranges of channels before matrix multiplications."""

    name: Literal["SmoothQuant"]
    params: SmoothQuantParams = SmoothQuantParams()


class TunableQuantization(Strict):
    """The step whose choices the search makes."""

    name: Literal["TunableQuantization"]
    params: TunableQuantizationParams = TunableQuantizationParams()


class FastBiasCorrection(Strict):
    """Corrects each bias by itself, from means of the FP32 model."""

    name: Literal["FastBiasCorrection"]
    params: BiasCorrectionParams = BiasCorrectionParams()


class BiasCorrection(Strict):
    """Corrects the biases one after the other, each with all operations before it quantized: slower, more accurate."""

    name: Literal["BiasCorrection"]
    params: BiasCorrectionParams = BiasCorrectionParams()


Algorithm = Annotated[
    ActivationChannelAlignment | SmoothQuant | TunableQuantization | FastBiasCorrection | BiasCorrection,
    Field(discriminator="name"),
]


class CompressionValues(Strict):
    """What a compression pipeline says, whose algorithms may not go together."""

    target_device: str = "CPU"
    hardware: Path | None = None
    algorithms: tuple[Algorithm, ...] = Field(min_length=1)


class CompressionParams(CompressionValues):
    """The compression pipeline; ``hardware`` names a hardware configuration instead of the device's own."""

    @model_validator(mode="after")
    def _order(self) -> CompressionParams:
        names = [algorithm.name for algorithm in self.algorithms]
        if "TunableQuantization" not in names:
            raise ValueError("algorithms must have a TunableQuantization")
        if names != sorted(set(names), key=PIPELINE_ORDER.index):
            raise ValueError(f"algorithms must be in this order, each at most once: {', '.join(PIPELINE_ORDER)}")
        if set(names) >= CORRECTIONS:
            raise ValueError("algorithms can have FastBiasCorrection or BiasCorrection, not both")
        if "pipeline" in self.tunable.tuning_scope:
            require_steps(self)
        return self

    @property
    def tunable(self) -> TunableQuantizationParams:
        """The parameters of TunableQuantization."""
        return next(each.params for each in self.algorithms if isinstance(each, TunableQuantization))

    def scoped(self, tuning_scope: TuningScope, estimator_tuning_scope: EstimatorTuningScope) -> CompressionParams:
        """Return the same pipeline with another scope of tuning."""
        scopes = {"tuning_scope": tuning_scope, "estimator_tuning_scope": estimator_tuning_scope}
        plain = self.model_dump()
        for algorithm in plain["algorithms"]:
            if algorithm["name"] == "TunableQuantization":
                algorithm["params"] |= scopes
        return CompressionParams.model_validate(plain)

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the other steps, in order."""
        return tuple(each.name for each in self.algorithms if not isinstance(each, TunableQuantization))


DEFAULT_COMPRESSION = CompressionParams(algorithms=(TunableQuantization(name="TunableQuantization"),))


def require_steps(params: CompressionParams) -> None:
    """Raise ValueError if there is no step whose use could be tuned."""
    if not params.steps:
        raise ValueError("tuning_scope: pipeline needs another algorithm beside TunableQuantization")
