"""The command ``quantize-zoo``: parse, call, print, exit. No logic."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from quantize_zoo import __version__, errors
from quantize_zoo.cell.nncf import require_nncf
from quantize_zoo.config import (
    GateConfig,
    MatrixConfig,
    TrialsLoadMethod,
    default_matrix_path,
    load_matrix,
    load_pot,
    schema_path,
)
from quantize_zoo.engines import (
    ROLES,
    ClusterOptions,
    Engine,
    LatencyMode,
    LocalEngine,
)
from quantize_zoo.errors import ConfigurationError, QuantizeZooError
from quantize_zoo.matrix import (
    Compared,
    Pair,
    accept,
    as_baselines,
    baseline_rows,
    compare_pairs,
    copy_model,
    expand,
    export_baselines,
    export_trial,
    import_baselines,
    pairs_of_files,
    pairs_of_runs,
    pot_matrix,
    quantize_once,
    run_in,
    with_comparison,
)
from quantize_zoo.progress import ConsoleProgress
from quantize_zoo.report import RunReport, make_run_report, report_of, workflow_commands, write_reports
from quantize_zoo.report.json_document import json_value
from quantize_zoo.report.wording import interval, latency_figures, percent
from quantize_zoo.scoring import (
    available_devices,
    available_instruction_sets,
    describe_environment,
    find_checker,
    install_overlay,
    read_definitions,
)
from quantize_zoo.store import CellRecord, RunRecord, Store
from quantize_zoo.zoo import (
    Finding,
    check_checker_file,
    complete_matrix,
    definitions_file,
    is_checker_file,
    write_starter,
    zoo_checker_files,
)

DEFAULT_REPORTS = Path("reports")
BAD_USAGE = 2

baseline_app = typer.Typer(no_args_is_help=True, help="What later runs are held against.")
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

app.add_typer(baseline_app, name="baseline")

MatrixArgument = Annotated[Path | None, typer.Argument(help="A matrix or one model's YAML; default: the embedded zoo.")]
RunArgument = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a stored run; default: the newest.")]
StoreOption = Annotated[
    str | None,
    typer.Option(envvar="QUANTIZE_ZOO_STORE", help="Database URL of the store; default: store.db in the reports."),
]
ReportsOption = Annotated[Path, typer.Option(help="Folder for the reports.")]
InstallOption = Annotated[
    bool, typer.Option("--install-checker", help="Install openvino-dev's accuracy checker if there is none.")
]
DefinitionsOption = Annotated[
    Path | None, typer.Option(help="The accuracy checker's definitions of datasets and launchers, for every model.")
]
_CLUSTER = "Dask"
ExecutorName = Literal["local", "dask"]
SchedulerOption = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler, tcp://HOST:8786.", rich_help_panel=_CLUSTER)
]
SchedulerFileOption = Annotated[
    Path | None, typer.Option(help="File that a Dask scheduler wrote.", rich_help_panel=_CLUSTER)
]
TlsCaOption = Annotated[Path | None, typer.Option(help="Certificate authority.", rich_help_panel=_CLUSTER)]
TlsCertOption = Annotated[Path | None, typer.Option(help="Certificate.", rich_help_panel=_CLUSTER)]
TlsKeyOption = Annotated[Path | None, typer.Option(help="Its key.", rich_help_panel=_CLUSTER)]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Without TLS beyond this machine.", rich_help_panel=_CLUSTER)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]


def main() -> None:
    """Run the command; an error is a message and an exit status."""
    try:
        app()
    except QuantizeZooError as error:
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(BAD_USAGE if isinstance(error, ConfigurationError) else 3)


@app.command()
def run(
    matrix: MatrixArgument = None,
    models: Annotated[list[str] | None, typer.Option(help="Only this model of the matrix; may be repeated.")] = None,
    devices: Annotated[list[str] | None, typer.Option(help="This device, not the matrix's; may be repeated.")] = None,
    max_trials: Annotated[int | None, typer.Option(min=1, help="Trials a cell.")] = None,
    max_minutes: Annotated[float | None, typer.Option(min=0.01, help="Minutes a cell.")] = None,
    trials_load_method: Annotated[TrialsLoadMethod | None, typer.Option(help="Where the search starts.")] = None,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    definitions: DefinitionsOption = None,
    as_json: JsonOption = False,
    executor: Annotated[ExecutorName, typer.Option(help="Where cells run.", rich_help_panel=_CLUSTER)] = "local",
    scheduler: SchedulerOption = None,
    scheduler_file: SchedulerFileOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Start so many workers here instead.", rich_help_panel=_CLUSTER)
    ] = None,
    latency: Annotated[
        LatencyMode, typer.Option(help="Who measures: workers of that role, or each.", rich_help_panel=_CLUSTER)
    ] = "master",
    cache_mb: Annotated[
        int, typer.Option(min=0, help="What a worker may keep of files sent to it.", rich_help_panel=_CLUSTER)
    ] = 10_000,
    tls_ca_file: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Tune, score and report every cell of a matrix."""
    changes = {"max_trials": max_trials, "max_minutes": max_minutes, "trials_load_method": trials_load_method}
    chosen = {key: value for key, value in changes.items() if value}
    loaded = _load(matrix, models or [], devices or [], chosen, definitions)
    if executor == "local":
        if scheduler or scheduler_file or workers:
            raise errors.needs_dask()
        rendered, folder = _run(loaded, reports, store, seed)
    else:
        where = (scheduler, scheduler_file, workers, tls_ca_file, tls_cert, tls_key, insecure)
        with _on_dask(ClusterOptions(*where), latency, cache_mb) as cluster:
            rendered, folder = _run(loaded, reports, store, seed, cluster)
    _report(rendered, folder, as_json=as_json)


