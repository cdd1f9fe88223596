"""``run``, the main job, here or on a cluster; ``worker``, a part of a cluster."""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from quantize_zoo import errors
from quantize_zoo.commands.lines import tell
from quantize_zoo.commands.options import (
    CLUSTER,
    CacheOption,
    DefinitionsOption,
    InsecureOption,
    JsonOption,
    MatrixArgument,
    MaxMinutesOption,
    MaxTrialsOption,
    ReportsOption,
    SchedulerFileOption,
    SchedulerOption,
    SeedOption,
    StoreOption,
    TlsCaOption,
    TlsCertOption,
    TlsKeyOption,
    WorkersOption,
)
from quantize_zoo.commands.output import hand_over, tell_if_wrong, tell_plan
from quantize_zoo.commands.places import existing_store, looked_at, matrix_at, new_or_existing_store
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.terms import DEFAULT_REPORTS, LatencyMode, TrialsLoadMethod, default_store_file

if TYPE_CHECKING:
    from quantize_zoo.config import MatrixConfig, Retention
    from quantize_zoo.engines import Engine, SchedulerAddress
    from quantize_zoo.matrix import PlannedCell
    from quantize_zoo.report import RunReport
    from quantize_zoo.store import RunRecord

ExecutorName = Literal["local", "dask"]


