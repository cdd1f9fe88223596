"""Figures as text: the interval stands wherever the figure does."""

from __future__ import annotations

from quantize_zoo.scoring import Environment, Estimate, Execution, PairedLatency

NOT_MEASURED = "not measured"


def interval(estimate: Estimate, digits: int) -> str:
    """``1.383 [1.371, 1.397]``; without an interval the value alone."""
    value = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def latency_figures(latency: PairedLatency | None) -> tuple[str, str, str]:
    """FP32 and INT8 time in microseconds, and FP32 / INT8; each ``not measured`` without a device to measure on."""
    if latency is None:
        return NOT_MEASURED, NOT_MEASURED, NOT_MEASURED
    return interval(latency.reference_us, 1), interval(latency.candidate_us, 1), interval(latency.ratio, 3)


def percent(share: float) -> str:
    """``0.0012`` as ``0.12 %``."""
    # Adding 0.0 turns -0.00 into 0.00.
    return f"{round(100 * share, 2) + 0.0:.2f} %"


def percent_interval(share: Estimate) -> str:
    """``0.12 % [-0.31, 0.55]``."""
    if share.low is None or share.high is None:
        return percent(share.value)
    return f"{percent(share.value)} [{100 * share.low:.2f}, {100 * share.high:.2f}]"


def optional(value: float | None, digits: int, nothing: str = "") -> str:
    """Return a figure that need not be there."""
    return nothing if value is None else f"{value:.{digits}f}"


def execution(value: Execution) -> str:
    """Precision and kernels that a model really ran in."""
    kernels = ", ".join(f"{count}x {name}" for name, count in sorted(value.kernels.items(), key=lambda kv: -kv[1]))
    return f"{value.inference_precision} ({kernels})" if kernels else value.inference_precision


def environment(value: Environment) -> str:
    """The machine in one line."""
    limited = f", limited to {value.isa_limit}" if value.isa_limit else ""
    return f"{value.cpu}, {value.cores} cores, {' '.join(value.instruction_sets)}{limited}"
