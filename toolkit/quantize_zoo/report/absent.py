"""Cells that are not in a run and yet to be told: not reached, left out, or taken out of the matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from quantize_zoo.gate import GateResult
from quantize_zoo.store import RunRecord, StoredBaseline

AbsentStatus = Literal["missing", "interrupted"]
_GATE = TypeAdapter(GateResult)
_NOT_REACHED = "not reached: the run was interrupted before it"
_NOT_YET = "not reached: the run has not come to it yet"
_REMOVED = "it is no longer in the matrix"
_LEFT_OUT = "the command left it out"
_UNKNOWN = "it has a baseline and is not in this run"


@dataclass(frozen=True)
class AbsentCell:
    """A cell that is not in a run, and why.

    ``regressed_in`` is the night in which it regressed against the baseline that it still has, ``reason`` what was
    found then; both are empty if it did not.
    """

    name: str
    status: AbsentStatus
    text: str
    has_baseline: bool
    regressed_in: str = ""
    reason: str = ""


def absent_cells(
    run: RunRecord, baselines: Sequence[StoredBaseline], gates: Mapping[str, tuple[str, dict[str, Any]]]
) -> Iterator[AbsentCell]:
    """Yield the cells that have a baseline, or were to be run, and are not in the run.

    Args:
        run: the run.
        baselines: those that hold.
        gates: by the name of a cell the last run in which it was held against a baseline, and what was found.

    """
    present = {cell.name for cell in run.cells}
    planned = run.plan.cells if run.plan else ()
    held = {baseline.name: baseline for baseline in baselines}
    for name in dict.fromkeys((*planned, *held)):
        if name in present:
            continue
        if name in planned:
            yield AbsentCell(
                name, "interrupted", _NOT_YET if run.status == "running" else _NOT_REACHED, has_baseline=name in held
            )
            continue
        text = _UNKNOWN if run.plan is None else _REMOVED if run.plan.whole else _LEFT_OUT
        night, reason = _open_regression(held[name], *gates[name]) if name in gates else ("", "")
        yield AbsentCell(name, "missing", text, has_baseline=True, regressed_in=night, reason=reason)


def _open_regression(baseline: StoredBaseline, night: str, found: dict[str, Any]) -> tuple[str, str]:
    """Return the night and its reason, if the cell regressed there against the baseline that it still has."""
    gate = _GATE.validate_python(found)
    if gate.baseline != baseline.id or gate.status != "regressed":
        return "", ""
    worse = [check for check in gate.checks if check.status == "regressed" and not check.waived]
    return night, "; ".join(f"{check.text} ({check.quantity}, {check.subject})" for check in worse)
