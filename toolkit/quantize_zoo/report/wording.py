"""Figures as text: the interval stands wherever the figure does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whoever lists trials needs no more than words
    from quantize_zoo.matrix.repository import CommitRange
    from quantize_zoo.scoring import Environment, Estimate, Execution, PairedLatency
    from quantize_zoo.store import Elsewhere, FleetMember, Repository

NOT_MEASURED = "not measured"
NOT_A_NUMBER = "not a number"
BELOW_CLOCK = "< 1 µs"


def is_number(value: float | None) -> bool:
    """Tell whether there is a figure that can be sorted by and drawn."""
    return value is not None and math.isfinite(value)


def number(value: float, digits: int) -> str:
    """Return ``1.50``; what is not a number says so."""
    return f"{value:.{digits}f}" if math.isfinite(value) else NOT_A_NUMBER


def interval(estimate: Estimate, digits: int) -> str:
    """``1.383 [1.371, 1.397]``; without an interval the value alone."""
    value, low, high = number(estimate.value, digits), estimate.low, estimate.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return value
    return f"{value} [{low:.{digits}f}, {high:.{digits}f}]"


def latency_figures(latency: PairedLatency | None) -> tuple[str, str, str]:
    """FP32 and INT8 time in microseconds, and FP32 / INT8; each ``not measured`` without a device to measure on."""
    if latency is None:
        return NOT_MEASURED, NOT_MEASURED, NOT_MEASURED
    return interval(latency.reference_us, 1), interval(latency.candidate_us, 1), interval(latency.ratio, 3)


def percent(share: float) -> str:
    """``0.0012`` as ``0.12 %``."""
    # Adding 0.0 turns -0.00 into 0.00.
    return f"{round(100 * share, 2) + 0.0:.2f} %" if math.isfinite(share) else NOT_A_NUMBER


def percent_interval(share: Estimate) -> str:
    """``0.12 % [-0.31, 0.55]``."""
    low, high = share.low, share.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return percent(share.value)
    return f"{percent(share.value)} [{100 * low:.2f}, {100 * high:.2f}]"


def optional(value: float | None, digits: int, nothing: str = "") -> str:
    """Return a figure that need not be there."""
    return nothing if value is None else number(value, digits)


def layer_time(microseconds: float | None) -> str:
    """Return the time of a layer; 0 is one that was executed within a tick of the plugin's clock."""
    return BELOW_CLOCK if microseconds == 0 else optional(microseconds, 1)


def execution(value: Execution) -> str:
    """Precision and kernels that a model really ran in."""
    kernels = ", ".join(f"{count}x {name}" for name, count in sorted(value.kernels.items(), key=lambda kv: -kv[1]))
    return f"{value.inference_precision} ({kernels})" if kernels else value.inference_precision


def by_member(found: Sequence[Elsewhere], members: Sequence[FleetMember]) -> list[tuple[str, list[str]]]:
    """Return what a model is on each member of a fleet, figure by figure; nothing on those that are not here."""
    known = {each.environment: each for each in found}

    def row(told: Callable[[Elsewhere], str]) -> list[str]:
        return [told(known[each.name]) if each.name in known else "" for each in members]

    return [
        ("INT8", row(lambda each: "" if each.int8 is None else interval(each.int8, 4))),
        ("loss", row(lambda each: "" if each.accuracy_loss is None else percent_interval(each.accuracy_loss))),
        ("loss on the holdout", row(lambda each: percent_interval(each.holdout.accuracy_loss) if each.holdout else "")),
        ("latency FP32 (µs)", row(lambda each: latency_figures(each.latency)[0])),
        ("latency INT8 (µs)", row(lambda each: latency_figures(each.latency)[1])),
        ("FP32 / INT8", row(lambda each: latency_figures(each.latency)[2])),
    ]


def environment(value: Environment) -> str:
    """The machine in one line."""
    limited = f", limited to {value.isa_limit}" if value.isa_limit else ""
    return f"{value.cpu}, {value.cores} cores, {' '.join(value.instruction_sets)}{limited}"


def repository(value: Repository) -> str:
    """The commit, and that there was more than it: ``1a2b3c4d5e6f, with uncommitted changes``."""
    return f"{value.commit[:12]}{', with uncommitted changes' if value.dirty else ''}"


def commits_title(value: CommitRange) -> str:
    """How many commits there were, and since when."""
    counted = "no commit" if value.count == 0 else "1 commit" if value.count == 1 else f"{value.count} commits"
    listed = f", the newest {len(value.lines)} of them" if value.count > len(value.lines) else ""
    return f"{counted} since run {value.since}, which was good{listed}"
