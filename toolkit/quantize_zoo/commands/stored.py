"""What is done with stored runs: ``report``, ``trials``, ``export``, ``compare``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantize_zoo import errors, interrupts
from quantize_zoo.commands.lines import say, tell
from quantize_zoo.commands.options import (
    CellsOption,
    JsonOption,
    ReportsOption,
    RunArgument,
    StoreOption,
)
from quantize_zoo.commands.output import hand_over, show
from quantize_zoo.commands.places import cell_of, chosen_cells, existing_store, looked_at, matrix_at, writable
from quantize_zoo.commands.tables import Listing
from quantize_zoo.terms import DEFAULT_REPORTS, LARGEST, LATEST
from quantize_zoo.text.paths import is_file, is_program
from quantize_zoo.text.plain import json_text

if TYPE_CHECKING:
    from quantize_zoo.config import GateConfig
    from quantize_zoo.matrix import Compared, Pair
    from quantize_zoo.store.listing import ListedCell, ListedTrial
    from quantize_zoo.store.records import RunRecord


def report(
    run_id: RunArgument = None,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
    as_json: JsonOption = False,
) -> None:
    """Render a stored run again."""
    from quantize_zoo.report import report_of

    opened = existing_store(store, reports)
    rendered = report_of(opened.load_run(run_id), opened, reports)
    hand_over(rendered, reports / rendered.run.id, as_json=as_json)


def trials(
    run_id: RunArgument = None,
    cells: CellsOption = None,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
    as_json: JsonOption = False,
) -> None:
    """List the stored trials of a run's cells."""
    opened = existing_store(store, reports)
    if as_json:
        _print_trials(opened.load_run(run_id), cells or [])
        return
    listed = {cell.name: cell for cell in opened.listed_trials(run_id)}
    chosen = chosen_cells(listed, cells or [])
    headings = ["cell", "trial", "accuracy", "loss", "FP32 / INT8", "quantized", "objective", "note"]
    rows = [_row(cell, trial) for cell in chosen for trial in cell.trials]
    show(Listing(headings, rows, prose=frozenset({"note"})))


def _row(cell: ListedCell, trial: ListedTrial) -> list[str]:
    from quantize_zoo.report.wording import NOT_MEASURED, interval, optional, percent

    figures, note = ["", "", "", "", ""], trial.failure or _ended(trial)
    if trial.measurement and trial.score:
        latency = trial.measurement.latency
        figures = [
            interval(trial.measurement.accuracy, 4),
            percent(trial.score.accuracy_loss),
            NOT_MEASURED if latency is None else interval(latency.ratio, 3),
            percent(trial.score.quantization_ratio),
            optional(trial.loss, 2),
        ]
        slower = [f"slower than FP32 on {', '.join(trial.score.slower)}"] if trial.score.slower else []
        note = ", ".join([*slower, *(["best"] if trial.number == cell.best else [])])
    return [cell.name, str(trial.number), *figures, note]


def _ended(trial: ListedTrial) -> str:
    return f"ended early on {trial.members[-1].name}" if trial.members else "ended early"


def _print_trials(run: RunRecord, names: list[str]) -> None:
    """Print the trials of cells as ``results.json`` has them."""
    from quantize_zoo.report import make_run_report
    from quantize_zoo.report.json_document import json_value

    chosen = chosen_cells({cell.name: cell for cell in run.cells}, names)
    found = {each["name"]: each["trials"] for each in json_value(make_run_report(run))["cells"]}
    print(json.dumps({cell.name: found[cell.name] for cell in chosen}, allow_nan=False))


def _matrix_of(run: RunRecord) -> Path:
    """Return the file of the matrix that a run was made of."""
    path = Path(run.matrix)
    if not is_file(path):
        raise errors.matrix_gone(path, run.id)
    return path


