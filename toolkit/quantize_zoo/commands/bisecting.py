"""``bisect``: which OpenVINO release, or which commit, did a regression come with?"""

from __future__ import annotations

import shlex
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from quantize_zoo import errors
from quantize_zoo.cell import Cell
from quantize_zoo.commands.options import DEFAULT_REPORTS, JsonOption, ReportsOption, StoreOption
from quantize_zoo.commands.output import say, tell
from quantize_zoo.commands.places import existing_store, make_folder, matrix_at
from quantize_zoo.config import MatrixConfig, is_on
from quantize_zoo.matrix import Bisection, CommitNights, Over, bisect_commits, bisect_releases, expand
from quantize_zoo.progress import ConsoleProgress
from quantize_zoo.report import Origin, answer_line, render_bisection_json, report_of, write_bisection, write_reports
from quantize_zoo.scoring import find_checker
from quantize_zoo.store import CellRecord, RunRecord, Store, StoredBaseline

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
    opened = existing_store(store, reports)
    loaded = matrix_at(matrix or Path(opened.load_run().matrix), [], [], {})
    newest = opened.load_run() if opened.newest_run() else None
    planned = _planned(cell, loaded)
    baseline = _baseline(cell, planned, opened)
    find_checker()
    began, started = datetime.now(timezone.utc), time.monotonic()
    bisected_as = f"bisect-{began.strftime('%Y%m%d-%H%M%S-%f')[:-3]}"
    folder, command = reports / bisected_as, shlex.join(["quantize-zoo", *sys.argv[1:]])
    ends = first, last
    if over == "openvino":
        make_folder(reports)
        found = bisect_releases(loaded, planned, baseline, ends, reports, folder, tell)
    else:
        with ConsoleProgress(Console(stderr=True)) as progress:
            nights = CommitNights(
                baseline=baseline, reports=reports, folder=folder, observer=progress, command=command,
                seed=newest.seed if newest else 0, changes=_changes(newest, planned), finished=_write_night,
            )  # fmt: skip
            known = opened.repositories().get(baseline.content.run_id)
            found = bisect_commits(loaded, planned, ends, known, nights, tell)
    origin = Origin(bisected_as, began, time.monotonic() - started, command, baseline.content.run_id)
    write_bisection(found, origin, folder)
    _hand_over(found, origin, folder, as_json=as_json)


def _planned(name: str, matrix: MatrixConfig) -> Cell:
    cells = expand(matrix)
    found = next((cell for cell in cells if is_on(name, cell.key.label)), None)
    if found is None:
        raise errors.unknown_cell(name, [cell.key.label for cell in cells], "CELL")
    return found


def _baseline(name: str, planned: Cell, store: Store) -> StoredBaseline:
    baselines = {each.name: each for each in store.baselines()}
    # Of a cluster the baseline's name may have a CPU model.
    fitting = [each for known, each in baselines.items() if known == name or is_on(known, planned.key.label)]
    if not fitting:
        raise errors.no_baseline(name, baselines)
    return baselines.get(name, fitting[0])


def _changes(newest: RunRecord | None, planned: Cell) -> dict[str, Any]:
    """Return what the command line of the newest night changed of the search: a commit's night is to be as long."""
    before: CellRecord | None = None
    if newest is not None:
        before = next((each for each in newest.cells if is_on(each.name, planned.key.label)), None)
    if before is None:
        return {}
    if before.method == "eval":
        return {"max_trials": 1}  # beside the baseline's configuration, which every night tries
    now = planned.model.optimizer.params
    limits = ("max_trials", "max_minutes")
    return {name: getattr(before.params, name) for name in limits if getattr(before.params, name) != getattr(now, name)}


def _write_night(run: RunRecord, store: Store, reports: Path) -> None:
    write_reports(report_of(run, store), reports / run.id, newest=False)


def _hand_over(found: Bisection, origin: Origin, folder: Path, *, as_json: bool) -> None:
    """Print the answers, and exit: 3 where one is not narrowed down to neighbours."""
    if as_json:
        print(render_bisection_json(found, origin), end="")
    else:
        for answer in found.answers:
            say(f"{found.cell}: {answer_line(found, answer)}")
    tell(f"report: {folder / 'index.html'}")
    raise typer.Exit(0 if found.decided else _NOT_NARROWED)
