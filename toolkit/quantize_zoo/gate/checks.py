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
from quantize_zoo.gate.layers import LayerDeviations, LayerTimes
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
OF_A_NIGHT = 6  # accuracy of FP32 and INT8 (runtime), accuracy and latency of the other two causes
OF_A_PAIR = 2  # accuracy and latency of two models


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

    ``p_value`` is that of the loss or the gain that was found, ``why`` what is known of the reason beyond the cause.
    ``waived`` is the reason of a waiver that holds, ``subject`` tells which models of the two sides. ``more_samples``
    would decide an accuracy that is inconclusive. Of what got worse ``layer_times`` and ``layer_deviations`` tell in
    which layers.
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
    more_samples: int | None = None
    why: str = ""
    layer_times: LayerTimes | None = None
    layer_deviations: LayerDeviations | None = None

    @property
    def in_layers(self) -> str:
        """Which layers it is in, in words; empty where nothing was looked for."""
        found = self.layer_times or self.layer_deviations
        return "" if found is None else found.text


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


def checks_a_cell(gate: GateConfig, always: int = OF_A_NIGHT, *, runtimes: bool = False) -> int:
    """Return how many checks of a cell can be wrong by chance and raise an alarm.

    With other OpenVINO releases at hand there is the runtime's latency. Times and memory are measured; a size is exact.
    """
    limits = (gate.max_compile_time_increase, gate.max_memory_increase)
    return always + runtimes + sum(limit is not None for limit in limits)


def check_level(gate: GateConfig, cells: int, checks: int | None = None) -> float:
    """Return the level of one check: the night's, divided by all checks that can raise an alarm (Bonferroni).

    So the chance that a night without any change has an alarm is at most the night's level, whatever the checks have
    to do with each other.

    Args:
        gate: what the matrix says.
        cells: how many there are with a baseline.
        checks: of a cell; see ``checks_a_cell``.

    """
    return gate.false_alarms_a_night / max(1, (checks or checks_a_cell(gate)) * cells)


def accuracy_check(
    cause: Cause,
    subject: str,
    verdict: AccuracyVerdict,
    metric: str,
    changed: tuple[ChangedSample, ...],
    count: int,
    samples: str = "",
) -> Check:
    """Put an accuracy verdict into words; ``samples`` tells which ones it is of, if not of all."""
    status: CheckStatus = "pass" if verdict.status == "identical" else verdict.status
    share = 100 * verdict.loss.value
    moved = f"loses {share:.2f} %" if share > 0 else f"gains {-share:.2f} %" if share < 0 else "is as before"
    where = f" on {samples}" if samples else ""
    if verdict.status == "identical":
        text = f"{metric} is as before: every output{where} is the same"
    else:
        moved += f"{_interval_of(verdict.loss, gains=share < 0)}{where}"
        answers = f", {count} answers changed" if count else ""  # a metric of the whole dataset has none of samples
        text = f"{metric} {moved}{answers} ({verdict.test}"
        text += "" if verdict.p_value is None else f", p = {verdict.p_value:.2g}"
        text += ")"
    if verdict.more_samples is not None:
        margin = math.ceil(10000 * verdict.loss.value) / 100
        text += f"; about {verdict.more_samples} more samples would decide, or a margin of {margin:.2f} %"
    return Check(
        cause, "accuracy", subject, status, text, verdict.loss, verdict.margin, verdict.level, verdict.p_value,
        changed, count, more_samples=verdict.more_samples,
    )  # fmt: skip


def latency_check(cause: Cause, subject: str, verdict: LatencyVerdict, seconds_a_round: float) -> Check:
    """Put a latency verdict into words."""
    text = _told(verdict, seconds_a_round, "slower", "faster")
    return Check(cause, "latency", subject, verdict.status, text, verdict.ratio, verdict.margin, verdict.level)


def growth_check(
    cause: Cause, quantity: Quantity, subject: str, baseline: float, candidate: float, unit: str, limit: float | None
) -> Check:
    """Report a size, a time or a memory; gate a size, which is exact, where the matrix names a limit (a share)."""
    ratio = candidate / baseline if baseline else math.inf
    text = f"{_from_to(baseline, candidate, unit)} ({100 * (ratio - 1):+.1f} %)"
    status: CheckStatus = "regressed" if limit is not None and ratio > 1 + limit else "pass"
    return Check(cause, quantity, subject, status, text, Estimate(ratio, None, None, "x", 1), limit)


def measured_growth_check(
    cause: Cause,
    quantity: Quantity,
    subject: str,
    figures: tuple[float, float, str],
    verdict: LatencyVerdict,
    seconds_a_round: float,
) -> Check:
    """Put the verdict on a time or a memory into words; ``figures`` are the baseline's, the candidate's, the unit."""
    text = f"{_from_to(*figures)}: {_told(verdict, seconds_a_round, 'more', 'less')}"
    return Check(cause, quantity, subject, verdict.status, text, verdict.ratio, verdict.margin, verdict.level)


def _from_to(baseline: float, candidate: float, unit: str) -> str:
    return f"{baseline:.3g} -> {candidate:.3g} {unit}"


def _told(verdict: LatencyVerdict, seconds_a_round: float, more: str, less: str) -> str:
    percent = 100 * (verdict.ratio.value - 1)
    low, high = (100 * ((bound or math.nan) - 1) for bound in (verdict.ratio.low, verdict.ratio.high))
    moved = f"{percent:.1f} % {more} [{low:.1f}, {high:.1f}]"
    if percent <= 0:
        moved = f"{-percent:.1f} % {less} [{-high:.1f}, {-low:.1f}]"
    text = f"{moved}, {verdict.ratio.samples} rounds"
    if verdict.confirmed is not None:
        text += f", {'' if verdict.confirmed else 'not '}confirmed by a second measurement"
    if verdict.status == "inconclusive" and verdict.more_rounds is not None:
        text += f"; about {verdict.more_rounds * seconds_a_round:.0f} s more would decide"
    return text


def apply_waivers(result: GateResult, cell: str, waivers: Iterable[Waiver], today: date) -> GateResult:
    """Mark regressions that are waived until a date; tell loudly of waivers that are over."""
    checks, notes = list(result.checks), list(result.notes)
    for waiver in waivers:
        if not is_on(cell, waiver.cell):
            continue
        if over := waiver.over(today):
            notes.append(over)
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
