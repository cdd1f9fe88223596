"""What any choice of operations is expected to save and to lose, by the survey and what trials told.

Savings and losses of operations are linear models that have the survey as their prior; of a fleet there is one of
savings for each member.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from quantize_zoo.scoring import PairedLatency
from quantize_zoo.search.frontier import Frontier, mean_speedup
from quantize_zoo.search.linear_model import (
    NORMAL_95,
    Gaussian,
    Observation,
    drawn,
    expected_improvement,
    posterior,
    total,
)
from quantize_zoo.search.savings import Savings

_SPREAD = 0.7  # of what an operation is expected to lose by its change
_STEADY = 0.2  # of the target: what a trial's loss is certain to, beside its interval
_LEAST_AIM = 0.2  # of the loss that is allowed; the best of what is drawn loses more than that says
_DRAWN_GAP = 0.05  # to the best of a draw, which is as uncertain itself; solved many times as fast

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Prediction:
    """What is known of operations at one moment.

    ``saved`` are the microseconds that each saves on each member, ``whole_us`` is FP32's time there, ``lost`` the share
    of the metric that each loses, None before the first trial, and ``allowed`` what may be lost. With ``none_slower``
    no member may become slower than its FP32.
    """

    frontier: Frontier
    saved: Sequence[Gaussian]
    whole_us: NDArray[np.float64]
    lost: Gaussian | None
    allowed: float
    none_slower: bool

    @property
    def saved_us(self) -> NDArray[np.float64]:
        """The expected savings (members, operations)."""
        return np.array([mean for mean, _ in self.saved])

    def speedup(self, chosen: Mask, more: float = 0.0) -> float:
        """Return FP32 time / INT8 time where these are quantized, and a share of FP32's time is saved beside it."""
        return mean_speedup(self._shares(chosen) + more, self.frontier.shares)

    def best_speedup(self, accurate: Iterable[Mask]) -> float:
        """Return that of the fastest of what is accurate, as FP32 is."""
        return max([1.0, *map(self.speedup, accurate)])

    def bound(self, without: Sequence[Mask]) -> float:
        """Return what the speedup of the best choice is below (95 %), which has none of some sets.

        Of a fleet's choices also those count that a member may be slower with, if its savings may be larger.
        """
        saved = self.saved_us
        at_best = saved + NORMAL_95 * np.sqrt([np.maximum(np.diag(covariance), 0.0) for _, covariance in self.saved])
        best = self.frontier.fastest(np.inf, saved, at_best=at_best, without=without)
        # Each member saves more by as much as all of them together may.
        return self.speedup(best, more=NORMAL_95 * self._together(self._deviations(best)))

    def draw(self, rng: np.random.Generator, without: Sequence[Mask]) -> Mask:
        """Return the best choice by savings and losses as they may be (Thompson 1933), for a share of what is allowed.

        Of nothing, where losses are not known.
        """
        if self.lost is None:
            return np.zeros(len(self.frontier.names), dtype=np.bool_)
        gains = np.array([drawn(each, rng) for each in self.saved])
        losses = np.maximum(drawn(self.lost, rng), 0.0)
        most = self.allowed * rng.uniform(_LEAST_AIM, 1.0)
        return self.frontier.fastest(most, gains, losses, without=without, gap=_DRAWN_GAP)

    def worth(self, chosen: Mask, best: float) -> float:
        """Return what share of FP32's time a choice is expected to save beyond the best, times the chance that it may.

        That is the expected improvement under constraints (Schonlau, Welch and Jones 1998; Gardner et al. 2014): the
        loss within what is allowed, and where it matters no member slower. ``best`` is FP32 time / INT8 time.
        """
        assert self.lost is not None, "choices are drawn where losses are known"
        loss, error = total(self.lost, chosen)
        deviations = self._deviations(chosen)
        chance = scipy.special.ndtr((self.allowed - loss) / np.hypot(error, _STEADY * self.allowed))
        if self.none_slower:
            chance *= scipy.special.ndtr(self._shares(chosen) / np.maximum(deviations, 1e-12)).prod()
        gain = 1 - 1 / self.speedup(chosen)
        return float(chance) * expected_improvement(gain, self._together(deviations), 1 - 1 / best)

    def _shares(self, chosen: Mask) -> NDArray[np.float64]:
        """Return what share of FP32's time is saved on each member."""
        return self.frontier.savings(chosen, self.saved_us) / self.whole_us

    def _deviations(self, chosen: Mask) -> NDArray[np.float64]:
        """Return the standard deviations of that."""
        return np.array([total(each, chosen)[1] for each in self.saved]) / self.whole_us

    def _together(self, deviations: NDArray[np.float64]) -> float:
        """Return the standard deviation of the members' weighted mean."""
        return float(np.hypot.reduce(self.frontier.shares * deviations))


class Learned:
    """What trials told of operations beside the survey.

    Args:
        frontier: of the operations as surveyed.
        savings: as surveyed on each member, by its name; a cell's device is its only one.
        allowed: the share of FP32's metric that may be lost.
        none_slower: no member may become slower than its FP32.

    """

    def __init__(
        self, frontier: Frontier, savings: Mapping[str, Savings], allowed: float, *, none_slower: bool
    ) -> None:
        self._frontier, self._savings, self._none_slower = frontier, savings, none_slower
        self._allowed = max(allowed, 1e-6)
        self._lost: list[Observation] = []

    def tell_loss(self, chosen: Mask, loss: float, error: float) -> None:
        """Learn what share of the metric a choice lost, and the standard deviation of that, if it is known."""
        self._lost.append(Observation(chosen, loss, float(np.hypot(error, _STEADY * self._allowed))))

    def tell_latencies(self, chosen: Mask, latencies: Mapping[str, PairedLatency]) -> None:
        """Learn how fast a structure is on members, of which no trial was told before."""
        for name, latency in latencies.items():
            self._savings[name].tell(chosen, latency)

    def now(self) -> Prediction:
        """Return what is known by now."""
        saved = [each.known() for each in self._savings.values()]
        whole = np.array([each.whole_us for each in self._savings.values()])
        return Prediction(self._frontier, saved, whole, self._losses(), self._allowed, self._none_slower)

    def _losses(self) -> Gaussian | None:
        """Return what share of the metric operations lose; None before the first trial.

        As much of it as they change of the output, in the units of the trials' losses.
        """
        if not self._lost:
            return None
        changes = np.array([self._frontier.change(each.mask) for each in self._lost])
        values = np.array([each.value for each in self._lost])
        scale = max(0.0, float(changes @ values)) / max(float(changes @ changes), 1e-30)
        prior = scale * self._frontier.changes
        spread = _SPREAD * prior + max(0.0, float(values.max())) / max(1, len(prior)) + 1e-9
        return posterior(prior, spread, self._lost, scale * changes, 1.0)
