"""The slow creep that no single night shows: change points in a cell's figures over the stored nights.

Segments are found by ruptures' PELT with a quadratic cost (Killick, Fearnhead and Eckley, JASA 107, 2012), on values in
units of their noise from night to night; a change point tells of a step, or of a creep by several small ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FEWEST_NIGHTS = 10
MOST_NIGHTS = 90
_SHORTEST_SEGMENT = 4


@dataclass(frozen=True)
class Trend:
    """A figure that is not what it was: means before the first and after the last change point.

    ``since`` is the position of the last change point among the ``nights`` looked at.
    """

    quantity: str
    before: float
    after: float
    since: int
    nights: int

    @property
    def change(self) -> float:
        """Relative change."""
        return (self.after - self.before) / abs(self.before) if self.before else 0.0


def find_trend(quantity: str, values: Sequence[float]) -> Trend | None:
    """Return how a figure has shifted over the nights, the oldest first; None if it has not, or there are too few."""
    recent = np.asarray(values[-MOST_NIGHTS:], dtype=np.float64)
    if len(recent) < FEWEST_NIGHTS or np.ptp(recent) == 0:
        return None
    steps = np.diff(recent)
    # The median absolute step sees the noise and not the shifts; without any noise their own size is the unit.
    noise = 1.4826 * float(np.median(np.abs(steps - np.median(steps)))) / np.sqrt(2)
    scaled = (recent - np.median(recent)) / (noise or float(np.std(recent)) / 4)
    penalty = 3 * np.log(len(recent)) + 6
    import ruptures  # takes a sixth of a second

    # With a linear kernel the cost is the quadratic one, and PELT runs in C: 0.1 ms, where its Pelt takes 30.
    search = ruptures.KernelCPD(kernel="linear", min_size=_SHORTEST_SEGMENT).fit(scaled)
    points = search.predict(pen=penalty)[:-1]
    if not points:
        return None
    before, after = float(recent[: points[0]].mean()), float(recent[points[-1] :].mean())
    return Trend(quantity, before, after, int(points[-1]), len(recent))
