"""A measured figure is an ``Estimate``: value, 95 % interval, unit and number of observations.

Whoever only reads figures does without what they are estimated with.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval (``low`` and ``high`` are None where none can be given)."""

    value: float
    low: float | None
    high: float | None
    unit: str
    samples: int

    @property
    def half_width(self) -> float:
        """Half of the interval's width, relative to the value; infinite without an interval."""
        if self.low is None or self.high is None or self.value == 0:
            return float("inf")
        return (self.high - self.low) / 2 / abs(self.value)
