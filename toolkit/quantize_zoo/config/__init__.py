"""Text into values: the YAML of models, matrices and hardware; every error names file, line and key."""

from quantize_zoo.config.hardware import HardwareConfig, OperationRule, QuantizationConfig, load_hardware
from quantize_zoo.config.locations import default_matrix_path, hardware_path
from quantize_zoo.config.matrix import MatrixConfig, load_matrix
from quantize_zoo.config.model import (
    BenchmarkParams,
    CompressionParams,
    DeviceSpec,
    ModelConfig,
    OptimizerParams,
    TrialsLoadMethod,
    load_model_config,
)

__all__ = [
    "BenchmarkParams",
    "CompressionParams",
    "DeviceSpec",
    "HardwareConfig",
    "MatrixConfig",
    "ModelConfig",
    "OperationRule",
    "OptimizerParams",
    "QuantizationConfig",
    "TrialsLoadMethod",
    "default_matrix_path",
    "hardware_path",
    "load_hardware",
    "load_matrix",
    "load_model_config",
]
