"""A walk along the frontier of what operations save and change, until the accuracy target is between two of its points.

The fastest choice comes first, then those that change less and less of the output, by bisection. What trials find
corrects what was surveyed: their latencies the operations' savings, their accuracies the operations' losses, by linear
models that have the survey as their prior. So a wrong prediction costs trials, never the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Estimate
from quantize_zoo.search.frontier import Frontier, speedup
from quantize_zoo.search.objective import meets_accuracy
from quantize_zoo.search.survey import Survey
from quantize_zoo.search.trial import Trial, half_width

_NORMAL_95 = 1.96
_STEP = 0.5  # of the change from one point of the frontier to the next, at most
_MOST_POINTS = 24
_FASTER_SIDE = 3  # the walk looks a third of the way from what is too inaccurate to what is accurate enough
_CLOSER = 3  # points between the two in the end
_ENOUGH = 5  # trials that confirm that nothing pays
_RESOLVED = 0.02  # of latency; what trials cannot tell from no gain is none
_UNSURE = 0.3  # of what an operation saves; profiling itself, and neighbours, change what is profiled
_NOISE = 0.01  # of FP32's time, in what a trial saved
_SPREAD = 0.7  # of what an operation is expected to lose by its change
_STEADY = 0.2  # of the target: what a trial's loss is certain to, beside its interval
_TRIED = 8

_Gaussian = tuple[NDArray[np.float64], NDArray[np.float64]]  # mean and covariance


@dataclass(frozen=True)
class _Observation:
    """What was quantized in a trial, and the share of FP32's time that it saved, or of its metric that it lost."""

    mask: NDArray[np.bool_]
    value: float
    error: float


