"""What changed since the baselines, in words, the worst first."""

from __future__ import annotations

from dataclasses import dataclass

from quantize_zoo.report.run_report import RunReport

_ORDER = (
    "failed", "regressed", "inconclusive", "changed", "waived", "trend", "improved", "missing", "new", "unavailable",
    "pass",
)  # fmt: skip


@dataclass(frozen=True)
class GateLine:
    """One line: a cell, what it is, and why."""

    cell: str
    status: str
    text: str


def gate_headline(report: RunReport) -> str:
    """``1 regressed, 2 changed, 9 pass``; empty where nothing has a baseline."""
    found = [cell.gate_status for cell in report.cells if cell.gate_status] + ["missing"] * len(report.missing)
    return ", ".join(f"{found.count(status)} {status}" for status in _ORDER if status in found)


def gate_lines(report: RunReport) -> list[GateLine]:
    """Return every check that is not simply passed, and cells that are new or missing."""
    lines = []
    for cell in report.cells:
        name = cell.record.name
        for check in cell.gate.checks if cell.gate else ():
            if check.status not in ("pass", "not compared"):
                status = "waived" if check.waived else check.status
                waived = f" (waived: {check.waived})" if check.waived else ""
                text = f"{check.cause} {check.quantity}, {check.subject}: {check.text}{waived}"
                lines.append(GateLine(name, status, text))
        lines += [GateLine(name, "note", note) for note in (cell.gate.notes if cell.gate else ()) if "waiver" in note]
        if cell.gate_status == "new":
            lines.append(GateLine(name, "new", "it has no baseline; accept one with: quantize-zoo baseline accept"))
    for cell in report.cells:
        for trend in cell.trends:
            ago = trend.nights - trend.since
            moved = f"was {trend.before:.4g} and has been {trend.after:.4g} ({100 * trend.change:+.1f} %)"
            text = f"{trend.quantity} {moved}"
            lines.append(GateLine(cell.record.name, "trend", f"{text} for {ago} of the last {trend.nights} nights"))
    lines += [GateLine(name, "missing", "it has a baseline and is not in this run") for name in report.missing]
    return sorted(lines, key=lambda line: _ORDER.index(line.status) if line.status in _ORDER else len(_ORDER))
