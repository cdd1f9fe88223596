"""Text into values: the YAML of models, matrices and hardware; every error names file, line and key."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.config.compression import (
        BiasCorrection,
        CompressionParams,
        FastBiasCorrection,
        SaturationFix,
        TunableQuantizationParams,
    )
    from quantize_zoo.config.estimators import (
        Aggregator,
        EstimatorPreset,
        MaxParams,
        MinParams,
        RangeEstimatorParams,
        StatisticType,
        TensorParams,
    )
    from quantize_zoo.config.fleet import FleetSpec, devices_of
    from quantize_zoo.config.gate import WAIVED_CHECKS, GateConfig, Runtime, Waiver
    from quantize_zoo.config.hardware import (
        Granularity,
        HardwareConfig,
        Mode,
        OperationRule,
        QuantizationConfig,
        WeightCompression,
        load_hardware,
    )
    from quantize_zoo.config.keys import CellKey, cell_label, first_twins, is_on, without_cpu
    from quantize_zoo.config.locations import default_matrix_path, hardware_path, schema_path
    from quantize_zoo.config.matrix import MatrixConfig, load_matrix
    from quantize_zoo.config.model import (
        BenchmarkParams,
        DeviceSpec,
        GiveBack,
        InstructionSet,
        ModelConfig,
        OptimizerParams,
        load_model_config,
    )
    from quantize_zoo.config.notify import Notify
    from quantize_zoo.config.pot import PotJob, PotOptions, load_pot, load_pot_compression, pot_of_options
    from quantize_zoo.config.retention import Retention
    from quantize_zoo.config.stages import Stage, former_stages, search_stages, stages_note
    from quantize_zoo.config.waiving import add_waiver, takes_waivers
    from quantize_zoo.terms import TrialsLoadMethod
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "WAIVED_CHECKS",
    "Aggregator",
    "BenchmarkParams",
    "BiasCorrection",
    "CellKey",
    "CompressionParams",
    "DeviceSpec",
    "EstimatorPreset",
    "FastBiasCorrection",
    "FleetSpec",
    "GateConfig",
    "GiveBack",
    "Granularity",
    "HardwareConfig",
    "InstructionSet",
    "MatrixConfig",
    "MaxParams",
    "MinParams",
    "Mode",
    "ModelConfig",
    "Notify",
    "OperationRule",
    "OptimizerParams",
    "PotJob",
    "PotOptions",
    "QuantizationConfig",
    "RangeEstimatorParams",
    "Retention",
    "Runtime",
    "SaturationFix",
    "Stage",
    "StatisticType",
    "TensorParams",
    "TrialsLoadMethod",
    "TunableQuantizationParams",
    "Waiver",
    "WeightCompression",
    "add_waiver",
    "cell_label",
    "default_matrix_path",
    "devices_of",
    "first_twins",
    "former_stages",
    "hardware_path",
    "is_on",
    "load_hardware",
    "load_matrix",
    "load_model_config",
    "load_pot",
    "load_pot_compression",
    "pot_of_options",
    "schema_path",
    "search_stages",
    "stages_note",
    "takes_waivers",
    "without_cpu",
]
