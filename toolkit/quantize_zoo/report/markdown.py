"""``summary.md``: the table of cells for a pull request, an issue or a job summary, which take so much and no more."""

from __future__ import annotations

from collections.abc import Sequence

from quantize_zoo.report.gate_lines import gate_headline, gate_lines
from quantize_zoo.report.groups import Group, Line, grouped, line_of
from quantize_zoo.report.overview import answer, missed_targets
from quantize_zoo.report.run_report import STATUS_ORDER, CellReport, RunReport
from quantize_zoo.report.wording import (
    commits_title,
    execution,
    interval,
    latency_figures,
    percent_interval,
    repository,
)
from quantize_zoo.text.shown import shown

LARGEST = 60_000  # bytes; GitHub's issues and comments take 65,536 characters, and the script adds some
_LISTED = 24_000  # bytes of what is told before the table
_TABLE = 24_000
_LONGEST_LINE = 2_000  # characters of one text
_EXAMPLES = 3  # cells of a group whose own figures are told
_ALL = "all are in index.html and results.json"
_HEADER = (
    "| cell | verdict | accuracy FP32 | accuracy INT8 | loss | loss on the holdout | latency FP32 (us) "
    "| latency INT8 (us) | FP32 / INT8 |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
)


def render_markdown(report: RunReport) -> str:
    """Return the summary: all of it if that is small enough, else the worst, and what was cut."""
    run = f"run {_escape(report.run.id)}, {_escape(report.run.status)}"
    title = f"## quantize-zoo: {run}\n\n{_escape(answer(report))}\n\n"
    where = f"Commit {_escape(repository(report.run.repository))}\n" if report.run.repository else ""
    missed = [_group(group) for group in grouped(_missed(report))]
    told = [_group(group) for group in grouped(gate_lines(report))]
    headline = gate_headline(report)
    heading = f"**Against the baselines: {headline}**\n\n" if headline else ""
    listed = _within(missed, _LISTED // 3, "groups of cells that miss a required target")
    gate = _within(told, _LISTED - len(listed.encode()), "groups of findings")
    commits = _within(_commits(report), _LISTED // 3, "lines about commits")
    parts = (where, listed, heading + gate, commits)
    text = title + "".join(f"{part}\n" for part in parts if part)
    return text + _table(report, LARGEST - len(text.encode()))


def _table(report: RunReport, room: int) -> str:
    """Return the row of each cell, and why it is what it is."""
    if not report.cells:
        return ""
    rows = [_row(cell) for cell in report.cells]
    if sum(len(row.encode()) for row in rows) > _TABLE:
        order = sorted(report.cells, key=lambda cell: STATUS_ORDER.index(cell.status))
        rows = [_row(cell) for cell in order]
    fleets = f"{report.fleet_figures.capitalize()}.\n\n" if report.fleet_figures else ""
    table = f"{fleets}{_HEADER}{_within(rows, _TABLE, 'cells of the table, which begins with the worst,')}\n"
    told = ((cell.record, "; ".join([cell.verdict.reason, *cell.verdict.warnings])) for cell in report.cells)
    lines = (line_of(record, record.name, "", text) for record, text in told)
    reasons = [f"- **{_escape(group.who)}**: {_escape(group.text)}\n" for group in grouped(lines)]
    return table + _within(reasons, room - len(table.encode()), "reasons")


def _within(lines: Sequence[str], room: int, what: str) -> str:
    """Return as many lines as there is room for, and how many are not there."""
    sizes = [len(line.encode()) for line in lines]
    if sum(sizes) <= room:
        return "".join(lines)
    kept, used = 0, len(_cut(len(lines), len(lines), what).encode())
    while used + sizes[kept] <= room:
        used += sizes[kept]
        kept += 1
    return "".join(lines[:kept]) + _cut(len(lines) - kept, len(lines), what)


def _cut(count: int, total: int, what: str) -> str:
    return f"\n*{count} of {total} {what} are not shown here: {_ALL}.*\n"


def _missed(report: RunReport) -> list[Line]:
    """Return which required targets are missed, cell by cell."""
    return [
        line_of(cell.record, cell.record.name, "misses a required target", f"{target.name}: {target.text}", target.name)
        for cell in report.cells
        for target in cell.verdict.targets
        if target.name in missed_targets(cell)
    ]


def _group(group: Group) -> str:
    """Return what is told of a group: where figures differ, those of the first ones."""
    text = f"- **{_escape(group.who)}** {group.status}: {_escape(group.text)}\n"
    if group.alike:
        return text
    own = (f"  - {_escape(line.cell)}: {_escape(line.text)}\n" for line in group.lines[:_EXAMPLES])
    return text + "".join(own)


def _commits(report: RunReport) -> list[str]:
    """Return the commits that a regression may come from, cell by cell."""
    lines: list[str] = []
    for cell in report.cells:
        if cell.commits is not None:
            lines.append(f"- **{_escape(cell.record.name)}**: {_escape(commits_title(cell.commits))}\n")
            lines += [f"  - {_escape(line)}\n" for line in cell.commits.lines]
    return lines


def _row(cell: CellReport) -> str:
    record, best = cell.record, cell.best
    columns = [_escape(record.name), cell.verdict.target_status]
    if record.reference is None or best is None or best.measurement is None or cell.loss is None:
        columns += ["", "", "", "", "", "", ""]
    else:
        columns += [
            f"{interval(record.reference.accuracy, 4)} {execution(record.reference.execution)}",
            interval(best.measurement.accuracy, 4),
            percent_interval(cell.loss),
            percent_interval(record.final.holdout.accuracy_loss) if record.final and record.final.holdout else "",
            *latency_figures(cell.latency),
        ]
    return f"| {' | '.join(columns)} |\n"


def _escape(text: str) -> str:
    """Neutralize what Markdown or the HTML in it would interpret; what is very long is cut."""
    text = shown(text, _LONGEST_LINE)
    for character in "&\\`*_[]<>|":
        text = text.replace(character, f"&#{ord(character)};" if character in "<>|&" else f"\\{character}")
    return text
