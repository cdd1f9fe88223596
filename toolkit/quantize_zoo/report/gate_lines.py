"""What changed since the baselines, in words, the worst first."""

from __future__ import annotations

from collections import Counter

from quantize_zoo.gate import Check
from quantize_zoo.report.groups import Line, line_of
from quantize_zoo.report.offers import absent_text, accept_command, can_be_accepted
from quantize_zoo.report.run_report import STATUS_ORDER, CellReport, RunReport

_MOVED = ("regressed", "changed", "improved", "waived")
_NO_BASELINE = "it has no baseline"
_CUT_SHORT = "the comparison with its baseline was interrupted"
_NOT_REACHED = "it was interrupted before it was held against its baseline"
_NOT_HELD = "it was not held against the baseline that it has"
_ACCEPTED = ("improved", "data-changed")  # what a cell is that one may want to accept as it is now
_REASONS = {
    "runtime": "the models are the baseline's, so it is OpenVINO's runtime",
    "quantization": "the configuration is the baseline's, so it is calibration, conversion or quantization",
    "search": "tonight's search chose another configuration",
    "model": "",
    "data": "",
}


def gate_headline(report: RunReport) -> str:
    """``1 regressed, 2 changed, 9 pass``; empty where nothing has a baseline."""
    if not any(cell.gate_status for cell in report.cells) and not any(cell.has_baseline for cell in report.absent):
        return ""
    found = Counter(str(cell.gate_status) for cell in report.cells if cell.gate_status)
    found.update(str(cell.status) for cell in report.absent)
    counted = {status: found[status] for status in STATUS_ORDER}
    counted["waived"] = waived_cells(report)
    return ", ".join(f"{count} {status}" for status, count in counted.items() if count)


def waived_cells(report: RunReport) -> int:
    """Return how many cells have a regression that is waived, whatever else they are."""
    return sum(any(check.waived for check in cell.verdict.checks) for cell in report.cells)


def gate_lines(report: RunReport) -> list[Line]:
    """Return every check that is not simply passed, cells that failed, and cells that are new or missing."""
    lines = []
    for cell in report.cells:
        name = f"{cell.record.model} on {cell.record.device}"

        def line(status: str, text: str, kind: str = "", cell: CellReport = cell, name: str = name) -> Line:
            return line_of(cell.record, name, status, text, kind)

        lines += [
            line("waived" if check.waived else check.status, _sentence(cell, check), _kind(check))
            for check in (cell.gate.checks if cell.gate else ())
            if check.status not in ("pass", "not compared")
        ]
        lines += [line("note", note) for note in (cell.gate.notes if cell.gate else ()) if "waiver" in note]
        if cell.verdict.target_status == "failed":
            lines.append(line("failed", cell.verdict.reason))
        if cell.gate_status == "unavailable" and cell.has_baseline:
            lines.append(line("unavailable", cell.verdict.reason))
        if cell.gate_status in _ACCEPTED and can_be_accepted(cell):
            lines.append(line("note", f"to hold later nights against this one: {accept_command(report, cell)}"))
        if cell.gate_status == "interrupted":
            not_held = _NOT_REACHED if cell.has_baseline else cell.verdict.reason
            lines.append(line("interrupted", _CUT_SHORT if cell.gate else not_held))
        if cell.gate_status == "new":
            lines.append(line("new", _NOT_HELD if cell.has_baseline else _without_baseline(report, cell)))
        for trend in cell.trends:
            ago = trend.nights - trend.since
            moved = f"was {trend.before:.4g} and has been {trend.after:.4g} ({100 * trend.change:+.1f} %)"
            told = f"{trend.quantity} {moved} for {ago} of the last {trend.nights} nights"
            lines.append(line("trend", told, trend.quantity))
    lines += [Line(cell.name, cell.status, absent_text(report, cell)) for cell in report.absent]
    return sorted(lines, key=lambda line: STATUS_ORDER.index(line.status))


def _without_baseline(report: RunReport, cell: CellReport) -> str:
    return f"{_NO_BASELINE}; accept one with: {accept_command(report, cell)}" if can_be_accepted(cell) else _NO_BASELINE


def _kind(check: Check) -> str:
    """Return what the same check of other cells is called, and what that says of the cause."""
    cause = _REASONS[check.cause] if check.status in _MOVED and not check.why else ""
    return f"{check.quantity}, {check.subject}" + (f"; {cause}" if cause else "")


def _sentence(cell: CellReport, check: Check) -> str:
    """What was found, of what, and what that says of the cause: ``6.1 % slower [4.9, 7.3] (latency, ...)``."""
    parts = [f"{check.text} ({check.quantity}, {check.subject})"]
    if check.why:
        parts.append(check.why)
    elif check.status in _MOVED:
        unchanged = _fp32_unchanged(cell) if check.cause in ("quantization", "search") else ""
        parts += [part for part in (unchanged, _REASONS[check.cause]) if part]
    if check.in_layers:
        parts.append(check.in_layers)
    if check.waived:
        parts.append(f"waived: {check.waived}")
    return "; ".join(parts)


def _fp32_unchanged(cell: CellReport) -> str:
    """Say that FP32 answers as it did, if that was compared and is so."""
    checks = cell.gate.checks if cell.gate else ()
    same = [check for check in checks if check.cause == "runtime" and "FP32" in check.subject]
    return "FP32 unchanged" if same and all(check.status == "pass" for check in same) else ""
