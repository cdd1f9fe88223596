"""What the regression gate allows; all limits are in percent of the baseline's figure."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pydantic import Field

from quantize_zoo.config.strict import Strict

# What can regress: a quantity of a cause, or a quantity whatever the cause.
_REGRESSING = {
    "runtime": ("accuracy", "latency"),
    "model": ("accuracy",),
    "quantization": ("accuracy", "latency"),
    "search": ("accuracy", "latency", "size", "compile time", "memory"),
}
WAIVED_CHECKS = (
    *_REGRESSING["search"],
    *(f"{cause} {quantity}" for cause, quantities in _REGRESSING.items() for quantity in quantities),
)


class GateConfig(Strict):
    """Margins of the gate; what has no default is reported and gated only where the matrix names a limit."""

    max_accuracy_drop: float = Field(default=0.5, ge=0)
    max_latency_increase: float = Field(default=3.0, gt=0)
    max_size_increase: float | None = Field(default=None, ge=0)
    max_compile_time_increase: float | None = Field(default=None, ge=0)
    max_memory_increase: float | None = Field(default=None, ge=0)
    false_alarms_a_night: float = Field(
        default=0.01, gt=0, lt=1, description="chance that a night without any change has an alarm"
    )


class Waiver(Strict):
    """A known regression of one cell that is no alarm until a date."""

    cell: str
    check: str = Field(description="such as 'search latency', or 'latency' for that of any cause")
    reason: str = Field(min_length=1)
    until: date


class Runtime(Strict):
    """Another OpenVINO release: an interpreter that has it."""

    name: str = Field(min_length=1)
    python: Path
