"""Where in a sequence did a check go bad? Bisection by the gate's verdicts, some of which do not decide.

Nothing here knows what the sequence is of: positions and verdicts only. The sequence is taken to be good up to some
place and bad from there on; where it turns more than once, one of its turns from good to bad is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from quantize_zoo.gate.checks import Cause, Check, Quantity

Found = Literal["good", "bad", "undecided"]
MOST_LOOKS = 4
_MEASURED: tuple[Quantity, ...] = ("latency", "compile time", "memory")  # another look at them may find something else
# Shares of the margin: what lies between them is near it, and is looked at again.
_CLEARLY_GOOD, _CLEARLY_BAD = 0.5, 1.5


class CheckName(NamedTuple):
    """What tells a check from the others of one comparison."""

    cause: Cause
    quantity: Quantity
    subject: str

    @classmethod
    def of(cls, check: Check) -> CheckName:
        """Return a check's name."""
        return cls(check.cause, check.quantity, check.subject)


@dataclass(frozen=True)
class Narrowed:
    """The last position that was seen good and the first that was seen bad; those between could not be decided."""

    good: int
    bad: int

    @property
    def decided(self) -> bool:
        """Whether the two are neighbours."""
        return self.bad == self.good + 1


def bisect(count: int, judge: Callable[[int], Found]) -> Narrowed:
    """Narrow down where a sequence turns; its first position is known to be good, its last to be bad.

    No position is judged twice, and of ``count`` the logarithm to the base of 2, rounded up, where all are decided.
    Of positions that are not, their neighbours are tried, those nearest to the middle first.

    Args:
        count: how many positions there are, at least two.
        judge: tells what a position between the two is.

    """
    good, bad, undecided = 0, count - 1, set[int]()
    while open_positions := [each for each in range(good + 1, bad) if each not in undecided]:
        middle = good + bad
        position = min(open_positions, key=lambda each: abs(2 * each - middle))
        match judge(position):
            case "good":
                good = position
            case "bad":
                bad = position
            case "undecided":
                undecided.add(position)
    return Narrowed(good, bad)


def settle(look: Callable[[int], Check | None]) -> tuple[Found, tuple[Check, ...]]:
    """Look at a check until it is clear on which side of the margin it is; return also what was seen.

    One look suffices where the whole interval is far from the margin; near it two in a row have to say the same. What
    is not measured, such as an accuracy, is the same however often it is looked at.

    Args:
        look: looks for the time of that number, from 0 on, in processes of its own; None where there was nothing to
            compare, which is no regression.

    """
    seen: list[Check] = []
    for number in range(MOST_LOOKS):
        check = look(number)
        if check is None:
            return "good", tuple(seen)
        before = side_of(seen[-1]) if seen else "undecided"
        seen.append(check)
        found = side_of(check)
        again = found != "undecided" and found == before
        if again or _is_clear(check, found) or check.quantity not in _MEASURED:
            return found, tuple(seen)
    return "undecided", tuple(seen)


def side_of(check: Check) -> Found:
    """Return what a check is: bad where it has regressed, waived or not."""
    if check.status == "regressed":
        return "bad"
    return "undecided" if check.status in ("inconclusive", "failed", "not compared") else "good"


def _is_clear(check: Check, found: Found) -> bool:
    """Tell whether the whole interval is away from the margin; without an interval there is nothing to be near to."""
    if found == "undecided":
        return False
    if check.change is None or check.margin is None or check.change.low is None or check.change.high is None:
        return True
    if found == "bad":
        return check.change.low >= 1 + _CLEARLY_BAD * check.margin
    return check.change.high <= 1 + _CLEARLY_GOOD * check.margin
