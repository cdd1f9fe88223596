"""A walk along the frontier of what operations save and change, until the accuracy target is between two of its points.

The fastest choice comes first, then those that change less and less of the output, by bisection. What trials find
corrects what was surveyed, so a wrong prediction costs trials, never the result. What contains a choice that is far
from accurate enough is not proposed; once it is known what is to blame for that, all else is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.config import OptimizerParams
from quantize_zoo.quantization import ModelOption
from quantize_zoo.search.frontier import Frontier
from quantize_zoo.search.hopeless import FarOff
from quantize_zoo.search.linear_model import deviation
from quantize_zoo.search.objective import meets_accuracy
from quantize_zoo.search.prediction import Learned
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
_DRAWN = 12  # choices, of which the most promising is proposed
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
        savings = {each.name: Savings(each.operations) for each in members} or {"": Savings(operations)}
        none_slower = bool(members) and not survey.allow_slower
        self._learned = Learned(self.frontier, savings, params.accuracy_loss / 100, none_slower=none_slower)
        at_best = np.array([each.at_best for each in savings.values()])
        self._points = _along(self.frontier, self.frontier.saved) or _along(self.frontier, at_best)
        self._accurate: dict[bytes, bool] = {}
        self._asked: set[bytes] = set()
        self._closer = self._cleared = 0
        self._measured: set[str] = set()
        self._off: FarOff[str] = FarOff()
        self._seen: set[str] = set()  # structures that were measured, or are far off
        self._alone = 0
        self._faster = False
        self._ask(self._mask(base))

    def next(self) -> frozenset[str] | None:
        """Return what to quantize next to bracket the target; None once it is between two neighbours."""
        keys = [each.tobytes() for each in self._points]
        worst, best = self._bracket(keys)
        left = [number for number in range(worst + 1, best) if keys[number] not in self._asked]
        if left:
            # The base, which has most of what the fastest has, may be far off already.
            begun = self.knows_inaccurate or any(key in self._asked for key in keys)
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
        """Return what is expected to save most beyond the best that is accurate, of some choices that are drawn.

        None where nothing new is drawn, or of no choice much is expected.
        """
        known, far_off = self._learned.now(), self._far_off()
        drawn = (known.draw(rng, far_off) for _ in range(_DRAWN))
        found = {each.tobytes(): each for each in drawn if each.any() and each.tobytes() not in self._asked}
        if not found:
            return None
        best = known.best_speedup(self._known_accurate())
        worth = {key: known.worth(each, best) for key, each in found.items()}
        promising = max(worth, key=lambda key: worth[key])
        return self._ask(found[promising]) if worth[promising] > _LEAST_WORTH else None

    def _blameless(self) -> NDArray[np.bool_] | None:
        """Return what saves most without all that may be to blame for what is far off.

        None where nothing is known to be to blame, where it saves no more than what is known to be accurate, and once a
        few were tried.
        """
        if not self._off.blames or self._cleared == _MOST_CLEARED:
            return None
        known = self._learned.now()
        suspects = np.any(self._far_off(), axis=0)
        without = list(np.eye(len(suspects), dtype=np.bool_)[suspects])
        found = self.frontier.fastest(np.inf, known.saved_us, without=without)
        least = (1 + _RESOLVED) * known.best_speedup(self._known_accurate())
        if found.tobytes() in self._asked or known.speedup(found) < least:
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
            self._learned.tell_loss(mask, known.accuracy_loss, error)
        latency = trial.measurement.latency if trial.measurement else None
        if latency is None:
            return
        self._faster |= latency.ratio.low is not None and latency.ratio.low > 1 and not slower and not too_far
        if trial.structure in self._measured:
            return
        self._measured.add(trial.structure)
        surveyed = [each for each in trial.members if each.name in self._members]
        on_members = {each.name: each.latency for each in surveyed if each.latency is not None}
        self._learned.tell_latencies(mask, on_members if self._members else {"": latency})

    def saved(self) -> NDArray[np.float64]:
        """Return what each operation saves by survey and trials (members, operations), in microseconds."""
        return self._learned.now().saved_us

    def bound(self) -> float:
        """Return what FP32 time / INT8 time of the best choice is below (95 %), by survey and trials.

        What contains a choice that is far from accurate enough is none.
        """
        return self._learned.now().bound(self._far_off())

    def cannot_pay(self) -> bool:
        """Tell whether trials enough were made, none of them measurably faster than FP32, and nothing else is to be.

        Those that are far from accurate enough count, whatever their latency. Where size is a target, what is not
        faster may pay as well.
        """
        if self._params.size_reduce is not None:
            return False
        enough = min(_ENOUGH, 2 ** len(self.frontier.names) - 1)
        return not self._faster and len(self._seen) >= enough and self.bound() < 1 + _RESOLVED

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

    def _known_accurate(self) -> list[NDArray[np.bool_]]:
        return [np.frombuffer(key, np.bool_) for key, is_accurate in self._accurate.items() if is_accurate]

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
