"""Bisecting a cell's regression: steps in a row, of which some are judged until two neighbours differ.

What the steps are, releases or commits, and how one is looked at, is a ``Look``'s business; see ``release_bisection``
and ``commit_bisection``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from quantize_zoo import errors, interrupts
from quantize_zoo.cell import Cell
from quantize_zoo.config import MatrixConfig, is_on
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import Check
from quantize_zoo.gate.bisection import CheckName, Found, bisect, settle, side_of
from quantize_zoo.matrix.expansion import expand
from quantize_zoo.store import StoredBaseline
from quantize_zoo.terms import Over

# Looks at a step, anew each time: returns all its checks, or those that are wanted.
Look = Callable[[int, frozenset[CheckName] | None], tuple[Check, ...]]


@dataclass(frozen=True)
class Step:
    """One step: its short name, and what it is."""

    name: str
    told: str = ""


@dataclass(frozen=True)
class Judged:
    """What one step was found to be in one check, with what was seen; ``problem`` tells why it could not be looked at.

    No ``looks`` without a problem: there was nothing to compare, as in the first release, which the others are held
    against.
    """

    position: int
    found: Found
    looks: tuple[Check, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Answer:
    """Where a check went bad: after the step ``good``, and not later than ``bad``.

    ``judged`` are the steps that were looked at, in that order, both ends first.
    """

    check: CheckName
    good: int
    bad: int
    judged: tuple[Judged, ...]

    @property
    def decided(self) -> bool:
        """Whether the two are neighbours."""
        return self.bad == self.good + 1

    def at(self, position: int) -> Judged | None:
        """Return what a step was found to be, if it was looked at."""
        return next((each for each in self.judged if each.position == position), None)


@dataclass(frozen=True)
class Bisection:
    """What was bisected, and an answer for each check that is good at one end and bad at the other."""

    cell: str
    over: Over
    steps: tuple[Step, ...]
    answers: tuple[Answer, ...]

    @property
    def decided(self) -> bool:
        """Whether each answer is a pair of neighbours."""
        return all(answer.decided for answer in self.answers)


def bisect_steps(cell: str, over: Over, steps: tuple[Step, ...], look: Look, tell: Callable[[str], None]) -> Bisection:
    """Find where each check that is good in the first step and bad in the last goes bad.

    Args:
        cell: the cell's name.
        over: what the steps are.
        steps: in their order, two at least.
        look: looks at one.
        tell: is told what was found, step by step.

    Raises:
        QuantizeZooError: an end cannot be looked at or decided, or both ends are equal.

    """
    judge = _Judge(steps, look, tell)
    first, last = 0, len(steps) - 1
    ends = steps[first].name, steps[last].name
    judge.first_look(first)
    final = judge.first_look(last)
    suspects = [CheckName.of(check) for check in final if side_of(check) != "good"]
    at_last = {name: judge.judged(last, name) for name in suspects}
    bad = [name for name, judged in at_last.items() if judged.found == "bad"]
    if not bad:
        open_questions = [each for each in at_last.values() if each.found == "undecided"]
        if open_questions:
            raise errors.end_undecided(cell, ends[1], "; ".join(map(told, open_questions)))
        raise errors.nothing_to_bisect(cell, *ends, [f"{each.quantity} {each.text}" for each in final])
    at_first = {name: judge.judged(first, name) for name in bad}
    turned = [name for name, judged in at_first.items() if judged.found == "good"]
    if not turned:
        open_questions = [each for each in at_first.values() if each.found == "undecided"]
        if open_questions:
            raise errors.end_undecided(cell, ends[0], "; ".join(map(told, open_questions)))
        raise errors.both_ends_regressed(cell, *ends, map(told, at_first.values()))
    judge.wanted = frozenset(turned)
    return Bisection(cell, over, steps, tuple(_answer(judge, name, len(steps)) for name in turned))


def planned_cell(name: str, matrix: MatrixConfig) -> Cell:
    """Return a matrix's cell by its name, which may have a CPU model behind it.

    Raises:
        ConfigurationError: there is no such cell.

    """
    cells = expand(matrix)
    found = next((cell for cell in cells if is_on(name, cell.key.label)), None)
    if found is None:
        raise errors.unknown_cell(name, [cell.key.label for cell in cells], "CELL")
    return found


def baseline_of(name: str, planned: Cell, baselines: Sequence[StoredBaseline]) -> StoredBaseline:
    """Return a cell's baseline, whichever CPU model that is of if the name has none.

    Raises:
        ConfigurationError: there is none.

    """
    fitting = {each.name: each for each in baselines if is_on(each.name, planned.key.label)}
    if not fitting:
        raise errors.no_baseline(name, [each.name for each in baselines])
    return fitting.get(name) or next(iter(fitting.values()))


def told(judged: Judged) -> str:
    """Return what was seen of a step at last."""
    if judged.looks:
        return f"{judged.looks[-1].quantity} {judged.looks[-1].text}"
    return judged.problem or "nothing to compare"


def _answer(judge: _Judge, name: CheckName, count: int) -> Answer:
    seen = [judge.judged(0, name), judge.judged(count - 1, name)]

    def judged(position: int) -> Found:
        seen.append(judge.judged(position, name))
        return seen[-1].found

    narrowed = bisect(count, judged)
    return Answer(name, narrowed.good, narrowed.bad, tuple(seen))


@dataclass
class _Judge:
    """Judges steps, each check of a step once; a step's first look serves all checks that are wanted."""

    steps: tuple[Step, ...]
    look: Look
    tell: Callable[[str], None]
    wanted: frozenset[CheckName] | None = None
    _looked: dict[int, tuple[Check, ...] | QuantizeZooError] = field(default_factory=dict)
    _judged: dict[tuple[int, CheckName], Judged] = field(default_factory=dict)

    def first_look(self, position: int) -> tuple[Check, ...]:
        """Return the checks of the first look at a step.

        Raises:
            QuantizeZooError: it cannot be looked at; the error names the step.

        """
        if position not in self._looked:
            try:
                self._looked[position] = self._anew(position, self.wanted)
            except QuantizeZooError as error:
                self._looked[position] = errors.step_failed(self.steps[position].name, error)
        found = self._looked[position]
        if isinstance(found, QuantizeZooError):
            raise found
        return found

    def judged(self, position: int, name: CheckName) -> Judged:
        """Return what a step is; one that cannot be looked at is undecided."""
        if (position, name) not in self._judged:
            try:
                found, looks = settle(lambda number: self._check(position, name, number))
                judged = Judged(position, found, looks)
            except QuantizeZooError as error:
                judged = Judged(position, "undecided", (), error.what)
            self._judged[position, name] = judged
            if judged.looks or judged.problem:
                self.tell(f"{self.steps[position].name}: {judged.found}: {told(judged)} ({name.subject})")
        return self._judged[position, name]

    def _check(self, position: int, name: CheckName, number: int) -> Check | None:
        checks = self._anew(position, frozenset({name})) if number else self.first_look(position)
        found = next((check for check in checks if CheckName.of(check) == name), None)
        # A comparison that failed did not come to the check; else there was nothing to compare.
        return found or next((check for check in checks if check.status == "failed"), None)

    def _anew(self, position: int, wanted: frozenset[CheckName] | None) -> tuple[Check, ...]:
        interrupts.check()
        return self.look(position, wanted)
