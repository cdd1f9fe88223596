"""A hardware configuration: which operations a target quantizes, and how."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from quantize_zoo import errors
from quantize_zoo.config.file_kinds import HARDWARE, require_kind
from quantize_zoo.config.numbers import Bits, GroupSize, WeightBits
from quantize_zoo.config.operation_types import COMPRESSIBLE, operation_types
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


class WeightCompression(Strict):
    """How weights are stored whose activations stay in floating point; the device gives them back as it computes.

    A scale is that of an output channel, or of ``group_size`` weights of one.
    """

    bits: WeightBits
    mode: Literal["symmetric", "asymmetric", "nf4"]
    group_size: GroupSize | None = None

    @model_validator(mode="after")
    def _has_four_bits(self) -> WeightCompression:
        if self.bits == 8 and (self.mode == "nf4" or self.group_size is not None):
            raise ValueError("nf4 and groups have 4 bits")
        return self

    def __str__(self) -> str:
        name = "NF4" if self.mode == "nf4" else f"INT{self.bits} {self.mode}"
        return f"{name} perchannel" if self.group_size is None else f"{name} by groups of {self.group_size}"


class OperationRule(Strict):
    """What the target does with some operation types; the first configuration is the fastest.

    ``compressed_weights`` are ways to store the weights of an operation that is not quantized, offered by ``bits`` in
    the scope of tuning.
    """

    types: tuple[str, ...] = Field(min_length=1)
    activations: tuple[QuantizationConfig, ...] = Field(min_length=1)
    weights: tuple[QuantizationConfig, ...] = ()
    # Left out where there are none, so that searches stored before know their hardware configuration again.
    compressed_weights: tuple[WeightCompression, ...] = Field(default=(), exclude_if=operator.not_)

    @model_validator(mode="after")
    def _each_once(self) -> OperationRule:
        twice = [str(each) for each in self.compressed_weights if self.compressed_weights.count(each) > 1]
        if twice:
            raise ValueError(f"compressed_weights has {twice[0]} twice")
        return self


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
        ConfigurationError: see ``read_yaml`` and ``validate``; or OpenVINO has no operation of a type, two rules name
            the same one, or one of those with compressed weights never has any.

    """
    source = read_yaml(path)
    require_kind(source.data, HARDWARE, path, source.where(()))
    hardware = validate(HardwareConfig, source)
    ruled: set[str] = set()
    for number, rule in enumerate(hardware.operations):
        at = ("operations", number, "types")
        _require_known_types(rule.types, source, at)
        if rule.compressed_weights:
            _require_compressible_types(rule.types, source, ("operations", number, "compressed_weights"))
        for kind in rule.types:
            if kind in ruled:
                raise errors.named_twice(source.where(at), f"operations.{number}.types", kind)
            ruled.add(kind)
    _require_known_types(hardware.quantize_agnostic, source, ("quantize_agnostic",))
    _require_known_types(hardware.unified_scales, source, ("unified_scales",))
    return hardware


def _require_compressible_types(types: tuple[str, ...], source: ConfigSource, at: tuple[Key, ...]) -> None:
    """Refuse compressed weights of a type that never has any: nobody would know that they are not offered."""
    for kind in types:
        if kind not in COMPRESSIBLE:
            raise errors.not_compressible(source.where(at), ".".join(map(str, at)), kind, COMPRESSIBLE)


def _require_known_types(types: tuple[str, ...], source: ConfigSource, at: tuple[Key, ...]) -> None:
    """Refuse a type that no operation has: its rule would never hold, and nobody would know."""
    for kind in types:
        if kind not in operation_types():
            raise errors.unknown_value(source.where(at), ".".join(map(str, at)), kind, operation_types())
