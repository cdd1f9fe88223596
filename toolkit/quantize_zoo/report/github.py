"""What GitHub shows beside a run: annotations of what regressed, failed or missed a required target."""

from __future__ import annotations

from quantize_zoo.report.findings import missed_text
from quantize_zoo.report.gate_lines import gate_lines
from quantize_zoo.report.groups import Group, grouped, line_of
from quantize_zoo.report.overview import missed_targets
from quantize_zoo.report.run_report import RunReport
from quantize_zoo.text.shown import visible

_LINES = 10  # of an annotation


def workflow_commands(report: RunReport) -> list[str]:
    """Return GitHub's workflow commands, one a line."""
    lines = [line for line in gate_lines(report) if line.status in ("regressed", "failed")]
    for cell in report.cells:
        missed = missed_targets(cell)
        if missed:
            told = missed_text(cell), ", ".join(missed)
            lines.append(line_of(cell.record, cell.record.name, cell.verdict.target_status, *told))
    return [_annotation(group) for group in grouped(lines)]


def _annotation(group: Group) -> str:
    """Return the annotation of a group; GitHub shows ten of a step, so that many cells of one cause are one."""
    texts = [group.text, *([] if group.alike else (f"{line.cell}: {line.text}" for line in group.lines))]
    title = _escape(f"{group.who}: {group.status}", value=True)
    return f"::error title={title}::{_escape(chr(10).join(texts[:_LINES]))}"


def _escape(text: str, *, value: bool = False) -> str:
    """Escape as GitHub's runner reads it: a property's value has two characters more."""
    text = visible(text)
    for character in "%\r\n" + (":," if value else ""):
        text = text.replace(character, f"%{ord(character):02X}")
    return text
