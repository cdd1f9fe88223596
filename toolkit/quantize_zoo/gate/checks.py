"""The checks of a night: what was compared with the baseline, what came out, and what the night as a whole may err."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from quantize_zoo.config import GateConfig, Waiver, is_on
from quantize_zoo.gate.accuracy import AccuracyVerdict
from quantize_zoo.gate.latency import LatencyVerdict
from quantize_zoo.scoring import Estimate

Cause = Literal["runtime", "quantization", "search", "model", "data"]
Quantity = Literal["samples", "accuracy", "latency", "size", "compile time", "memory"]
CheckStatus = Literal[
    "pass", "improved", "changed", "regressed", "inconclusive", "failed", "not compared", "data-changed"
]
# A cell is what its worst check is.
GateStatus = Literal[
    "regressed", "failed", "interrupted", "data-changed", "inconclusive", "changed", "waived", "improved", "pass",
    "new", "missing", "unavailable",
]  # fmt: skip
# The worst first: what else failed, or was cut short, does not hide a regression.
_SEVERITY: tuple[GateStatus, ...] = (
    "regressed", "failed", "interrupted", "data-changed", "inconclusive", "changed", "waived", "improved", "pass",
)  # fmt: skip
CHECKS_A_CELL = 6  # that can raise an alarm: accuracy of FP32 and INT8 (runtime), accuracy and latency of the others


@dataclass(frozen=True)
class ChangedSample:
    """A sample whose answer is another one; ``thumbnail`` is a file in the run, if it is a picture."""

    identifier: str
    baseline: str
    candidate: str
    thumbnail: str = ""


@dataclass(frozen=True)
class Check:
    """One comparison; ``change`` is the relative loss, or candidate / baseline, with its interval.

    ``why`` is what is known of the reason beyond the cause.
    ``waived`` is the reason of a waiver that holds, ``subject`` tells which models of the two sides.
    """

    cause: Cause
    quantity: Quantity
    subject: str
    status: CheckStatus
    text: str
    change: Estimate | None = None
    margin: float | None = None
    level: float | None = None
    p_value: float | None = None
    changed: tuple[ChangedSample, ...] = ()
    changed_count: int = 0
    waived: str = ""
    why: str = ""


@dataclass(frozen=True)
class GateResult:
    """All checks of a cell against its baseline; ``interrupted`` tells that the comparison was cut short."""

    baseline: int
    accepted_at: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def status(self) -> GateStatus:
        """The worst of the checks, of which a waived one is ``waived``."""
        found: set[str] = {"waived" if check.waived else check.status for check in self.checks}
        if self.interrupted:
            found.add("interrupted")
        return next((status for status in _SEVERITY if status in found), "pass")


def check_level(gate: GateConfig, cells: int, checks: int = CHECKS_A_CELL) -> float:
    """Return the level of one check: the night's, divided by all checks that can raise an alarm (Bonferroni).

    So the chance that a night without any change has an alarm is at most the night's level, whatever the checks have
    to do with each other.
    """
    return gate.false_alarms_a_night / max(1, checks * cells)


def accuracy_check(
    cause: Cause, subject: str, verdict: AccuracyVerdict, metric: str, changed: tuple[ChangedSample, ...], count: int
) -> Check:
    """Put an accuracy verdict into words."""
    status: CheckStatus = "pass" if verdict.status == "identical" else verdict.status
    share = 100 * verdict.loss.value
    moved = f"loses {share:.2f} %" if share > 0 else f"gains {-share:.2f} %" if share < 0 else "is as before"
    if verdict.status == "identical":
        text = f"{metric} is as before: every output is the same"
    else:
        text = f"{metric} {moved}{_interval_of(verdict.loss, gains=share < 0)}, {count} answers changed ({verdict.test}"
        text += "" if verdict.p_value is None else f", p = {verdict.p_value:.2g}"
        text += ")"
    return Check(
        cause, "accuracy", subject, status, text, verdict.loss, verdict.margin, verdict.level, verdict.p_value,
        changed, count,
    )  # fmt: skip


def latency_check(cause: Cause, subject: str, verdict: LatencyVerdict, seconds_a_round: float) -> Check:
    """Put a latency verdict into words."""
    percent = 100 * (verdict.ratio.value - 1)
    low, high = (100 * ((bound or math.nan) - 1) for bound in (verdict.ratio.low, verdict.ratio.high))
    moved = f"{percent:.1f} % slower [{low:.1f}, {high:.1f}]"
    if percent <= 0:
        moved = f"{-percent:.1f} % faster [{-high:.1f}, {-low:.1f}]"
    text = f"{moved}, {verdict.ratio.samples} rounds"
    if verdict.confirmed is not None:
        text += f", {'' if verdict.confirmed else 'not '}confirmed by a second measurement"
    if verdict.status == "inconclusive" and verdict.more_rounds is not None:
        text += f"; about {verdict.more_rounds * seconds_a_round:.0f} s more would decide"
    return Check(cause, "latency", subject, verdict.status, text, verdict.ratio, verdict.margin, verdict.level)


def growth_check(
    cause: Cause, quantity: Quantity, subject: str, baseline: float, candidate: float, unit: str, limit: float | None
) -> Check:
    """Report a size, a time or a memory; gate it where the matrix names a limit (a share)."""
    ratio = candidate / baseline if baseline else math.inf
    text = f"{baseline:.3g} -> {candidate:.3g} {unit} ({100 * (ratio - 1):+.1f} %)"
    status: CheckStatus = "regressed" if limit is not None and ratio > 1 + limit else "pass"
    return Check(cause, quantity, subject, status, text, Estimate(ratio, None, None, "x", 1), limit)


def apply_waivers(result: GateResult, cell: str, waivers: Iterable[Waiver], today: date) -> GateResult:
    """Mark regressions that are waived until a date; tell loudly of waivers that are over."""
    checks, notes = list(result.checks), list(result.notes)
    for waiver in waivers:
        if not is_on(cell, waiver.cell):
            continue
        if waiver.until < today:
            notes.append(f"the waiver of {waiver.check} ended on {waiver.until}: {waiver.reason}")
            continue
        for number, check in enumerate(checks):
            if check.status == "regressed" and waiver.check in (f"{check.cause} {check.quantity}", check.quantity):
                checks[number] = replace(check, waived=f"{waiver.reason} (until {waiver.until})")
    return replace(result, checks=tuple(checks), notes=tuple(notes))


def _interval_of(loss: Estimate, *, gains: bool) -> str:
    if loss.low is None or loss.high is None:
        return ""
    low, high = (-loss.high, -loss.low) if gains else (loss.low, loss.high)
    return f" [{100 * low:.2f}, {100 * high:.2f}]"
