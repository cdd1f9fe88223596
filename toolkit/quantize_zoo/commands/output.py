"""What commands print: lines, tables and reports."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.console import Console

from quantize_zoo.commands.lines import tell
from quantize_zoo.commands.tables import Listing, print_listing
from quantize_zoo.text.counts import counted

if TYPE_CHECKING:
    from quantize_zoo.config import Notify
    from quantize_zoo.matrix import PlannedCell
    from quantize_zoo.report import RunReport


def tell_if_wrong(problem: str) -> None:
    """Warn that the webhook is not told; that changes nothing of the run."""
    if problem:
        tell(f"warning: notify: {problem}")


def show(listing: Listing) -> None:
    """Print a table on standard output; as wide as it needs where that is no terminal."""
    print_listing(listing, Console().width if sys.stdout.isatty() else None)


def tell_plan(planned: Sequence[PlannedCell], *, as_json: bool) -> None:
    """Print what each cell of a run would do, and how long all of them are expected to take."""
    from quantize_zoo.matrix import expected_seconds

    if as_json:
        fields = ("method", "trials", "seconds", "why")
        rows = [{"cell": each.cell.key.label, **{name: getattr(each, name) for name in fields}} for each in planned]
        print(json.dumps(rows))
        return
    listed = [
        [each.cell.key.label, each.method, str(each.trials), _minutes(each.seconds), each.why] for each in planned
    ]
    show(Listing(["cell", "method", "trials", "minutes", "why"], listed, prose=frozenset({"why"})))
    if any(each.method != "cold_start" for each in planned):
        tell("models and data are not looked at: a cell whose stored search is of others is refused, or starts over")
    expected, unknown = expected_seconds(planned), sum(each.seconds is None for each in planned)
    if expected is None:
        tell(f"{counted(planned, 'cell')}; no night before tells how long they take")
        return
    taken = f", {unknown} of them taken for what the others are" if unknown else ""
    tell(f"{counted(planned, 'cell')}, {_minutes(expected)} minutes one after another{taken}")


def _minutes(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds / 60:.1f}"


def hand_over(report: RunReport, folder: Path, *, as_json: bool, notify: Notify | None = None) -> NoReturn:
    """Write a run's reports, print its figures, tell the webhook if there is one, and exit with the run's status."""
    from quantize_zoo.report import workflow_commands, write_reports
    from quantize_zoo.report.json_document import json_value

    report = write_reports(report, folder, newest=report.newest)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in workflow_commands(report):
            print(line, file=sys.stderr)
    if as_json:
        print(json.dumps(json_value(report), allow_nan=False))
    else:
        show(_listing(report))
        if report.fleet_figures:
            tell(report.fleet_figures)
    tell(f"report: {folder / 'index.html'}")
    if notify is not None:
        from quantize_zoo.report.webhook import tell_webhook

        tell_if_wrong(tell_webhook(notify, report, folder / "index.html"))
    raise typer.Exit(report.exit_status)


def _listing(report: RunReport) -> Listing:
    from quantize_zoo.report.wording import interval, latency_figures, percent_interval

    gate = ["baseline"] if any(cell.gate_status for cell in report.cells) else []
    rows: list[list[str]] = []
    for cell in report.cells:
        record, best = cell.record, cell.best
        if record.reference and best and best.measurement and best.score:
            figures = [
                interval(record.reference.accuracy, 4),
                interval(best.measurement.accuracy, 4),
                percent_interval(cell.loss) if cell.loss else "",
                latency_figures(cell.latency)[2],
            ]
        else:
            figures = ["", "", "", ""]
        rows.append([record.name, cell.verdict.target_status, *([cell.gate_status or ""] if gate else []), *figures])
    headings = ["cell", "verdict", *gate, "FP32", "INT8", "loss", "FP32 / INT8"]
    return Listing(headings, rows, f"run {report.run.id}")
