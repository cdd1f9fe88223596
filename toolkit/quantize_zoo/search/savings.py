"""What quantizing operations saves on one device, by what was surveyed there and what trials find out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.scoring import PairedLatency
from quantize_zoo.search.frontier import Frontier
from quantize_zoo.search.linear_model import Gaussian, Observation, deviation, posterior
from quantize_zoo.search.survey import OperationSurvey

_UNSURE = 0.3  # of what an operation saves; profiling itself, and neighbours, change what is profiled
_NOISE = 0.01  # of FP32's time, in what a trial saved


class Savings:
    """The savings of a cell's device, or of a member of a fleet.

    Args:
        operations: as surveyed there.

    """

    def __init__(self, operations: Sequence[OperationSurvey]) -> None:
        self._frontier = Frontier(operations)
        self._prior = self._frontier.saved[0]
        self._surveyed = np.array([deviation(each.saved_us) for each in operations])
        self._observed: list[Observation] = []
        self._fp32_us: list[float] = []
        # At the upper ends of their intervals.
        self.at_best = np.array([each.saved_us.value if each.saved_us.high is None else each.saved_us.high
                                 for each in operations])  # fmt: skip

    @property
    def whole_us(self) -> float:
        """FP32's time, as trials measured it, if any did."""
        return float(np.median(self._fp32_us)) if self._fp32_us else float(self._frontier.whole_us[0])

    def tell(self, mask: NDArray[np.bool_], latency: PairedLatency) -> None:
        """Learn what a structure saves of which no trial was told before."""
        self._fp32_us.append(latency.reference_us.value)
        ratio = latency.ratio
        error = deviation(ratio) / ratio.value**2
        self._observed.append(Observation(mask, 1 - 1 / ratio.value, float(np.hypot(error, _NOISE))))

    def known(self) -> Gaussian:
        """Return what operations save, in microseconds."""
        prior, whole = self._prior, self.whole_us
        least = _NOISE * whole / np.sqrt(max(1, len(prior)))  # of an operation, so that noise of all is that of trials
        spread = np.hypot(self._surveyed, np.hypot(_UNSURE * np.abs(prior), least))
        expected = np.array([self._frontier.savings(each.mask)[0] for each in self._observed])
        return posterior(prior, spread, self._observed, expected, whole)
