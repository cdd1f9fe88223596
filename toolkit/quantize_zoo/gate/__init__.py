"""The verdict on a cell: its best model against its targets, and a night against its baselines."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.gate.accuracy import AccuracyVerdict, judge_accuracy
    from quantize_zoo.gate.checks import (
        OF_A_PAIR,
        ChangedSample,
        Check,
        GateResult,
        GateStatus,
        accuracy_check,
        apply_waivers,
        check_level,
        checks_a_cell,
        growth_check,
        latency_check,
    )
    from quantize_zoo.gate.latency import LatencyVerdict, judge_latency
    from quantize_zoo.gate.resolution import WANTED, Resolution, resolve
    from quantize_zoo.gate.trends import MOST_NIGHTS, Trend, find_trend
    from quantize_zoo.gate.verdict import Alarm, TargetCheck, Verdict, VerdictStatus, failed_report, judge
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "MOST_NIGHTS",
    "OF_A_PAIR",
    "WANTED",
    "AccuracyVerdict",
    "Alarm",
    "ChangedSample",
    "Check",
    "GateResult",
    "GateStatus",
    "LatencyVerdict",
    "Resolution",
    "TargetCheck",
    "Trend",
    "Verdict",
    "VerdictStatus",
    "accuracy_check",
    "apply_waivers",
    "check_level",
    "checks_a_cell",
    "failed_report",
    "find_trend",
    "growth_check",
    "judge",
    "judge_accuracy",
    "judge_latency",
    "latency_check",
    "resolve",
]
