"""A walk along the frontier of what operations save and change, until the accuracy target is between two of its points.

The fastest choice comes first, then those that change less and less of the output, by bisection. What trials find
corrects what was surveyed: their latencies the operations' savings, their accuracies the operations' losses, by linear
models that have the survey as their prior. So a wrong prediction costs trials, never the result. What contains a choice
that is far from accurate enough is not proposed; once it is known what is to blame for that, all else is. Of a fleet
there is one of savings for each member.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import scipy
from numpy.typing import NDArray

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption
from quantize_zoo.search.frontier import Frontier, mean_speedup
from quantize_zoo.search.hopeless import FarOff
from quantize_zoo.search.linear_model import (
    NORMAL_95,
    Gaussian,
    Observation,
    deviation,
    drawn,
    expected_improvement,
    posterior,
    total,
)
from quantize_zoo.search.objective import meets_accuracy
from quantize_zoo.search.savings import Savings
from quantize_zoo.search.survey import OperationSurvey, Survey
from quantize_zoo.search.trial import Trial

_STEP = 0.5  # of the change from one point of the frontier to the next, at most
_MOST_POINTS = 24
_FASTER_SIDE = 3  # the walk looks a third of the way from what is too inaccurate to what is accurate enough
_CLOSER = 3  # points between the two in the end
_MOST_CLEARED = 6  # choices that are tried without what may be to blame
_MOST_ALONE = 6  # operations that are tried by themselves while nothing faster is known to be accurate
_ENOUGH = 5  # structures that confirm that nothing pays, or all that there are beside FP32's
_RESOLVED = 0.02  # of latency; what trials cannot tell from no gain is none
_SPREAD = 0.7  # of what an operation is expected to lose by its change
_STEADY = 0.2  # of the target: what a trial's loss is certain to, beside its interval
_DRAWN = 12  # choices, of which the most promising is proposed
_LEAST_AIM = 0.2  # of the loss that is allowed; the best of what is drawn loses more than that says
_DRAWN_GAP = 0.05  # to the best of a draw, which is as uncertain itself; solved many times as fast
_LEAST_WORTH = 1e-3  # of FP32's time: where no more is expected to be gained, others look elsewhere


class FrontierWalk:
    """Proposes which operations to quantize (``next``), and learns from trials (``tell``).

    Args:
        survey: of the operations.
        base: the stage's base, which is evaluated first; what it does not quantize stays so.
        params: of the search.

    """

    def __init__(self, survey: Survey, base: ModelOption, params: OptimizerParams) -> None:
        quantized = {name for name, choice in base.operations.items() if choice.quantize}
        operations = _among(survey.operations, quantized)
        members = [replace(each, operations=_among(each.operations, quantized)) for each in survey.members]
        least = _least_bytes(survey, params)
        self.frontier = Frontier(operations, least, members, allow_slower=survey.allow_slower)
        self._params = params
        self._members = tuple(each.name for each in members)
        self._none_slower = bool(members) and not survey.allow_slower
        self._savings = [Savings(each.operations) for each in members] or [Savings(operations)]
        at_best = np.array([each.at_best for each in self._savings])
        self._points = _along(self.frontier, self.frontier.saved) or _along(self.frontier, at_best)
        self._accurate: dict[bytes, bool] = {}
        self._asked: set[bytes] = set()
        self._closer = self._cleared = 0
        self._measured: set[str] = set()
        self._off: FarOff[str] = FarOff()
        self._seen: set[str] = set()  # structures that were measured, or are far off
        self._alone = 0
        self._lost: list[Observation] = []
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
        if any(key in self._asked and key not in self._accurate for key in keys[max(worst, 0) : best + 1]):
            return None
        if (blameless := self._blameless()) is not None:
            self._points.insert(best, blameless)
            return self._ask(blameless)
        if self._closer == _CLOSER or worst < 0 or best == len(keys):
            return None
        self._closer += 1
        changes = [max(self.frontier.change(self._points[number]), 1e-30) for number in (worst, best)]
        level = float(np.sqrt(changes[0] * changes[1]))
        between = self.frontier.fastest(level, self.saved(), without=self._far_off())
        if not between.any() or between.tobytes() in self._asked:
            return None
        self._points.insert(best, between)
        return self._ask(between)

    def alone(self) -> frozenset[str] | None:
        """Return the operation that saves most of those which may be accurate enough, while nothing faster is known.

        What one of them alone loses, it loses with others. None once a few were tried, and where nothing is far off,
        latency is not measured, or size is a target.
        """
        if not self.knows_inaccurate or not self._measured or self._params.size_reduce is not None:
            return None
        keys = {each.tobytes() for each in self._points if not self._off.has(self._named(each))}
        pending = any(key in self._asked and key not in self._accurate for key in keys)
        if pending or self._faster or self._alone == _MOST_ALONE:
            return None
        saved = self.frontier.scales @ self.saved()
        for number in np.argsort(-saved):
            mask = np.arange(len(saved)) == number
            if saved[number] > 0 and mask.tobytes() not in self._asked and not self._off.has(self._named(mask)):
                self._alone += 1
                return self._ask(mask)
        return None

    def beside(self, rng: np.random.Generator) -> frozenset[str] | None:
        """Return what is expected to save most beyond the best that is accurate; None where nothing new is drawn.

        The expected improvement, times the chance to meet the target (Schonlau, Welch and Jones 1998; Gardner et al.
        2014), of choices that are best by savings and losses as they may be (Thompson 1933). What is best of such a
        draw loses more than that says (the optimizer's curse), so they are to lose less than is allowed.
        """
        saved, lost = self._known(), self._losses()
        if lost is None:
            return None
        far_off, found = self._far_off(), {}
        for aim in rng.uniform(_LEAST_AIM, 1.0, _DRAWN):
            gains = np.array([drawn(each, rng) for each in saved])
            losses = np.maximum(drawn(lost, rng), 0.0)
            mask = self.frontier.fastest(aim * self._allowed, gains, losses, without=far_off, gap=_DRAWN_GAP)
            if mask.any() and mask.tobytes() not in self._asked:
                found[mask.tobytes()] = mask
        if not found:
            return None
        best = _share(self._best_accurate(_means(saved)))
        worth = {key: self._worth(mask, saved, lost, best) for key, mask in found.items()}
        promising = max(worth, key=lambda key: worth[key])
        return self._ask(found[promising]) if worth[promising] > _LEAST_WORTH else None

    def _worth(self, mask: NDArray[np.bool_], saved: Sequence[Gaussian], lost: Gaussian, best: float) -> float:
        """Return by what share of FP32's time a choice is expected to be better than the best; see ``beside``."""
        loss, error = total(lost, mask)
        chance = scipy.special.ndtr((self._allowed - loss) / np.hypot(error, _STEADY * self._allowed))
        deviations = self._deviations(mask, saved)
        if self._none_slower:
            shares = self.frontier.savings(mask, _means(saved)) / self._whole_us()
            chance *= scipy.special.ndtr(shares / np.maximum(deviations, 1e-12)).prod()
        gain = _share(self._speedup(mask, _means(saved)))
        return float(chance) * expected_improvement(gain, self._together(deviations), best)

    def _blameless(self) -> NDArray[np.bool_] | None:
        """Return what saves most without all that may be to blame for what is far off.

        None where nothing is known to be to blame, where it saves no more than what is known to be accurate, and once a
        few were tried.
        """
        if not self._off.blames or self._cleared == _MOST_CLEARED:
            return None
        saved = self.saved()
        suspects = np.any(self._far_off(), axis=0)
        found = self.frontier.fastest(np.inf, saved, without=list(np.eye(len(suspects), dtype=np.bool_)[suspects]))
        least = (1 + _RESOLVED) * self._best_accurate(saved)
        if found.tobytes() in self._asked or self._speedup(found, saved) < least:
            return None
        self._cleared += 1
        return found

    def drop(self, quantized: frozenset[str]) -> None:
        """Pass over what was proposed and is not evaluated: another stage had it."""
        key = self.frontier.mask(quantized).tobytes()
        self._points = [each for each in self._points if each.tobytes() != key]

    def tell(self, trial: Trial, *, decides: bool = True, as_best: bool = True, too_far: float = 0.0) -> None:
        """Learn from a finished trial, asked for or not; of compressed weights it was not predicted what they do.

        One that is ``too_far`` from accurate enough takes all with it that contains it, unless something accurate does,
        if it quantizes as the best choices do (``as_best``).
        One that is too inaccurate ``decides`` of what it quantizes unless other choices are known to lose less. So does
        one that makes a member of a fleet slower than it may be.
        """
        if trial.option.has_compressed_weights:
            return
        mask = self._mask(trial.option)
        key = mask.tobytes()
        slower = trial.score is not None and bool(trial.score.slower)
        accurate = not slower and trial.score is not None and meets_accuracy(trial.score.accuracy_loss, self._params)
        decides &= not (
            trial.pruned and trial.structure in self._measured
        )  # it may meet the target, if not as others do
        (self._asked.add if accurate or decides else self._asked.discard)(key)
        if accurate or decides:
            self._accurate[key] = self._accurate.get(key, False) or accurate  # other estimators may be more accurate
        if accurate or not (as_best and mask.any()) or self._quantizes_others(trial.option):
            too_far = 0.0
        self._off.tell(self._named(mask), accurate=accurate, clears=as_best, times=too_far)
        if too_far or trial.measurement is not None:
            self._seen.add(trial.structure)
        known = trial.pruned or trial.score
        if known is not None:
            interval = trial.measurement.accuracy_loss if trial.measurement else None
            error = 0.0 if interval is None else deviation(interval)
            self._lost.append(Observation(mask, known.accuracy_loss, float(np.hypot(error, _STEADY * self._allowed))))
        latency = trial.measurement.latency if trial.measurement else None
        if latency is None:
            return
        self._faster |= latency.ratio.low is not None and latency.ratio.low > 1 and not slower and not too_far
        if trial.structure in self._measured:
            return
        self._measured.add(trial.structure)
        on_members = {each.name: each.latency for each in trial.members}
        for name, savings in zip(self._members or ("",), self._savings, strict=True):
            measured = on_members.get(name) if self._members else latency
            if measured is not None:
                savings.tell(mask, measured)

    def saved(self) -> NDArray[np.float64]:
        """Return what each operation saves by survey and trials (members, operations), in microseconds."""
        return _means(self._known())

    def bound(self) -> float:
        """Return what FP32 time / INT8 time of the best choice is below (95 %), by survey and trials.

        What contains a choice that is far from accurate enough is none. Of a fleet's choices also those count that a
        member may be slower with, if its savings may be larger.
        """
        known = self._known()
        saved = _means(known)
        at_best = saved + NORMAL_95 * np.sqrt([np.maximum(np.diag(covariance), 0.0) for _, covariance in known])
        best = self.frontier.fastest(np.inf, saved, at_best=at_best, without=self._far_off())
        # Each member saves more by as much as all of them together may.
        return self._speedup(best, saved, more=NORMAL_95 * self._together(self._deviations(best, known)))

    def cannot_pay(self) -> bool:
        """Tell whether trials enough were made, none of them measurably faster than FP32, and nothing else is to be.

        Those that are far from accurate enough count, whatever their latency. Where size is a target, what is not
        faster may pay as well.
        """
        if self._params.size_reduce is not None:
            return False
        enough = min(_ENOUGH, 2 ** len(self.frontier.names) - 1)
        return not self._faster and len(self._seen) >= enough and self.bound() < 1 + _RESOLVED

    def _speedup(self, mask: NDArray[np.bool_], saved: NDArray[np.float64], more: float = 0.0) -> float:
        """Return FP32 time / INT8 time of a choice by what operations save, and a share of FP32's time beside it."""
        return mean_speedup(self.frontier.savings(mask, saved) / self._whole_us() + more, self.frontier.shares)

    def _deviations(self, mask: NDArray[np.bool_], known: Sequence[Gaussian]) -> NDArray[np.float64]:
        """Return the standard deviations of what a choice saves on each member, as shares of FP32's time there."""
        return np.array([total(each, mask)[1] for each in known]) / self._whole_us()

    def _together(self, deviations: NDArray[np.float64]) -> float:
        """Return the standard deviation of the members' weighted mean."""
        return float(np.hypot.reduce(self.frontier.shares * deviations))

    def _best_accurate(self, saved: NDArray[np.float64]) -> float:
        """Return FP32 time / INT8 time of the fastest that is known to be accurate, as FP32 is."""
        accurate = (np.frombuffer(key, np.bool_) for key, is_accurate in self._accurate.items() if is_accurate)
        return max([1.0, *(self._speedup(each, saved) for each in accurate)])

    @property
    def _allowed(self) -> float:
        """The share of FP32's metric that may be lost."""
        return max(self._params.accuracy_loss / 100, 1e-6)

    @property
    def knows_inaccurate(self) -> bool:
        """Whether choices are left out since they are far from accurate enough."""
        return bool(self._off.smallest)

    def forget_far_off(self) -> None:
        """Take nothing for far off any more: other estimators are the best ones now."""
        self._off.forget()

    def _quantizes_others(self, option: ModelOption) -> bool:
        """Tell whether an option quantizes operations that were not surveyed (of bodies), which may be what loses."""
        return any(choice.quantize and name not in self.frontier.names for name, choice in option.operations.items())

    def _mask(self, option: ModelOption) -> NDArray[np.bool_]:
        return self.frontier.mask([name for name, choice in option.operations.items() if choice.quantize])

    def _ask(self, mask: NDArray[np.bool_]) -> frozenset[str]:
        self._asked.add(mask.tobytes())
        return self._named(mask)

    def _named(self, mask: NDArray[np.bool_]) -> frozenset[str]:
        return frozenset(name for name, chosen in zip(self.frontier.names, mask, strict=True) if chosen)

    def _far_off(self) -> list[NDArray[np.bool_]]:
        return [self.frontier.mask(each) for each in self._off.smallest]

    def _bracket(self, keys: Sequence[bytes]) -> tuple[int, int]:
        """Return the last point that is too inaccurate (-1: none), and the first accurate one behind it."""
        seen = [
            self._accurate.get(key, False if self._off.has(self._named(each)) else None)
            for key, each in zip(keys, self._points, strict=True)
        ]
        best = next((number for number, each in enumerate(seen) if each), len(seen))
        return max((number for number, each in enumerate(seen[:best]) if each is False), default=-1), best

    def _whole_us(self) -> NDArray[np.float64]:
        """Return FP32's time on each member."""
        return np.array([each.whole_us for each in self._savings])

    def _known(self) -> list[Gaussian]:
        """Return what operations save on each member, in microseconds."""
        return [each.known() for each in self._savings]

    def _losses(self) -> Gaussian | None:
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
        return posterior(prior, spread, self._lost, scale * changes, 1.0)


def _means(known: Sequence[Gaussian]) -> NDArray[np.float64]:
    return np.array([mean for mean, _ in known])


def _share(speedup: float) -> float:
    """Return what share of FP32's time is saved."""
    return 1 - 1 / speedup


def _among(operations: Sequence[OperationSurvey], names: Collection[str]) -> tuple[OperationSurvey, ...]:
    return tuple(each for each in operations if each.name in names)


def reaches_size(survey: Survey, params: OptimizerParams) -> bool:
    """Tell whether quantizing can make weights as small as they are to be; a walk is of nothing else."""
    return _saved_bytes(survey) >= _least_bytes(survey, params)


def unreachable_size(survey: Survey, params: OptimizerParams) -> str:
    """Say that even with all operations quantized weights are too large; empty where they are not."""
    if params.size_reduce is None or reaches_size(survey, params):
        return ""
    most = survey.fp32_bytes / max(1, survey.fp32_bytes - _saved_bytes(survey))
    return (
        f"the target of size cannot be met: with everything quantized weights are {most:.2f} times smaller than FP32's,"
        f" {params.size_reduce:g} times are wanted"
    )


def _saved_bytes(survey: Survey) -> int:
    return sum(each.saved_bytes for each in survey.operations)


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
