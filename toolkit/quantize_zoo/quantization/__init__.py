"""TunableQuantization: options and how they are derived, statistics, ranges, and the model that an option makes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.quantization.estimators import Border, RangeEstimator, preset_estimator
    from quantize_zoo.quantization.instrumentation import ChannelMean, Extremes, Request
    from quantize_zoo.quantization.options import (
        ModelOption,
        OperationOption,
        TensorOption,
        base_option,
        fitted_option,
        operations_difference,
        option_hash,
        quantization_ratio,
        without_quantization,
    )
    from quantize_zoo.quantization.pipeline import Pipeline
    from quantize_zoo.quantization.statistics import ActivationStatistics, Samples, collect_statistics
    from quantize_zoo.quantization.statistics_file import read_statistics, requests_text, write_statistics
    from quantize_zoo.quantization.tunable import (
        Branch,
        Choice,
        SearchSpace,
        Variable,
        assemble,
        derive_space,
        disassemble,
    )
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "ActivationStatistics",
    "Border",
    "Branch",
    "ChannelMean",
    "Choice",
    "Extremes",
    "ModelOption",
    "OperationOption",
    "Pipeline",
    "RangeEstimator",
    "Request",
    "Samples",
    "SearchSpace",
    "TensorOption",
    "Variable",
    "assemble",
    "base_option",
    "collect_statistics",
    "derive_space",
    "disassemble",
    "fitted_option",
    "operations_difference",
    "option_hash",
    "preset_estimator",
    "quantization_ratio",
    "read_statistics",
    "requests_text",
    "without_quantization",
    "write_statistics",
]
