"""What the regression gate allows; all limits are in percent of the baseline's figure."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from quantize_zoo.config.numbers import Chance, Percent, PercentAboveZero
from quantize_zoo.config.strict import Strict

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
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

    max_accuracy_drop: Percent = 0.5
    max_latency_increase: PercentAboveZero = 3.0
    max_size_increase: Percent | None = None
    max_compile_time_increase: Percent | None = None
    max_memory_increase: Percent | None = None
    false_alarms_a_night: Chance = Field(
        default=0.01, description="chance that a night without any change has an alarm"
    )


class Waiver(Strict):
    """A known regression of one cell that is no alarm until a date."""

    cell: str
    check: str = Field(description="such as 'search latency', or 'latency' for that of any cause")
    reason: str = Field(min_length=1)
    until: date = Field(description="a day, YYYY-MM-DD")

    @field_validator("until", mode="before")
    @classmethod
    def _is_a_day(cls, value: Any) -> Any:
        """Refuse a number, which would be seconds since 1970."""
        if not isinstance(value, date) and not (isinstance(value, str) and _DAY.fullmatch(value)):
            raise ValueError("write a day as YYYY-MM-DD")
        return value

    def over(self, today: date) -> str:
        """Say that it has ended, and why it was given; nothing of one that holds."""
        return f"the waiver of {self.check} ended on {self.until}: {self.reason}" if self.until < today else ""


class Runtime(Strict):
    """Another OpenVINO release: an interpreter that has it."""

    name: str = Field(min_length=1)
    python: Path
