"""What somebody has to look at, cause by cause: what issues, chats and scripts are told of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from quantize_zoo.gate import Alarm
from quantize_zoo.report.groups import Group, Line, grouped, line_of
from quantize_zoo.report.run_report import CellReport, RunReport


@dataclass(frozen=True)
class Finding:
    """An alarm, its cause in a word (see ``Verdict``), and all cells that it is raised for; ``reason`` tells why."""

    alarm: Alarm
    cause: str
    cells: tuple[str, ...]
    reason: str


def findings(report: RunReport) -> list[Finding]:
    """Return what a run has to be looked at for: regressions first, then missed targets, then failures."""
    return [_finding(report, alarm, group) for alarm in get_args(Alarm) for group in grouped(_lines(report, alarm))]


def missed_text(cell: CellReport) -> str:
    """Return which targets a cell misses, and by what."""
    missed = (target for target in cell.verdict.targets if target.status == "missed")
    return "; ".join(f"{target.name}: {target.text}" for target in missed)


def _lines(report: RunReport, alarm: Alarm) -> Iterator[Line]:
    for cell in report.cells:
        if alarm in cell.verdict.alarms:
            text = missed_text(cell) if alarm == "missed target" else cell.verdict.reason
            yield line_of(cell.record, cell.record.name, alarm, text, _kind(cell, alarm))
    if alarm != "regression":
        return
    # A regressed cell that is not run any more has still regressed, until it is accepted or dropped.
    for absent in report.absent:
        if absent.regressed_in:
            text = f"{absent.text}; it regressed in run {absent.regressed_in}: {absent.reason}"
            yield Line(absent.name, alarm, text)


def _kind(cell: CellReport, alarm: Alarm) -> str:
    """Return what other cells of the same cause share, whatever their figures."""
    if alarm == "missed target":
        return ", ".join(target.name for target in cell.verdict.targets if target.status == "missed")
    if alarm == "regression":
        worse = (check for check in cell.verdict.checks if check.status == "regressed" and not check.waived)
        return "; ".join(f"{check.quantity}, {check.subject}" for check in worse)
    return ""


def _finding(report: RunReport, alarm: Alarm, group: Group) -> Finding:
    names = tuple(line.cell for line in group.lines)
    causes = {cell.record.name: cell.verdict.cause for cell in report.cells}
    example = "" if group.alike else f", such as {group.lines[0].cell}: {group.lines[0].text}"
    return Finding(alarm, causes.get(names[0], ""), names, f"{group.text}{example}")
