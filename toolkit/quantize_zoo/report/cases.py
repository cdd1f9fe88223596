"""The test cases of a cell: the same in ``junit.xml`` and as pytest's tests, read from its verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from quantize_zoo.gate import Check, TargetCheck
from quantize_zoo.report.run_report import CellReport

# A "note" is no failure, and yet has to be told: a target that is not required, a check that is waived or undecided.
Outcome = Literal["passed", "failure", "error", "skipped", "note"]
_OF_TARGET: dict[str, Outcome] = {"met": "passed", "missed": "note", "undecided": "note", "not measured": "skipped"}
_OF_CHECK: dict[str, Outcome] = {
    "regressed": "failure", "failed": "error", "not compared": "skipped", "data-changed": "skipped",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A case; ``about`` tells whether it is of the run itself, of a target, or of the baseline."""

    name: str
    outcome: Outcome
    text: str
    about: Literal["run", "target", "baseline"]


def cell_cases(cell: CellReport) -> list[Case]:
    """Return the cases of a cell: that it ran, each target, and each check against its baseline."""
    verdict = cell.verdict
    cases = [_run(cell)]
    cases += [_target(check, required="missed target" in verdict.alarms) for check in verdict.targets]
    cases += [_check(check) for check in verdict.checks]
    if verdict.gate_status == "interrupted" and (cell.has_baseline or cell.gate):
        cases.append(Case("baseline", "error", "the comparison with the baseline was interrupted", "baseline"))
    return cases


def _run(cell: CellReport) -> Case:
    status, reason = cell.verdict.target_status, cell.verdict.reason
    if status == "unavailable":
        return Case("run", "skipped", reason, "run")
    if status in ("failed", "interrupted"):
        return Case("run", "error", f"{status}: {reason}", "run")
    return Case("run", "passed", "", "run")


def _target(check: TargetCheck, *, required: bool) -> Case:
    outcome = "failure" if required and check.status == "missed" else _OF_TARGET[check.status]
    return Case(check.name, outcome, check.text, "target")


def _check(check: Check) -> Case:
    """Return the case of a comparison; all of them but those that pass in silence have something to tell."""
    outcome, text = _OF_CHECK.get(check.status, "note"), f"{check.status}: {check.text}"
    if check.why:
        text += f"; {check.why}"
    if check.in_layers:
        text += f"; {check.in_layers}"
    if check.waived:
        outcome, text = "note", f"{text}; waived: {check.waived}"
    return Case(f"{check.cause} {check.quantity}: {check.subject}", outcome, text, "baseline")