@app.command()
def worker(
    scheduler: SchedulerOption = None,
    scheduler_file: SchedulerFileOption = None,
    role: Annotated[str, typer.Option(help="accuracy, latency, or both with a comma between.")] = "accuracy,latency",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    name: Annotated[str | None, typer.Option(help="Name of the worker.")] = None,
    memory_limit: Annotated[str, typer.Option(help="Bytes, a share, or auto.")] = "auto",
    tls_ca_file: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Be a worker of a Dask cluster that runs cells."""
    dask = _import_dask()
    roles = tuple(each.strip() for each in role.split(","))
    wrong = [each for each in roles if each not in ROLES]
    if wrong:
        raise errors.unknown_role(wrong[0], ROLES)
    if scheduler is None and scheduler_file is None:
        raise errors.no_scheduler("(none given)", "name one")
    find_checker()
    place = (scheduler, scheduler_file, None, tls_ca_file, tls_cert, tls_key, insecure)
    dask.serve(ClusterOptions(*place), roles, host, name, memory_limit)


@app.command()
def report(
    run_id: RunArgument = None,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
    as_json: JsonOption = False,
) -> None:
    """Render a stored run again."""
    opened = Store(_existing_store(store, reports))
    rendered = report_of(opened.load_run(run_id), opened)
    _report(rendered, reports / rendered.run.id, as_json=as_json)


@app.command()
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
    if baseline_python is not None and not baseline_python.is_file():
        raise errors.file_missing(baseline_python, "--baseline-python")

    def compared(pairs: list[Pair], gate: GateConfig, folder: Path) -> Iterator[Compared]:
        _make_reports_folder(folder)
        executor = LocalEngine(reports / "statistics", reports / "inputs")
        for each in compare_pairs(pairs, gate, executor, folder.absolute(), baseline_python):
            Console(stderr=True).print(f"{each.cell}: compared", markup=False, highlight=False)
            yield each

    if model is not None:
        matrix = _load(model, [], devices or [], {})
        pairs = pairs_of_files(matrix, Path(base), Path(candidate))
        found = list(compared(pairs, matrix.gate, reports / "compare"))
    else:
        opened = Store(_existing_store(store, reports))
        first, second = (opened.load_run(None if name == "latest" else name) for name in (base, candidate))
        matrix = _load(Path(second.matrix), [], devices or [cell.device for cell in second.cells], {})
        folder = reports / f"compare-{first.id}-{second.id}"
        found = list(compared(pairs_of_runs(first, second, matrix, reports), matrix.gate, folder))
        baselines = as_baselines(first)
        held = with_comparison(second, baselines, found, folder, reports)
        write_reports(make_run_report(held, baselines), folder, newest=False)
        Console(stderr=True).print(f"report: {folder / 'index.html'}", markup=False, highlight=False, soft_wrap=True)
    _tell_comparison(found, as_json=as_json)


def _tell_comparison(found: list[Compared], *, as_json: bool) -> None:
    """Print the checks; the exit status is the gate's."""
    statuses = {check.status for compared in found for check in compared.checks}
    if as_json:
        print(json.dumps([asdict(compared) for compared in found], allow_nan=False))
    else:
        table = Table("cell", "check", "verdict", "found")
        for compared in found:
            for check in compared.checks:
                table.add_row(escape(compared.cell), check.quantity, check.status, escape(check.text))
        Console(width=None if sys.stdout.isatty() else 160).print(table)
    raise typer.Exit(3 if "failed" in statuses else 1 if "regressed" in statuses else 0)


@app.command()
def trials(
    run_id: RunArgument = None,
    cells: Annotated[list[str] | None, typer.Option(help="Only this cell; may be repeated.")] = None,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
    as_json: JsonOption = False,
) -> None:
    """List the stored trials of a run's cells."""
    record = Store(_existing_store(store, reports)).load_run(run_id)
    chosen = [_cell(record, name) for name in cells or []] or list(record.cells)
    if as_json:
        cells_of_run = json_value(make_run_report(record))["cells"]
        found = {f"{each['model']}-{each['device']}": each["trials"] for each in cells_of_run}
        print(json.dumps({cell.name: found[cell.name] for cell in chosen}, allow_nan=False))
        return
    table = Table("cell", "trial", "accuracy", "loss", "FP32 / INT8", "quantized", "objective", "note")
    for cell in chosen:
        for trial in cell.trials:
            figures = [trial.failure or "ended early", "", "", "", ""]
            if trial.measurement and trial.score:
                figures = [
                    interval(trial.measurement.accuracy, 4),
                    percent(trial.score.accuracy_loss),
                    latency_figures(trial.measurement.latency)[2],
                    percent(trial.score.quantization_ratio),
                    f"{trial.loss:.2f}",
                ]
            note = "best" if cell.final and cell.final.trial == trial.number else ""
            table.add_row(escape(cell.name), str(trial.number), *map(escape, figures), note)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@app.command()
def export(
    cell: Annotated[str, typer.Argument(help="Name of a cell, MODEL-DEVICE.")],
    run_id: Annotated[str | None, typer.Option("--run", help="Id of a stored run; default: the newest.")] = None,
    trial: Annotated[int | None, typer.Option(help="Number of a trial; default: the best.")] = None,
    output_dir: Annotated[Path, typer.Option(help="Folder for the model.")] = Path("exported"),
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Write the best model of a cell, or any trial's, as IR with the configuration that made it."""
    record = Store(_existing_store(store, reports)).load_run(run_id)
    chosen = _cell(record, cell)
    if trial is None and chosen.final is None:
        raise errors.nothing_to_export(cell)
    number = chosen.final.trial if trial is None and chosen.final else trial or 0
    matrix = _load(Path(record.matrix), [chosen.model], [chosen.device], {})
    _make_reports_folder(output_dir)
    executor = LocalEngine(reports / "statistics", reports / "inputs")
    (planned,) = expand(matrix)
    written = export_trial(chosen, number, planned, executor, reports / record.id, output_dir)
    Console().print(f"model: {written}", markup=False, highlight=False, soft_wrap=True)


def _cell(run: RunRecord, name: str) -> CellRecord:
    known = {cell.name: cell for cell in run.cells}
    if name not in known:
        raise errors.unknown_cell(name, known)
    return known[name]


@app.command()
def pot(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.json", help="A configuration of POT, with comments.")],
    output_dir: Annotated[Path, typer.Option(help="Folder for the quantized model.")] = Path("results"),
    name: Annotated[str | None, typer.Option("--name", "-n", help="Name of the model, not the file's.")] = None,
    evaluate: Annotated[bool, typer.Option("--evaluate", "-e", help="Score the quantized model.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
) -> None:
    """Run a configuration file of POT as it is."""
    job = load_pot(config)
    job = replace(job, name=name or job.name)
    console = Console(stderr=True)
    for warning in job.warnings:
        console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    _make_reports_folder(output_dir)
    if job.optimizer is None:
        for metric, value in quantize_once(job, output_dir, evaluate=evaluate).items():
            print(f"{metric}: {value}")
        console.print(f"model: {output_dir / job.name}.xml", markup=False, highlight=False, soft_wrap=True)
    else:
        rendered, folder = _run(pot_matrix(job), output_dir / "reports", None, seed)
        final = rendered.run.cells[0].final
        if final is not None:
            copy_model(folder / final.model, output_dir / f"{job.name}.xml")
            console.print(f"model: {output_dir / job.name}.xml", markup=False, highlight=False, soft_wrap=True)
        _report(rendered, folder, as_json=False)


@app.command()
def init(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file, an IR, or what else OpenVINO reads.")],
) -> None:
    """Write a model's YAML to start from, by looking at the model."""
    written = write_starter(model, str(schema_path("model")))
    text = f"{written}: fill in the lines with TODO, then run: quantize-zoo check {written}"
    Console().print(text, markup=False, highlight=False, soft_wrap=True)


@app.command()
def check(
    matrix: MatrixArgument = None,
    definitions: DefinitionsOption = None,
    open_model_zoo: Annotated[bool, typer.Option(help="Check every accuracy-check.yml of Open Model Zoo.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Validate a matrix and all that it names, or an accuracy-check.yml, without running."""
    if open_model_zoo or (matrix is not None and is_checker_file(matrix)):
        files = list(zoo_checker_files()) if open_model_zoo or matrix is None else [matrix]
        shared = read_definitions(definitions or (definitions_file() if open_model_zoo else None))
        _tell_findings([each for file in files for each in check_checker_file(file, shared)], as_json=as_json)
        return
    cells = [cell.key.label for cell in expand(_load(matrix, [], [], {}, definitions))]
    if as_json:
        print(json.dumps({"cells": cells}))
        return
    count = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
    Console().print(f"{count}: {', '.join(cells)}", markup=False, highlight=False, soft_wrap=True)


def _tell_findings(findings: list[Finding], *, as_json: bool) -> None:
    """Print what can be scored and what not; the exit status is 2 if nothing can."""
    bad = [finding for finding in findings if finding.problem]
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in bad:
            print(f"{finding.file}: {finding.model}: {finding.problem}")
        print(f"{len(findings) - len(bad)} of {len(findings)} models can be scored")
    if len(bad) == len(findings):
        raise typer.Exit(BAD_USAGE)


@app.command()
def doctor(install_checker: InstallOption = False, as_json: JsonOption = False) -> None:
    """Tell what this machine has, and how to get what is missing."""
    checker, problem = _look_for_checker()
    if problem is not None and install_checker:
        install_overlay()
        checker, problem = _look_for_checker()
    environment = describe_environment()
    facts: dict[str, Any] = {
        "quantize-zoo": __version__,
        "OpenVINO": environment.openvino,
        "devices": available_devices(),
        "CPU": environment.cpu,
        "cores": environment.cores,
        "instruction sets": list(environment.instruction_sets),
        "instruction set limit": environment.isa_limit or None,
        "isa of a CPU cell": list(available_instruction_sets()),
        "accuracy checker": checker,
        "Python": environment.python,
        "NumPy": environment.numpy,
        "hyperopt": environment.hyperopt,
    }
    if as_json:
        print(json.dumps(facts))
    else:
        table = Table("what", "here", show_header=False, box=None)
        for name, value in facts.items():
            text = ", ".join(value) if isinstance(value, list) else "none" if value is None else str(value)
            table.add_row(name, escape(text))
        Console().print(table)
    if problem is not None:
        raise problem


@baseline_app.command("accept")
def accept_baseline(
    run_id: RunArgument = None,
    cells: Annotated[list[str] | None, typer.Option(help="Only this cell; may be repeated.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
    expected_change: Annotated[str, typer.Option(help="The change that is meant, and known to be one.")] = "",
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Make a run's cells the baseline that later runs are held against."""
    opened = Store(_existing_store(store, reports))
    accepted = accept(
        opened.load_run(run_id), cells or [], reports, opened, reason=reason, expected_change=expected_change
    )
    names = ", ".join(f"{each.model}-{each.device}" for each in accepted)
    Console().print(f"accepted: {names}", markup=False, highlight=False, soft_wrap=True)


@baseline_app.command("show")
def show_baselines(
    history: Annotated[bool, typer.Option(help="All that there ever were.")] = False,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
    as_json: JsonOption = False,
) -> None:
    """List the baselines: what, when, by whom and why."""
    rows = baseline_rows(Store(_existing_store(store, reports)), history=history)
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("id", "cell", "accepted", "by", "run", "OpenVINO", "reason", "dropped")
    for row in rows:
        why = "; ".join(part for part in (row["reason"], row["expected_change"]) if part)
        texts = [str(row["id"]), row["cell"], row["accepted_at"][:16], row["accepted_by"], row["run"], row["openvino"]]
        table.add_row(*(escape(text) for text in [*texts, why, (row["dropped_at"] or "")[:16]]))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@baseline_app.command("drop")
def drop_baseline(
    cells: Annotated[list[str], typer.Argument(metavar="CELL...", help="Cells whose baseline is to go.")],
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Drop the baseline of cells; it stays in the history."""
    opened = Store(_existing_store(store, reports))
    known = {baseline.name: baseline.id for baseline in opened.baselines()}
    for name in cells:
        if name not in known:
            raise errors.unknown_cell(name, known)
    for name in cells:
        opened.drop_baseline(known[name])


@baseline_app.command("export")
def export_to(
    folder: Annotated[Path, typer.Argument(help="Folder for the baselines and their models.")],
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Write the baselines with their models into a folder, to commit or to move them."""
    count = export_baselines(Store(_existing_store(store, reports)), reports, folder)
    Console().print(f"{count} exported to {folder}", markup=False, highlight=False, soft_wrap=True)


@baseline_app.command("import")
def import_from(
    folder: Annotated[Path, typer.Argument(help="What baseline export wrote.")],
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Accept the baselines of a folder."""
    _make_reports_folder(reports)
    count = import_baselines(Store(store or _default_store(reports)), reports, folder)
    Console().print(f"{count} imported", markup=False, highlight=False)


def _import_dask() -> Any:
    """Import what runs on Dask, which is an extra."""
    try:
        return importlib.import_module("quantize_zoo.engines.dask")
    except ModuleNotFoundError as error:
        raise errors.dask_missing() from error


@contextmanager
def _on_dask(options: ClusterOptions, latency: LatencyMode, cache_mb: int) -> Iterator[Engine]:
    """Connect to a cluster; tell which workers are refused."""
    dask = _import_dask()
    console = Console(stderr=True)

    def tell(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    with dask.connect(options) as client:
        yield dask.DaskEngine(client, latency, cache_mb * 1_000_000, tell)


def _run(
    matrix: MatrixConfig, reports: Path, store: str | None, seed: int, cluster: Engine | None = None
) -> tuple[RunReport, Path]:
    """Run a matrix here, or on a cluster; return its report and the folder where that belongs."""
    find_checker()
    _make_reports_folder(reports)
    opened = Store(store or _default_store(reports))
    command = shlex.join(["quantize-zoo", *sys.argv[1:]])
    executor = cluster or LocalEngine(reports / "statistics", reports / "inputs")
    with ConsoleProgress(Console(stderr=True), executor.dashboard) as progress:
        record = run_in(reports, matrix, executor, opened, progress, command, seed)
    return report_of(record, opened), reports / record.id


def _look_for_checker() -> tuple[str | None, ConfigurationError | None]:
    try:
        found = find_checker()
    except ConfigurationError as error:
        return None, error
    return f"{found.version}, {found.origin}", None


def _load(
    path: Path | None, models: list[str], devices: list[str], changes: dict[str, Any], definitions: Path | None = None
) -> MatrixConfig:
    """Load a matrix, apply the command line's choices, and validate the checker's configurations."""
    matrix = load_matrix(path or default_matrix_path()).select(models, devices)
    if definitions is not None:
        matrix = matrix.with_definitions(definitions)
    matrix = complete_matrix(matrix)
    if "nncf" in matrix.references:
        require_nncf()
    return matrix.with_optimizer(changes)


def _make_reports_folder(reports: Path) -> None:
    try:
        reports.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.reports_unwritable(reports, str(error)) from error
    if not os.access(reports, os.W_OK):
        raise errors.reports_unwritable(reports, "permission denied")


def _default_store(reports: Path) -> str:
    return f"sqlite:///{reports / 'store.db'}"


def _existing_store(store: str | None, reports: Path) -> str:
    url = store or _default_store(reports)
    if store is None and not (reports / "store.db").is_file():
        raise errors.no_runs(url)
    return url


def _report(report: RunReport, folder: Path, *, as_json: bool) -> None:
    write_reports(report, folder)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in workflow_commands(report):
            print(line, file=sys.stderr)
    if as_json:
        print(json.dumps(json_value(report), allow_nan=False))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(_table(report))
    Console(stderr=True).print(f"report: {folder / 'index.html'}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(report.exit_status)


def _table(report: RunReport) -> Table:
    gate = ["baseline"] if any(cell.gate_status for cell in report.cells) else []
    table = Table("cell", "verdict", *gate, "FP32", "INT8", "loss", "FP32 / INT8", title=f"run {report.run.id}")
    for cell in report.cells:
        record, best = cell.record, cell.best
        if record.reference and best and best.measurement and best.score:
            figures = [
                interval(record.reference.accuracy, 4),
                interval(best.measurement.accuracy, 4),
                percent(best.score.accuracy_loss),
                latency_figures(cell.latency)[2],
            ]
        else:
            figures = ["", "", "", ""]
        table.add_row(escape(record.name), cell.verdict.status, *([cell.gate_status or ""] if gate else []), *figures)
    return table
