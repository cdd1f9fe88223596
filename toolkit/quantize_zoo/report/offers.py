"""The commands that a page offers, whole: what is found can be accepted or waived without editing a file."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import timedelta

from quantize_zoo.config import WAIVED_CHECKS, without_cpu
from quantize_zoo.gate import Check
from quantize_zoo.report.absent import AbsentCell
from quantize_zoo.report.run_report import CellReport, RunReport

_WHY = '--reason "..."'
_WAIVED_FOR = timedelta(days=14)  # what is written is a proposal
_ACCEPTABLE = ("regressed", "data-changed", "inconclusive", "changed", "improved")


@dataclass(frozen=True)
class Offer:
    """A command, and what it does in a few words."""

    text: str
    command: str


def offers(report: RunReport, cell: CellReport, check: Check) -> list[Offer]:
    """Return what can be done about a finding: nothing about what passes, failed or was not compared."""
    found = []
    if check.status in _ACCEPTABLE and can_be_accepted(cell):
        found.append(Offer("hold later nights against this one", accept_command(report, cell)))
    if check.status == "regressed" and not check.waived and report.place.waivable and _name(check) in WAIVED_CHECKS:
        until = (report.run.started_at + _WAIVED_FOR).date()
        words = shlex.join(["quantize-zoo", "waive", without_cpu(cell.record.name), _name(check)])
        command = f"{words} --until {until} {_WHY}{report.place.planned}"
        found.append(Offer(f"no alarm until {until}, and shown as waived", command))
    return found


def can_be_accepted(cell: CellReport) -> bool:
    """Tell whether there is a finished model to accept."""
    return cell.record.final is not None and cell.record.reference is not None


def accept_command(report: RunReport, cell: CellReport) -> str:
    """Return the command that makes a cell of this run the baseline."""
    name = shlex.quote(cell.record.name)
    return f"quantize-zoo baseline accept {report.run.id} --cells {name} {_WHY}{report.place.stored}"


def export_command(report: RunReport, cell: CellReport) -> str:
    """Return the command that writes the best model of a cell, or any trial's."""
    name = shlex.quote(cell.record.name)
    return f"quantize-zoo export {name} --run {report.run.id} --output-dir exported{report.place.stored}"


def compare_command(report: RunReport) -> str:
    """Return the command that compares a run with the newest one."""
    return f"quantize-zoo compare {report.run.id} latest{report.place.stored}"


def bisect_command(report: RunReport, cell: CellReport) -> str:
    """Return the command that finds the release with which a cell regressed."""
    return f"quantize-zoo bisect {shlex.quote(cell.record.name)}{report.place.stored}{report.place.planned}"


def absent_text(report: RunReport, cell: AbsentCell) -> str:
    """Return all that is told of a cell that is not in the run, with what ends it."""
    if not cell.regressed_in:
        return cell.text
    drop = f"quantize-zoo baseline drop {shlex.quote(cell.name)}{report.place.stored}"
    then = f"in run {cell.regressed_in} it regressed: {cell.reason}"
    return f"{cell.text}; {then}; told until a run has it again, another one is accepted, or: {drop}"


def _name(check: Check) -> str:
    return f"{check.cause} {check.quantity}"