class FrontierWalk:
    """Proposes which operations to quantize (``next``), and learns from trials (``tell``).

    Args:
        survey: of the operations.
        base: the stage's base, which is evaluated first; what it does not quantize stays so.
        params: of the search.

    """

    def __init__(self, survey: Survey, base: ModelOption, params: OptimizerParams) -> None:
        self._operations = [each for each in survey.operations if base.operations[each.name].quantize]
        self.frontier = Frontier(self._operations, _least_bytes(survey, params))
        self._params = params
        self._points = _along(self.frontier, self.frontier.saved) or _along(self.frontier, self._at_best())
        self._accurate: dict[bytes, bool] = {}
        self._asked: set[bytes] = set()
        self._closer = 0
        self._measured: set[str] = set()
        self._saved: list[_Observation] = []
        self._lost: list[_Observation] = []
        self._fp32_us: list[float] = []
        self._faster = False
        self._ask(self._mask(base))

    def next(self) -> frozenset[str] | None:
        """Return what to quantize next to bracket the target; None once it is between two neighbours."""
        keys = [each.tobytes() for each in self._points]
        worst, best = self._bracket(keys)
        left = [number for number in range(worst + 1, best) if keys[number] not in self._asked]
        if left:
            begun = any(key in self._asked for key in keys)
            return self._ask(self._points[left[len(left) // _FASTER_SIDE if begun else 0]])
        pending = any(key in self._asked and key not in self._accurate for key in keys[max(worst, 0) : best + 1])
        if pending or self._closer == _CLOSER or worst < 0 or best == len(keys):
            return None
        self._closer += 1
        changes = [max(self.frontier.change(self._points[number]), 1e-30) for number in (worst, best)]
        between = self.frontier.fastest(float(np.sqrt(changes[0] * changes[1])), self.saved())
        if not between.any() or between.tobytes() in self._asked:
            return None
        self._points.insert(best, between)
        return self._ask(between)

    def beside(self, rng: np.random.Generator) -> frozenset[str] | None:
        """Return what is best by savings and losses as they may be, drawn from what is known of them (Thompson 1933).

        None where nothing new is drawn.
        """
        saved, lost = self._savings(), self._losses()
        if lost is None:
            return None
        allowed = self._params.accuracy_loss / 100
        for _ in range(_TRIED):
            losses = np.maximum(_drawn(lost, rng), 0.0)
            found = self.frontier.fastest(allowed, _drawn(saved, rng), losses)
            if found.any() and found.tobytes() not in self._asked:
                return self._ask(found)
        return None

    def drop(self, quantized: frozenset[str]) -> None:
        """Pass over what was proposed and is not evaluated: another stage had it."""
        key = self.frontier.mask(quantized).tobytes()
        self._points = [each for each in self._points if each.tobytes() != key]

    def tell(self, trial: Trial, *, decides: bool = True) -> None:
        """Learn from a finished trial, asked for or not; of compressed weights it was not predicted what they do.

        One that is too inaccurate ``decides`` of what it quantizes unless other choices are known to lose less.
        """
        if trial.option.has_compressed_weights:
            return
        mask = self._mask(trial.option)
        key = mask.tobytes()
        accurate = trial.score is not None and meets_accuracy(trial.score.accuracy_loss, self._params)
        decides &= not (
            trial.pruned and trial.structure in self._measured
        )  # it may meet the target, if not as others do
        (self._asked.add if accurate or decides else self._asked.discard)(key)
        if accurate or decides:
            self._accurate[key] = self._accurate.get(key, False) or accurate  # other estimators may be more accurate
        known = trial.pruned or trial.score
        if known is not None:
            interval = trial.measurement.accuracy_loss if trial.measurement else None
            error = 0.0 if interval is None else _deviation(interval)
            allowed = max(self._params.accuracy_loss / 100, 1e-6)
            self._lost.append(_Observation(mask, known.accuracy_loss, float(np.hypot(error, _STEADY * allowed))))
        latency = trial.measurement.latency if trial.measurement else None
        if latency is None or trial.structure in self._measured:
            return
        self._measured.add(trial.structure)
        self._faster |= latency.ratio.low is not None and latency.ratio.low > 1
        self._fp32_us.append(latency.reference_us.value)
        ratio = latency.ratio.value
        error = half_width(trial) / _NORMAL_95 / ratio**2
        self._saved.append(_Observation(mask, 1 - 1 / ratio, float(np.hypot(error, _NOISE))))

    def saved(self) -> NDArray[np.float64]:
        """Return the microseconds that each operation saves by survey and trials, borders apart."""
        return self._savings()[0]

    def bound(self) -> float:
        """Return what FP32 time / INT8 time of the best choice is below (95 %), by survey and trials."""
        saved, covariance = self._savings()
        best = self.frontier.fastest(np.inf, saved)
        chosen = best.astype(float)
        deviation = float(np.sqrt(max(0.0, chosen @ covariance @ chosen)))
        return speedup(self._whole_us(), self.frontier.saving(best, saved) + _NORMAL_95 * deviation)

    def cannot_pay(self) -> bool:
        """Tell whether trials enough were made, none of them measurably faster than FP32, and nothing else is to be.

        Where size is a target, what is not faster may pay as well.
        """
        if self._params.size_reduce is not None:
            return False
        return not self._faster and len(self._saved) >= _ENOUGH and self.bound() < 1 + _RESOLVED

    def _mask(self, option: ModelOption) -> NDArray[np.bool_]:
        return self.frontier.mask([name for name, choice in option.operations.items() if choice.quantize])

    def _ask(self, mask: NDArray[np.bool_]) -> frozenset[str]:
        self._asked.add(mask.tobytes())
        return frozenset(name for name, chosen in zip(self.frontier.names, mask, strict=True) if chosen)

    def _bracket(self, keys: Sequence[bytes]) -> tuple[int, int]:
        """Return the last point that is too inaccurate (-1: none), and the first accurate one behind it."""
        seen = [self._accurate.get(key) for key in keys]
        best = next((number for number, each in enumerate(seen) if each), len(seen))
        return max((number for number, each in enumerate(seen[:best]) if each is False), default=-1), best

    def _whole_us(self) -> float:
        return float(np.median(self._fp32_us)) if self._fp32_us else self.frontier.fp32_us

    def _at_best(self) -> NDArray[np.float64]:
        """Return what operations save at the upper ends of their intervals."""
        return np.array([each.saved_us.value if each.saved_us.high is None else each.saved_us.high
                         for each in self._operations])  # fmt: skip

    def _savings(self) -> _Gaussian:
        """Return what operations save, in microseconds."""
        prior, whole = self.frontier.saved, self._whole_us()
        surveyed = np.array([_deviation(each.saved_us) for each in self._operations])
        least = _NOISE * whole / np.sqrt(max(1, len(prior)))  # of an operation, so that noise of all is that of trials
        spread = np.hypot(surveyed, np.hypot(_UNSURE * np.abs(prior), least))
        expected = np.array([self.frontier.saving(each.mask) for each in self._saved])
        return _posterior(prior, spread, self._saved, expected, whole)

    def _losses(self) -> _Gaussian | None:
        """Return what share of the metric operations lose; None before the first trial.

        As much of it as they change of the output, in the units of the trials' losses.
        """
        if not self._lost:
            return None
        changes = np.array([self.frontier.change(each.mask) for each in self._lost])
        values = np.array([each.value for each in self._lost])
        scale = max(0.0, float(changes @ values)) / max(float(changes @ changes), 1e-30)
        prior = scale * self.frontier.changes
        spread = _SPREAD * prior + max(0.0, float(values.max())) / max(1, len(prior)) + 1e-9
        return _posterior(prior, spread, self._lost, scale * changes, 1.0)


def _least_bytes(survey: Survey, params: OptimizerParams) -> float:
    """Return by how many bytes weights have to become smaller."""
    return 0.0 if params.size_reduce is None else survey.fp32_bytes * (1 - 1 / params.size_reduce)


def _along(frontier: Frontier, saved: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    """Return points of the frontier from the fastest on, each of which changes half as much as the one before."""
    points: list[NDArray[np.bool_]] = []
    level = np.inf
    while len(points) < _MOST_POINTS:
        found = frontier.fastest(float(level), saved)
        if not found.any():
            break
        points.append(found)
        level = _STEP * frontier.change(found)
    return points


def _posterior(
    prior: NDArray[np.float64],
    spread: NDArray[np.float64],
    observed: Sequence[_Observation],
    expected: NDArray[np.float64],
    unit: float,
) -> _Gaussian:
    """Return mean and covariance of what adds up to what was observed (Bayesian linear regression).

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


def _drawn(known: _Gaussian, rng: np.random.Generator) -> NDArray[np.float64]:
    mean, covariance = known
    jitter = 1e-9 * float(np.trace(covariance)) / max(1, len(mean)) + 1e-30
    return mean + np.linalg.cholesky(covariance + jitter * np.eye(len(mean))) @ rng.normal(size=len(mean))


def _deviation(estimate: Estimate) -> float:
    """Return the standard deviation of an estimate; 0 where it has no interval."""
    return 0.0 if estimate.low is None or estimate.high is None else (estimate.high - estimate.low) / 2 / _NORMAL_95
