"""``baseline``: what later runs are held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantize_zoo import errors
from quantize_zoo.commands.lines import say, tell
from quantize_zoo.commands.options import (
    CellsOption,
    JsonOption,
    ReportsOption,
    RunArgument,
    StoreOption,
)
from quantize_zoo.commands.output import show
from quantize_zoo.commands.places import existing_store, new_or_existing_store
from quantize_zoo.commands.tables import Listing
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.terms import DEFAULT_REPORTS

if TYPE_CHECKING:
    from quantize_zoo.config import GateConfig
    from quantize_zoo.store import RunRecord


def accept(
    run_id: RunArgument = None,
    cells: CellsOption = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
    expected_change: Annotated[str, typer.Option(help="The change that is meant, and known to be one.")] = "",
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Make a run's cells the baseline that later runs are held against."""
    from quantize_zoo.config import cell_label
    from quantize_zoo.gate import check_level
    from quantize_zoo.matrix import accept as accept_cells
    from quantize_zoo.matrix import counted_as, taken_unverified, unresolved
    from quantize_zoo.report import report_of
    from quantize_zoo.report.acceptance import accepted_misses, left_out

    opened = existing_store(store, reports)
    run = opened.load_run(run_id)
    report_of(run, opened, reports)  # a store that does not tell all of it is refused before anything is written
    accepted = accept_cells(run, cells or [], reports, opened, reason=reason, expected_change=expected_change)
    names = [cell_label(each.model, each.device) for each in accepted]
    say(f"accepted: {', '.join(names)}")
    rendered = report_of(run, opened, reports)
    for line in (*accepted_misses(rendered, names), *(() if cells else left_out(rendered))):
        tell(line)
    gate, checks = _gate_of(run)
    for line in taken_unverified(accepted, run):
        tell(line)
    held = sum(counted_as(each.content) for each in opened.baselines())
    for line in unresolved(accepted, reports, gate, check_level(gate, held, checks)):
        tell(line)


def _gate_of(run: RunRecord) -> tuple[GateConfig, int]:
    """Return what the gate of a run's matrix allows, and its checks of a cell; the default's if it cannot be read."""
    from quantize_zoo.config import GateConfig, load_matrix
    from quantize_zoo.gate import checks_a_cell

    try:
        matrix = load_matrix(Path(run.matrix))
    except QuantizeZooError:
        return GateConfig(), checks_a_cell(GateConfig())
    return matrix.gate, checks_a_cell(matrix.gate, runtimes=bool(matrix.runtimes))


def show_baselines(
    history: Annotated[bool, typer.Option(help="All that there ever were.")] = False,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
    as_json: JsonOption = False,
) -> None:
    """List the baselines: what, when, by whom and why."""
    from quantize_zoo.matrix import baseline_rows

    rows = baseline_rows(existing_store(store, reports), history=history)
    if as_json:
        print(json.dumps(rows))
        return
    headings = ["cell", "id", "accepted", "by", "run", "OpenVINO", "reason", "dropped"]
    listed = []
    for row in rows:
        why = "; ".join(part for part in (row["reason"], row["expected_change"]) if part)
        texts = [row["cell"], str(row["id"]), row["accepted_at"][:16], row["accepted_by"], row["run"], row["openvino"]]
        listed.append([*texts, why, (row["dropped_at"] or "")[:16]])
    show(Listing(headings, listed, prose=frozenset({"reason", "OpenVINO"})))


def drop(
    cells: Annotated[list[str], typer.Argument(metavar="CELL...", help="Cells whose baseline is to go.")],
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Drop the baseline of cells; it stays in the history."""
    opened = existing_store(store, reports)
    known = {baseline.name: baseline.id for baseline in opened.baselines()}
    for name in cells:
        if name not in known:
            raise errors.unknown_cell(name, known, "CELL")
    for name in dict.fromkeys(cells):
        opened.drop_baseline(known[name])
    say(f"dropped: {', '.join(dict.fromkeys(cells))}")


def export_to(
    folder: Annotated[Path, typer.Argument(help="Folder for the baselines and their models.")],
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Write the baselines with their models into a folder, to commit or to move them."""
    from quantize_zoo.matrix import export_baselines

    say(f"{export_baselines(existing_store(store, reports), reports, folder)} exported to {folder}")


def import_from(
    folder: Annotated[Path, typer.Argument(help="What baseline export wrote.")],
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Accept the baselines of a folder."""
    from quantize_zoo.matrix import import_baselines, read_exported

    found = read_exported(folder)
    say(f"{import_baselines(new_or_existing_store(store, reports), reports, folder, found)} imported")


app = typer.Typer(no_args_is_help=True, help="What later runs are held against.")
app.command("accept")(accept)
app.command("show")(show_baselines)
app.command("drop")(drop)
app.command("export")(export_to)
app.command("import")(import_from)
