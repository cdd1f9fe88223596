"""The choices of operations that save the most time for what they change of the model's output.

Which operations are quantized is a small integer program: each that is saves its time and changes the output by its
change; each border between quantized and floating point costs its conversion. Changes are squared, so of errors that
do not depend on each other they add up. Of a fleet savings are the members' together, and none may become slower.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from quantize_zoo.search.survey import MemberSurvey, OperationSurvey, scales_of

_GAP = 1e-3  # at which the solver may end
_NODES = 2000  # that it looks at; no limit of time, which would let the outcome depend on the machine
_NO_TIME_US = 1e-9  # FP32's, where there are no operations: shares of it stay finite
_TIE = 1e-6  # of the model's time: of two choices that take as long the one that changes less


class Frontier:
    """Solves for the best choice of operations.

    Args:
        operations: as surveyed; of a fleet those of all members, see ``of_all``.
        least_bytes: that weights are to become smaller by; more than all of them can save is asked of nobody.
        members: of a fleet, with the same operations.
        allow_slower: a member may become slower than its FP32.

    """

    def __init__(
        self,
        operations: Sequence[OperationSurvey],
        least_bytes: float = 0.0,
        members: Sequence[MemberSurvey] = (),
        *,
        allow_slower: bool = False,
    ) -> None:
        self.names = tuple(each.name for each in operations)
        position = {name: number for number, name in enumerate(self.names)}
        known = [each.change for each in operations if each.change is not None]
        unknown = float(np.median(known)) if known else 1.0
        self.changes = np.array([unknown if each.change is None else each.change for each in operations])
        own: list[Sequence[OperationSurvey]] = [each.operations for each in members] or [operations]
        # Of each member (members, operations); a cell is its only one.
        self.saved = np.array([[each.fp32_us - each.int8_us for each in row] for row in own])
        self._entering = np.array([[max(0.0, each.entering_us) for each in row] for row in own])
        self._leaving = np.array([[max(0.0, each.leaving_us) for each in row] for row in own])
        self.shares = np.array([each.share for each in members] or [1.0])
        self.whole_us = np.array([sum(each.fp32_us for each in row) or _NO_TIME_US for row in own], dtype=float)
        self.scales = scales_of(self.shares, self.whole_us)
        self._none_slower = bool(members) and not allow_slower
        self._bytes = np.array([each.saved_bytes for each in operations], dtype=float)
        self._least_bytes = least_bytes if least_bytes <= self._bytes.sum() else 0.0
        self._edges = [
            (number, position[before])
            for number, each in enumerate(operations)
            for before in each.before
            if before in position
        ]

    def mask(self, quantized: Collection[str]) -> NDArray[np.bool_]:
        """Return which operations are quantized (operations,)."""
        return np.array([name in quantized for name in self.names], dtype=np.bool_)

    def savings(self, quantized: NDArray[np.bool_], saved: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the microseconds that quantizing these saves on each member (members,).

        ``saved`` (members, operations) takes the place of the surveyed ones.
        """
        entering, leaving = np.zeros(len(self.names), np.bool_), np.zeros(len(self.names), np.bool_)
        for one, before in self._edges:
            entering[one] |= quantized[one] and not quantized[before]
            leaving[one] |= quantized[before] and not quantized[one]
        gained = (self.saved if saved is None else saved)[:, quantized].sum(axis=1)
        borders = self._entering[:, entering].sum(axis=1) + self._leaving[:, leaving].sum(axis=1)
        return np.asarray(gained - borders)

    def speedup(self, quantized: NDArray[np.bool_]) -> float:
        """Return FP32 time / INT8 time where these are quantized; of a fleet the weighted geometric mean."""
        return mean_speedup(self.savings(quantized) / self.whole_us, self.shares)

    def change(self, quantized: NDArray[np.bool_]) -> float:
        """Return what quantizing these changes of the output, by what each changes alone."""
        return float(self.changes[quantized].sum())

    def fastest(
        self,
        most_change: float,
        saved: NDArray[np.float64] | None = None,
        changes: NDArray[np.float64] | None = None,
        at_best: NDArray[np.float64] | None = None,
        without: Sequence[NDArray[np.bool_]] = (),
        gap: float = _GAP,
    ) -> NDArray[np.bool_]:
        """Return what to quantize to save the most time while the output changes by so much at most.

        Nothing, where what changes no more does not save the bytes that are to be saved.

        Args:
            most_change: of the output, as ``changes`` add up.
            saved: microseconds (members, operations), in place of the surveyed ones.
            changes: not negative, likewise.
            at_best: savings by which a member is not slower, if others than ``saved``.
            without: sets of operations, of none of which all are quantized.
            gap: what may be lacking to the optimum, as a share of it.

        """
        saved = self.saved if saved is None else saved
        changes = self.changes if changes is None else changes
        count = len(self.names)
        if not count:
            return np.zeros(0, dtype=np.bool_)
        whole = float(self.scales @ self.whole_us)
        tie = _TIE * max(whole, 1e-9) * changes / max(float(changes.sum()), 1e-30)
        costs = np.concatenate([tie - self.scales @ saved, self.scales @ self._entering, self.scales @ self._leaving])
        constraints = []
        if self._edges:
            constraints.append(self._borders)
        if np.isfinite(most_change) and most_change > 0:
            change = np.minimum(changes / most_change, 2.0)  # near 1, whatever the unit of changes
            constraints.append(self._constraint([change], upper=1.0))
        if self._least_bytes > 0:
            constraints.append(self._constraint([self._bytes / self._least_bytes], lower=1.0))
        if self._none_slower:
            gains = np.hstack([saved if at_best is None else at_best, -self._entering, -self._leaving])
            constraints.append(self._constraint(gains / self.whole_us[:, None], lower=0.0))  # as shares, near 1
        if without:
            constraints.append(self._constraint(without, upper=np.sum(without, axis=1) - 1.0))
        highest = np.concatenate([(changes <= most_change).astype(float), np.ones(2 * count)])
        solved = scipy.optimize.milp(
            costs,
            integrality=np.repeat([1, 0, 0], count),
            bounds=scipy.optimize.Bounds(0.0, highest),
            constraints=constraints,
            options={"mip_rel_gap": gap, "node_limit": _NODES},
        )
        if solved.x is None:  # there is none, or the solver gave up before it had any
            return np.zeros(count, dtype=np.bool_)
        return np.asarray(solved.x[:count] > 0.5)

    @cached_property
    def _borders(self) -> scipy.optimize.LinearConstraint:
        """What is on a border counts as on it: one constraint for entering and one for leaving at each edge."""
        count = len(self.names)
        rows, columns, values = [], [], []
        for number, (one, before) in enumerate(self._edges):
            rows += [2 * number] * 3 + [2 * number + 1] * 3
            columns += [count + one, one, before, 2 * count + one, one, before]
            values += [1.0, -1.0, 1.0, 1.0, 1.0, -1.0]
        matrix = scipy.sparse.csr_array((values, (rows, columns)), shape=(2 * len(self._edges), 3 * count))
        return scipy.optimize.LinearConstraint(matrix, 0.0, np.inf)

    def _constraint(
        self,
        rows: Sequence[NDArray[Any]] | NDArray[np.float64],
        lower: float = -np.inf,
        upper: float | NDArray[np.float64] = np.inf,
    ) -> scipy.optimize.LinearConstraint:
        """Limit sums over the operations, or over these and what is entered and left."""
        matrix = scipy.sparse.csr_array(np.asarray(rows, dtype=float))
        matrix.resize(len(rows), 3 * len(self.names))
        return scipy.optimize.LinearConstraint(matrix, lower, upper)


def speedup(fp32_us: float, saved_us: float) -> float:
    """Return FP32 time / INT8 time of a model that takes so long, less what is saved."""
    return fp32_us / max(fp32_us - saved_us, 0.01 * fp32_us)


def mean_speedup(saved: NDArray[np.float64], shares: NDArray[np.float64]) -> float:
    """Return the weighted geometric mean of FP32 time / INT8 time of members that save such shares of FP32's time."""
    return float(np.exp(shares @ np.log([speedup(1.0, each) for each in saved])))
