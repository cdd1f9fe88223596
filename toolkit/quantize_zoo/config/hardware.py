"""A hardware configuration: which operations a target quantizes, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from quantize_zoo.config.numbers import Bits
from quantize_zoo.config.strict import Strict
from quantize_zoo.config.yaml_source import read_yaml, validate

Mode = Literal["symmetric", "asymmetric"]
Granularity = Literal["pertensor", "perchannel"]


class QuantizationConfig(Strict):
    """How one tensor is quantized (qconfig)."""

    bits: Bits
    mode: Mode
    granularity: Granularity

    def levels(self, *, weights: bool) -> int:
        """Number of quantization levels: 2^bits, one less for symmetric weights (-127..127 at 8 bits)."""
        return (1 << self.bits) - (1 if weights and self.mode == "symmetric" else 0)


class OperationRule(Strict):
    """What the target does with some operation types; the first configuration is the fastest."""

    types: tuple[str, ...] = Field(min_length=1)
    activations: tuple[QuantizationConfig, ...] = Field(min_length=1)
    weights: tuple[QuantizationConfig, ...] = ()


class HardwareConfig(Strict):
    """All rules of a target.

    Types are OpenVINO's; ``DepthWiseConvolution`` is a GroupConvolution with one channel a group, ``Embedding`` a
    Gather from a constant table. All inputs of an operation of ``unified_scales`` share one range; these types are
    quantize-agnostic as well.
    """

    target: str
    operations: tuple[OperationRule, ...] = Field(min_length=1)
    quantize_agnostic: tuple[str, ...] = ()
    unified_scales: tuple[str, ...] = ()

    def rule(self, operation_type: str) -> OperationRule | None:
        """Return the rule of an operation type, or None if the target does not quantize it."""
        return next((rule for rule in self.operations if operation_type in rule.types), None)


def load_hardware(path: Path) -> HardwareConfig:
    """Read a hardware configuration.

    Raises:
        ConfigurationError: see ``read_yaml`` and ``validate``.

    """
    return validate(HardwareConfig, read_yaml(path))
