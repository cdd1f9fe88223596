"""Verdicts: a cell's best model against its targets."""

from quantize_zoo.gate.targets import Verdict, VerdictStatus, judge

__all__ = ["Verdict", "VerdictStatus", "judge"]
