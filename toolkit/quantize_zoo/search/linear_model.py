"""What trials tell of operations whose effects add up: Bayesian linear regression with the survey as its prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from quantize_zoo.scoring import Estimate

NORMAL_95 = 1.96

Gaussian = tuple[NDArray[np.float64], NDArray[np.float64]]  # mean and covariance


@dataclass(frozen=True)
class Observation:
    """What was quantized in a trial, and the share of FP32's time that it saved, or of its metric that it lost."""

    mask: NDArray[np.bool_]
    value: float
    error: float


def posterior(
    prior: NDArray[np.float64],
    spread: NDArray[np.float64],
    observed: Sequence[Observation],
    expected: NDArray[np.float64],
    unit: float,
) -> Gaussian:
    """Return mean and covariance of what adds up to what was observed.

    Args:
        prior: of each operation.
        spread: its standard deviation.
        observed: sums, as trials found them.
        expected: what they are by the prior.
        unit: what 1 of the observed values is of the prior's.

    """
    covariance = np.diag(spread**2)
    if not observed:
        return prior, covariance
    masks = np.array([each.mask for each in observed], dtype=float)
    errors = unit * np.array([each.error for each in observed])
    found = unit * np.array([each.value for each in observed])
    crossed = masks @ covariance
    gain = np.linalg.solve(crossed @ masks.T + np.diag(errors**2), crossed).T
    return prior + gain @ (found - expected), covariance - gain @ crossed


def drawn(known: Gaussian, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return what the operations may be (Thompson 1933)."""
    mean, covariance = known
    jitter = 1e-9 * float(np.trace(covariance)) / max(1, len(mean)) + 1e-30
    return mean + np.linalg.cholesky(covariance + jitter * np.eye(len(mean))) @ rng.normal(size=len(mean))


def total(known: Gaussian, chosen: NDArray[np.bool_]) -> tuple[float, float]:
    """Return mean and standard deviation of what these operations add up to."""
    mean, covariance = known
    variance = float(covariance[np.ix_(chosen, chosen)].sum())
    return float(mean[chosen].sum()), float(np.sqrt(max(0.0, variance)))


def expected_improvement(mean: float, error: float, best: float) -> float:
    """Return by how much something normal is expected to be above the best (Jones, Schonlau and Welch 1998)."""
    distance = (mean - best) / max(error, 1e-12)
    density = float(np.exp(-(distance**2) / 2) / np.sqrt(2 * np.pi))
    return float((mean - best) * scipy.special.ndtr(distance) + error * density)


def deviation(estimate: Estimate) -> float:
    """Return the standard deviation of an estimate; 0 where it has no interval."""
    return 0.0 if estimate.low is None or estimate.high is None else (estimate.high - estimate.low) / 2 / NORMAL_95
