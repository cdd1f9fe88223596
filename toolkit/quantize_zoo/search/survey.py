"""What is known of a model's operations before the first trial: what quantizing each of them saves, and changes.

An operation's time depends on its neighbours: where quantized and floating point meet, tensors are converted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.scoring import Estimate


@dataclass(frozen=True)
class OperationSurvey:
    """One quantizable operation, with whatever is computed up to the next ones; times in microseconds.

    ``fp32_us`` and ``int8_us`` are of the model that is all of it the one or the other, ``saved_us`` is their
    difference with its interval. ``entering_us`` is what it takes longer quantized behind floating point, and
    ``leaving_us`` in floating point behind what is quantized; ``before`` are the nearest quantizable operations before
    it. ``change`` is what quantizing it alone changes of the model's output, None where that is not known,
    ``saved_bytes`` what it makes the weights smaller by.
    """

    name: str
    before: tuple[str, ...]
    fp32_us: float
    int8_us: float
    saved_us: Estimate
    entering_us: float
    leaving_us: float
    change: float | None
    saved_bytes: int = 0


@dataclass(frozen=True)
class MemberSurvey:
    """What operations are on one member of a fleet, as ``Survey`` has them of a cell; ``share`` is its weight."""

    name: str
    share: float
    operations: tuple[OperationSurvey, ...]
    speedup: Estimate | None


@dataclass(frozen=True)
class Survey:
    """The operations in graph order, and how much faster than FP32 the best choice of them is predicted to be.

    That is ``speedup``, with the interval of compilations other than those that the choice was made by. It is None
    where the device tells no times, they are below its clock's microsecond, or it is not here: then each operation
    counts as one microsecond that quantizing it saves. ``seconds`` is what finding out took, ``base`` the hash of the
    option that was surveyed, ``fp32_bytes`` are those of the FP32 model's weights. Of a fleet ``operations`` are those
    of its ``members`` together, see ``of_all``; with ``allow_slower`` a member may be slower than its FP32.
    """

    operations: tuple[OperationSurvey, ...]
    speedup: Estimate | None
    seconds: float
    base: str = ""
    fp32_bytes: int = 0
    members: tuple[MemberSurvey, ...] = ()
    allow_slower: bool = False

    @property
    def has_times(self) -> bool:
        """Tell whether times are a device's; of a fleet, of one of its members at least."""
        return self.speedup is not None or any(each.speedup is not None for each in self.members)


def of_all(members: Sequence[MemberSurvey]) -> tuple[OperationSurvey, ...]:
    """Return the operations of a fleet, whose times are means over its members, weighted by their shares.

    A member's microseconds count as shares of its FP32 time, in the unit of the geometric mean of these: so savings add
    up, over operations as over members, and FP32 / INT8 time of the sums is the weighted harmonic mean of the members'
    ratios. The geometric mean, which decides, is no less than that, and grows as that does where INT8 begins to pay.
    """
    shares = np.array([each.share for each in members])
    scales = scales_of(shares, np.array([sum(operation.fp32_us for operation in each.operations) for each in members]))
    return tuple(_of_all(each, scales) for each in zip(*(member.operations for member in members), strict=True))


def scales_of(shares: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a microsecond of each member, whose FP32 takes so long, counts for (members,); 1 if it is alone."""
    return np.asarray(shares * np.exp(shares @ np.log(whole)) / whole)


def _of_all(operations: Sequence[OperationSurvey], scales: NDArray[np.float64]) -> OperationSurvey:
    """Return one operation of all members; what a border costs is nowhere less than nothing."""
    saved = [each.saved_us for each in operations]
    value = float(scales @ [each.value for each in saved])
    halves = [(each.high - each.low) / 2 for each in saved if each.low is not None and each.high is not None]
    half = float(np.hypot.reduce(scales * halves)) if len(halves) == len(saved) else None
    return replace(
        operations[0],
        fp32_us=float(scales @ [each.fp32_us for each in operations]),
        int8_us=float(scales @ [each.int8_us for each in operations]),
        saved_us=Estimate(
            value,
            None if half is None else value - half,
            None if half is None else value + half,
            "us",
            min(each.samples for each in saved),
        ),
        entering_us=float(scales @ [max(0.0, each.entering_us) for each in operations]),
        leaving_us=float(scales @ [max(0.0, each.leaving_us) for each in operations]),
    )
