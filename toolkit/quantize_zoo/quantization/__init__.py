"""TunableQuantization: options and how they are derived, statistics, ranges, and the model that an option makes."""

from quantize_zoo.quantization.candidate import build_candidate
from quantize_zoo.quantization.options import (
    EstimatorPreset,
    ModelOption,
    OperationOption,
    TensorOption,
    base_option,
    option_hash,
    quantization_ratio,
)
from quantize_zoo.quantization.ranges import Range, RangeTable, compute_ranges, wanted_statistics
from quantize_zoo.quantization.statistics import ActivationStatistics, Samples, collect_statistics
from quantize_zoo.quantization.tunable import OperationSpace, SearchSpace, assemble, derive_space, presets_in_scope

__all__ = [
    "ActivationStatistics",
    "EstimatorPreset",
    "ModelOption",
    "OperationOption",
    "OperationSpace",
    "Range",
    "RangeTable",
    "Samples",
    "SearchSpace",
    "TensorOption",
    "assemble",
    "base_option",
    "build_candidate",
    "collect_statistics",
    "compute_ranges",
    "derive_space",
    "option_hash",
    "presets_in_scope",
    "quantization_ratio",
    "wanted_statistics",
]
