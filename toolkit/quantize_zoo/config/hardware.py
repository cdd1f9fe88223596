"""A hardware configuration: which operations a target quantizes, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from quantize_zoo import errors
from quantize_zoo.config.numbers import Bits
from quantize_zoo.config.operation_types import operation_types
from quantize_zoo.config.strict import Strict
from quantize_zoo.config.yaml_source import ConfigSource, Key, read_yaml, validate

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
        ConfigurationError: see ``read_yaml`` and ``validate``; or OpenVINO has no operation of a type, or two rules
            name the same one.

    """
    source = read_yaml(path)
    hardware = validate(HardwareConfig, source)
    ruled: set[str] = set()
    for number, rule in enumerate(hardware.operations):
        at = ("operations", number, "types")
        _require_known_types(rule.types, source, at)
        for kind in rule.types:
            if kind in ruled:
                raise errors.named_twice(source.where(at), f"operations.{number}.types", kind)
            ruled.add(kind)
    _require_known_types(hardware.quantize_agnostic, source, ("quantize_agnostic",))
    _require_known_types(hardware.unified_scales, source, ("unified_scales",))
    return hardware


def _require_known_types(types: tuple[str, ...], source: ConfigSource, at: tuple[Key, ...]) -> None:
    """Refuse a type that no operation has: its rule would never hold, and nobody would know."""
    for kind in types:
        if kind not in operation_types():
            raise errors.unknown_value(source.where(at), ".".join(map(str, at)), kind, operation_types())
