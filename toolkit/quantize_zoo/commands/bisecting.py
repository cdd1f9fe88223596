"""``bisect``: which OpenVINO release, or which commit, did a regression come with?"""

from __future__ import annotations

import shlex
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from quantize_zoo.commands.lines import say, tell
from quantize_zoo.commands.options import JsonOption, ReportsOption, StoreOption
from quantize_zoo.commands.places import existing_store, looked_at, matrix_at, writable
from quantize_zoo.terms import DEFAULT_REPORTS, Over

if TYPE_CHECKING:
    from quantize_zoo.matrix import Bisection
    from quantize_zoo.report import Origin
    from quantize_zoo.store import RunRecord, Store

_NOT_NARROWED = 3


def bisect(
    cell: Annotated[str, typer.Argument(help="Name of a cell with a baseline, MODEL-DEVICE.")],
    over: Annotated[Over, typer.Option(help="What to look through: OpenVINO's releases, or commits.")] = "openvino",
    first: Annotated[
        str | None, typer.Option("--from", help="The good end, 2025.0 or a revision; default: the baseline's.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="The bad end; default: the installed release, or HEAD.")
    ] = None,
    matrix: Annotated[Path | None, typer.Option(help="The cell's matrix; default: the newest run's.")] = None,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
    as_json: JsonOption = False,
) -> None:
    """Find the release or the commit that a regression came with, by the gate's own verdicts."""
    from quantize_zoo.matrix import (
        CommitNights,
        baseline_of,
        bisect_commits,
        bisect_releases,
        limits_of,
        planned_cell,
    )  # fmt: skip
    from quantize_zoo.progress import ConsoleProgress
    from quantize_zoo.report import Origin, write_bisection
    from quantize_zoo.scoring import find_checker

    opened = existing_store(store, reports)
    loaded = looked_at(matrix_at(matrix or Path(opened.load_run().matrix), [], [], {}))
    newest = opened.load_run() if opened.newest_run() else None
    planned = planned_cell(cell, loaded)
    baseline = baseline_of(cell, planned, opened.baselines())
    find_checker()
    began, started = datetime.now(timezone.utc), time.monotonic()
    bisected_as = f"bisect-{began.strftime('%Y%m%d-%H%M%S-%f')[:-3]}"
    folder, command = reports / bisected_as, shlex.join(["quantize-zoo", *sys.argv[1:]])
    ends = first, last
    if over == "openvino":
        with writable(reports):
            found = bisect_releases(loaded, planned, baseline, ends, reports, folder, tell)
    else:
        with ConsoleProgress(Console(stderr=True)) as progress:
            nights = CommitNights(
                baseline=baseline, reports=reports, folder=folder, observer=progress, command=command,
                seed=newest.seed if newest else 0, changes=limits_of(newest, planned), finished=_write_night,
            )  # fmt: skip
            known = opened.repositories().get(baseline.content.run_id)
            found = bisect_commits(loaded, planned, ends, known, nights, tell)
    origin = Origin(bisected_as, began, time.monotonic() - started, command, baseline.content.run_id)
    write_bisection(found, origin, folder)
    _hand_over(found, origin, folder, as_json=as_json)


def _write_night(run: RunRecord, store: Store, reports: Path) -> None:
    from quantize_zoo.report import report_of, write_reports

    write_reports(report_of(run, store, reports), reports / run.id, newest=False)


def _hand_over(found: Bisection, origin: Origin, folder: Path, *, as_json: bool) -> None:
    """Print the answers, and exit: 3 where one is not narrowed down to neighbours."""
    from quantize_zoo.report import answer_line, render_bisection_json

    if as_json:
        print(render_bisection_json(found, origin), end="")
    else:
        for answer in found.answers:
            say(f"{found.cell}: {answer_line(found, answer)}")
    tell(f"report: {folder / 'index.html'}")
    raise typer.Exit(0 if found.decided else _NOT_NARROWED)
