"""What is told when cells of a run are accepted: which of them miss a target, and which are left out, and why."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from quantize_zoo.report.offers import can_be_accepted
from quantize_zoo.report.overview import missed_targets
from quantize_zoo.report.run_report import RunReport


def accepted_misses(report: RunReport, accepted: Collection[str]) -> Iterator[str]:
    """Yield a line for each required target that an accepted cell misses: accepting it does not mend that."""
    for cell in report.cells:
        if cell.record.name not in accepted:
            continue
        missed = missed_targets(cell)
        for target in cell.verdict.targets:
            if target.name in missed:
                yield f"{cell.record.name} is accepted and misses a required target: {target.name}: {target.text}"


def left_out(report: RunReport) -> Iterator[str]:
    """Yield a line for each cell of the run that has nothing to accept."""
    for cell in report.cells:
        if not can_be_accepted(cell):
            verdict = cell.verdict
            yield f"not accepted: {cell.record.name}: {verdict.target_status}: {verdict.reason}"
    for absent in report.absent:
        if absent.status == "interrupted":
            yield f"not accepted: {absent.name}: {absent.text}"
