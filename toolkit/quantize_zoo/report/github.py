"""What GitHub shows beside a run: an annotation for each cell that regressed, failed or missed a required target."""

from __future__ import annotations

from quantize_zoo.report.gate_lines import gate_lines
from quantize_zoo.report.overview import missed_targets
from quantize_zoo.report.run_report import RunReport


def workflow_commands(report: RunReport) -> list[str]:
    """Return GitHub's workflow commands, one a line."""
    lines = [
        f"::error title={_escape(f'{line.cell}: {line.status}', value=True)}::{_escape(line.text)}"
        for line in gate_lines(report)
        if line.status in ("regressed", "failed")
    ]
    for cell in report.cells:
        verdict = cell.verdict
        # What failed or regressed against the baseline is told above, check by check.
        if verdict.target_status == "failed":
            title = _escape(f"{cell.record.name}: failed", value=True)
            lines.append(f"::error title={title}::{_escape(verdict.reason)}")
        missed = missed_targets(cell)
        texts = [f"{target.name}: {target.text}" for target in verdict.targets if target.name in missed]
        if missed:
            title = _escape(f"{cell.record.name}: {verdict.target_status}", value=True)
            lines.append(f"::error title={title}::{_escape('; '.join(texts))}")
    return lines


def _escape(text: str, *, value: bool = False) -> str:
    """Escape as GitHub's runner reads it: a property's value has two characters more."""
    for character in "%\r\n" + (":," if value else ""):
        text = text.replace(character, f"%{ord(character):02X}")
    return text