def run(
    matrix: MatrixArgument = None,
    models: Annotated[list[str] | None, typer.Option(help="Only this model of the matrix; may be repeated.")] = None,
    devices: Annotated[list[str] | None, typer.Option(help="This device, not the matrix's; may be repeated.")] = None,
    max_trials: MaxTrialsOption = None,
    max_minutes: MaxMinutesOption = None,
    trials_load_method: Annotated[TrialsLoadMethod | None, typer.Option(help="Where the search starts.")] = None,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
    seed: SeedOption = 0,
    definitions: DefinitionsOption = None,
    as_json: JsonOption = False,
    dry_run: Annotated[
        bool, typer.Option(help="Tell which cells would run, how, and for how long, by the nights before.")
    ] = False,
    executor: Annotated[ExecutorName, typer.Option(help="Where cells run.", rich_help_panel=CLUSTER)] = "local",
    scheduler: SchedulerOption = None,
    scheduler_file: SchedulerFileOption = None,
    workers: WorkersOption = None,
    latency: Annotated[
        LatencyMode, typer.Option(help="Who measures: workers of that role, or each.", rich_help_panel=CLUSTER)
    ] = "master",
    cache_mb: CacheOption = 10_000,
    tls_ca_file: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Tune, score and report every cell of a matrix."""
    from quantize_zoo.engines import ClusterOptions, find_scheduler

    cluster = ClusterOptions(scheduler, scheduler_file, workers, tls_ca_file, tls_cert, tls_key, insecure)
    if executor == "local" and cluster != ClusterOptions():
        raise errors.needs_dask()
    found = find_scheduler(cluster) if executor == "dask" else None
    changes = {"max_trials": max_trials, "max_minutes": max_minutes, "trials_load_method": trials_load_method}
    chosen = {key: value for key, value in changes.items() if value}
    loaded = looked_at(matrix_at(matrix, models or [], devices or [], chosen, definitions))
    if loaded.notify is not None:
        from quantize_zoo.report.webhook import address_problem

        tell_if_wrong(address_problem(loaded.notify))
    if dry_run:
        tell_plan(_planned_in(reports, loaded, store), as_json=as_json)
        return
    if found is None:
        rendered, folder = run_matrix_in(reports, loaded, store, seed)
    else:
        with _on_dask(found, latency, cache_mb) as engine:
            rendered, folder = run_matrix_in(reports, loaded, store, seed, engine)
    _tell_overrun(rendered.run, loaded.max_minutes_a_night)
    if loaded.retention is not None:
        _retain(loaded.retention, store, reports)
    hand_over(rendered, folder, as_json=as_json, notify=loaded.notify)


def worker(
    scheduler: SchedulerOption = None,
    scheduler_file: SchedulerFileOption = None,
    role: Annotated[
        str, typer.Option(help="accuracy, latency, or both (with a comma); or member.")
    ] = "accuracy,latency",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    name: Annotated[str | None, typer.Option(help="Name of the worker.")] = None,
    memory_limit: Annotated[str, typer.Option(help="Bytes, a share, or auto.")] = "auto",
    tls_ca_file: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    insecure: InsecureOption = False,
) -> None:
    """Be a worker of a Dask cluster that runs cells."""
    from quantize_zoo.engines import ROLES, ClusterOptions, find_scheduler
    from quantize_zoo.scoring import find_checker

    dask = _import_dask()
    roles = tuple(each.strip() for each in role.split(","))
    wrong = [each for each in roles if each not in ROLES]
    if wrong:
        raise errors.unknown_role(wrong[0], ROLES)
    if "member" in roles and len(roles) > 1:
        raise errors.member_works_alone()
    cluster = ClusterOptions(scheduler, scheduler_file, None, tls_ca_file, tls_cert, tls_key, insecure)
    found = find_scheduler(cluster, workers=False)
    find_checker()
    dask.serve(found, roles, host, name, memory_limit)


def run_matrix_in(
    reports: Path, matrix: MatrixConfig, store: str | None, seed: int, cluster: Engine | None = None
) -> tuple[RunReport, Path]:
    """Run a matrix here, or on a cluster; return its report and the folder where that belongs."""
    from quantize_zoo.engines import LocalEngine
    from quantize_zoo.matrix import run_in
    from quantize_zoo.progress import ConsoleProgress
    from quantize_zoo.report import report_of
    from quantize_zoo.scoring import find_checker

    find_checker()
    opened = new_or_existing_store(store, reports)
    command = shlex.join(["quantize-zoo", *sys.argv[1:]])
    engine = cluster or LocalEngine(reports / "statistics", reports / "inputs")
    with ConsoleProgress(Console(stderr=True), engine.dashboard) as progress:
        record = run_in(reports, matrix, engine, opened, progress, command, seed)
    return report_of(record, opened, reports), reports / record.id


def _planned_in(reports: Path, matrix: MatrixConfig, store: str | None) -> list[PlannedCell]:
    """Return what a run would do here, by what the store has of the nights before; nothing is written."""
    from quantize_zoo.matrix import NIGHTS_LOOKED_AT, expand, plan_night, stored_trials

    first = store is None and not default_store_file(reports).exists()
    limit = matrix.max_minutes_a_night
    cells = expand(matrix)
    if first:
        return plan_night(cells, {}, {}, limit and 60 * limit)
    opened = existing_store(store, reports)
    stored = stored_trials(cells, opened.stored_trials)
    return plan_night(cells, opened.past_nights(NIGHTS_LOOKED_AT), stored, limit and 60 * limit)


def _tell_overrun(run: RunRecord, limit: float | None) -> None:
    from quantize_zoo.matrix import overrun

    if limit is not None and run.finished_at is not None:
        minutes = (run.finished_at - run.started_at).total_seconds() / 60
        if over := overrun(minutes, limit):
            tell(over)


def _retain(retention: Retention, store: str | None, reports: Path) -> None:
    """Remove what the matrix does not keep; where that fails, the run's own report is not the worse for it."""
    from quantize_zoo.matrix import prune

    try:
        pruned = prune(
            existing_store(store, reports), reports, retention.keep_nights, keep_baselines=retention.keep_baselines
        )
    except QuantizeZooError as error:
        tell(f"warning: retention: {error}")
        return
    if pruned.runs or pruned.files:
        tell(pruned.text)


def _import_dask() -> Any:
    """Import what runs on Dask, which is an extra."""
    try:
        return importlib.import_module("quantize_zoo.engines.dask")
    except ModuleNotFoundError as error:
        raise errors.dask_missing() from error


@contextmanager
def _on_dask(scheduler: SchedulerAddress, latency: LatencyMode, cache_mb: int) -> Iterator[Engine]:
    """Connect to a cluster; tell which workers are refused."""
    dask = _import_dask()
    with dask.connect(scheduler) as client:
        yield dask.DaskEngine(client, latency, cache_mb * 1_000_000, tell)
