"""``summary.md``: the table of cells for a pull request or a job summary."""

from __future__ import annotations

from quantize_zoo.report.gate_lines import gate_headline, gate_lines
from quantize_zoo.report.overview import answer, missed_targets
from quantize_zoo.report.run_report import CellReport, RunReport
from quantize_zoo.report.wording import (
    commits_title,
    execution,
    interval,
    latency_figures,
    percent,
    percent_interval,
    repository,
)

_HEADER = (
    "| cell | verdict | accuracy FP32 | accuracy INT8 | loss | loss on the holdout | latency FP32 (us) "
    "| latency INT8 (us) | FP32 / INT8 |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
)


def render_markdown(report: RunReport) -> str:
    """Return the summary."""
    rows = "".join(_row(cell) for cell in report.cells)
    reasons = "".join(f"- **{_escape(cell.record.name)}**: {_escape(cell.verdict.reason)}\n" for cell in report.cells)
    table = f"{_HEADER}{rows}\n{reasons}" if report.cells else ""
    title = f"## quantize-zoo: run {report.run.id}, {report.run.status}\n\n{_escape(answer(report))}\n\n"
    where = f"Commit {_escape(repository(report.run.repository))}\n\n" if report.run.repository else ""
    return f"{title}{where}{_missed(report)}{_gate(report)}{_commits(report)}{table}"


def _missed(report: RunReport) -> str:
    """Return which required targets are missed, cell by cell."""
    lines = (
        f"- **{_escape(cell.record.name)}** misses a required target: {_escape(target.name)}: {_escape(target.text)}\n"
        for cell in report.cells
        for target in cell.verdict.targets
        if target.name in missed_targets(cell)
    )
    text = "".join(lines)
    return f"{text}\n" if text else ""


def _gate(report: RunReport) -> str:
    """Return what the comparison with the baselines found, worst first; nothing where nothing has one."""
    if not report.absent and all(cell.gate_status is None and not cell.trends for cell in report.cells):
        return ""
    lines = (f"- **{_escape(line.cell)}** {line.status}: {_escape(line.text)}\n" for line in gate_lines(report))
    headline = gate_headline(report)
    title = f"**Against the baselines: {headline}**\n\n" if headline else ""
    return f"{title}{''.join(lines)}\n"


def _commits(report: RunReport) -> str:
    """Return the commits that a regression may come from, cell by cell."""
    lines = []
    for cell in report.cells:
        if cell.commits is not None:
            lines.append(f"- **{_escape(cell.record.name)}**: {_escape(commits_title(cell.commits))}\n")
            lines += [f"  - {_escape(line)}\n" for line in cell.commits.lines]
    return f"{''.join(lines)}\n" if lines else ""


def _row(cell: CellReport) -> str:
    record, best = cell.record, cell.best
    columns = [_escape(record.name), cell.verdict.target_status]
    if record.reference is None or best is None or best.measurement is None or best.score is None:
        columns += ["", "", "", "", "", "", ""]
    else:
        columns += [
            f"{interval(record.reference.accuracy, 4)} {execution(record.reference.execution)}",
            interval(best.measurement.accuracy, 4),
            percent(best.score.accuracy_loss),
            percent_interval(record.final.holdout.accuracy_loss) if record.final and record.final.holdout else "",
            *latency_figures(cell.latency),
        ]
    return f"| {' | '.join(columns)} |\n"


def _escape(text: str) -> str:
    """Neutralize what Markdown or the HTML in it would interpret."""
    for character in "&\\`*_[]<>|":
        text = text.replace(character, f"&#{ord(character)};" if character in "<>|&" else f"\\{character}")
    return text.replace("\n", " ")