def export(
    cell: Annotated[str, typer.Argument(help="Name of a cell, MODEL-DEVICE.")],
    run_id: Annotated[str | None, typer.Option("--run", help="Id of a stored run; default: the newest.")] = None,
    trial: Annotated[int | None, typer.Option(min=0, max=LARGEST, help="Number of a trial; default: the best.")] = None,
    output_dir: Annotated[Path, typer.Option(help="Folder for the model.")] = Path("exported"),
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Write the best model of a cell, or any trial's, as IR with the configuration that made it."""
    from quantize_zoo.engines import LocalEngine
    from quantize_zoo.matrix import as_run_here, expand, export_trial

    record = existing_store(store, reports).load_run(run_id)
    chosen = cell_of(record, cell, "CELL")
    if trial is None and chosen.final is None:
        raise errors.nothing_to_export(cell)
    number = chosen.final.trial if trial is None and chosen.final else trial or 0
    matrix = looked_at(matrix_at(_matrix_of(record), [chosen.model], [chosen.device], {}))
    engine = LocalEngine(reports / "statistics", reports / "inputs")
    (planned,) = expand(matrix)
    with writable(output_dir, "--output-dir"):
        written = export_trial(chosen, number, as_run_here(planned, matrix), engine, reports, output_dir)
    say(f"model: {written}")


def compare(
    base: Annotated[str, typer.Argument(metavar="BASE", help="A run, 'latest', or a model file.")],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="The same kind.")],
    model: Annotated[Path | None, typer.Option(help="The YAML whose data two model files are compared on.")] = None,
    devices: Annotated[list[str] | None, typer.Option(help="This device; may be repeated.")] = None,
    baseline_python: Annotated[
        Path | None, typer.Option(help="Interpreter with another OpenVINO release, for BASE.")
    ] = None,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
    as_json: JsonOption = False,
) -> None:
    """Compare two model files, or the best models of two runs, side by side on this machine."""
    from quantize_zoo.engines import LocalEngine
    from quantize_zoo.matrix import (
        as_baselines,
        compare_pairs,
        models_folder,
        pairs_of_files,
        pairs_of_runs,
        with_comparison,
    )  # fmt: skip
    from quantize_zoo.report import make_run_report, write_reports
    from quantize_zoo.report.place import find_place

    if baseline_python is not None and not is_file(baseline_python):
        raise errors.file_missing(baseline_python, "--baseline-python", beside=False)
    if baseline_python is not None and not is_program(baseline_python):
        raise errors.no_program(baseline_python, "--baseline-python")

    def compared(pairs: list[Pair], gate: GateConfig, folder: Path) -> Iterator[Compared]:
        engine = LocalEngine(reports / "statistics", reports / "inputs")
        with writable(folder):
            for each in compare_pairs(pairs, gate, engine, folder.absolute(), models_folder(reports), baseline_python):
                interrupts.check()
                tell(f"{each.cell}: compared")
                yield each

    if model is not None:
        matrix = looked_at(matrix_at(model, [], devices or [], {}))
        pairs = pairs_of_files(matrix, Path(base), Path(candidate))
        found = list(compared(pairs, matrix.gate, reports / "compare"))
    else:
        opened = existing_store(store, reports)
        first, second = (opened.load_run(None if name == LATEST else name) for name in (base, candidate))
        matrix = looked_at(matrix_at(_matrix_of(second), [], devices or [cell.device for cell in second.cells], {}))
        folder = reports / f"compare-{first.id}-{second.id}"
        found = list(compared(pairs_of_runs(first, second, matrix, reports), matrix.gate, folder))
        baselines = as_baselines(first)
        held = with_comparison(second, baselines, found, folder, reports)
        place = find_place(second.matrix, reports, opened.url)
        write_reports(make_run_report(held, baselines, place=place), folder, newest=False)
        tell(f"report: {folder / 'index.html'}")
    _tell_comparison(found, as_json=as_json)


def _tell_comparison(found: list[Compared], *, as_json: bool) -> None:
    """Print the checks; the exit status is the gate's."""
    from quantize_zoo.report.json_document import check_document

    statuses = {check.status for compared in found for check in compared.checks}
    if as_json:
        print(json_text([{"cell": each.cell, "checks": list(map(check_document, each.checks))} for each in found]))
    else:
        rows = [
            [compared.cell, check.quantity, check.subject, check.status, check.text]
            for compared in found
            for check in compared.checks
        ]
        show(Listing(["cell", "check", "model", "verdict", "found"], rows, prose=frozenset({"found"})))
    raise typer.Exit(1 if "regressed" in statuses else 3 if "failed" in statuses else 0)
