"""The night: what happens to every cell of a matrix, one step after the other.

    fetch        the model's canonical file: converted once, from Open Model Zoo if it is named there
    prepare      model and data read, the FP32 model scored
    start        where the search starts: over, or from what is stored
    references   the models of other tools, scored as trials are
    search       trials, stage by stage, each stored before the next
    confirm      the best and the runner-up, measured against each other
    finish       the best model exported, measured and judged on samples that the search never saw
    hold         tonight held against the accepted baseline
    elsewhere    the best model scored in other precisions and instruction sets than its cell's

Each step is fed what the last one found, and stores what it found itself before the next begins; ``steps`` has them.
This is the only place that says how a cell ended.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

from quantize_zoo import errors
from quantize_zoo.cell import Cell
from quantize_zoo.config import MatrixConfig
from quantize_zoo.engines.fetching import fetch
from quantize_zoo.engines.protocol import Engine
from quantize_zoo.errors import DeviceUnavailableError, QuantizeZooError
from quantize_zoo.matrix import steps
from quantize_zoo.matrix.baselines import baselines_folder, models_folder
from quantize_zoo.matrix.desk import Desk, Night
from quantize_zoo.matrix.expansion import expand
from quantize_zoo.matrix.observer import RunObserver
from quantize_zoo.matrix.planning import (
    NIGHTS_LOOKED_AT,
    as_planned,
    expected_seconds,
    names_of,
    plan_night,
    stored_trials,
)
from quantize_zoo.matrix.repository import repository_of
from quantize_zoo.matrix.stand_ins import stand_ins
from quantize_zoo.store import ErrorRecord, RunPlan, RunRecord, RunStatus, Store

STEPS: tuple[Callable[[Any, Desk], Any], ...] = (
    steps.prepare,
    steps.start,
    steps.references,
    steps.search,
    steps.confirm,
    steps.finish,
    steps.hold,
    steps.elsewhere,
)


def run_in(
    reports: Path,
    matrix: MatrixConfig,
    engine: Engine,
    store: Store,
    observer: RunObserver,
    command: str,
    seed: int,
    beside: Mapping[str, int] = MappingProxyType({}),
) -> RunRecord:
    """Run all cells of a matrix in a new folder of the reports; return what the store has of the run.

    A cell that fails does not stop the others. On KeyboardInterrupt the run ends as interrupted; what was finished is
    stored.

    Args:
        reports: the folder for reports.
        matrix: what to run.
        engine: where.
        store: what is found goes there.
        observer: who is told.
        command: by which the run is repeated.
        seed: of the searches.
        beside: cells that other runs of the same night have, with which this one shares its level: by their names, as
            how many each counts.

    Raises:
        QuantizeZooError: the matrix cannot be expanded, or nothing can be stored.

    """
    cells = tuple(expand(matrix, engine.cpus(matrix)))
    run_id = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    store.start_run(
        run_id,
        matrix=str(matrix.source),
        command=command,
        seed=seed,
        require_targets=matrix.require_targets,
        on_missing_device=matrix.on_missing_device,
        plan=RunPlan(tuple(cell.key.label for cell in cells), matrix.whole),
        repository=repository_of(matrix.source),
    )
    status: RunStatus = "interrupted"
    try:
        folder = reports / run_id
        folder.mkdir()
        models, baselines, stop = models_folder(reports), baselines_folder(reports), threading.Event()
        _run_cells(
            Night(
                run_id,
                matrix,
                cells,
                seed,
                folder,
                models,
                baselines,
                engine,
                store,
                observer,
                stop,
                beside,
            )
        )
        status = "finished"
    except KeyboardInterrupt:
        pass
    finally:
        store.finish_run(run_id, status)
    return store.load_run(run_id)


def _run_cells(night: Night) -> None:
    """Run the cells, as many at once as the engine opens, each as it is planned when its turn comes."""
    at_once, started = night.engine.cells_at_once(), time.monotonic()
    history, stored = night.store.past_nights(NIGHTS_LOOKED_AT), stored_trials(night.cells, night.store.stored_trials)

    def run(position: int) -> None:
        limit = night.matrix.max_minutes_a_night
        left = None if limit is None else at_once * max(0.0, 60 * limit - (time.monotonic() - started))
        planned = plan_night(night.cells[position:], history, stored, left)
        still = expected_seconds(planned)
        run_cell(as_planned(planned[0]), position, night, still and still / at_once)
        history.update(night.store.past_nights(NIGHTS_LOOKED_AT, names_of(planned[0].cell)))

    if at_once == 1:
        for position in range(len(night.cells)):
            run(position)
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="cell") as threads:
        try:
            for future in [threads.submit(run, position) for position in range(len(night.cells))]:
                future.result()
        except BaseException:
            night.stop.set()
            night.engine.cut_short()
            raise


def run_cell(cell: Cell, position: int, night: Night, left: float | None) -> None:
    """Take a cell through all steps, and keep how it ended; its failure does not stop the others.

    Args:
        cell: the cell.
        position: its place in the run, from 0.
        night: the run.
        left: seconds that the run still takes, as far as that is known.

    Raises:
        KeyboardInterrupt: the run was interrupted; what the cell's steps found is stored.

    """
    if night.stop.is_set():
        return
    night.observer.cell_started(cell, position, len(night.cells), left)
    log = night.folder / "logs" / f"{cell.key.slug}.log"
    params = cell.model.optimizer.params
    method = params.trials_load_method
    cell_id = night.store.start_cell(
        night.run_id, model=cell.model.name, device=cell.key.device_label, method=method, params=params
    )
    failure: QuantizeZooError | None = None
    started = time.monotonic()
    try:
        _walk(cell, cell_id, log, night)
    except KeyboardInterrupt:
        night.store.end_cell(cell_id, "interrupted")
        raise
    except DeviceUnavailableError as error:
        failure = error
        night.store.end_cell(cell_id, "unavailable", error=_record(error))
    except QuantizeZooError as error:
        if night.stop.is_set():  # the engine was cut short
            night.store.end_cell(cell_id, "interrupted")
            return
        failure = error
        night.store.end_cell(cell_id, "failed", error=_record(error))
    except Exception as error:  # nothing foresaw it: it ends this cell, and the others go on
        failure = _unforeseen(error, log)
        night.store.end_cell(cell_id, "failed", error=_record(failure))
    night.store.set_seconds(cell_id, time.monotonic() - started)
    night.observer.cell_finished(cell, failure)


def _walk(cell: Cell, cell_id: int, log: Path, night: Night) -> None:
    """Walk the steps, with the first of what the cell may be run as whose device is here."""
    fetched = fetch(cell, night.models, log)
    _walk_any([fetched, *stand_ins(fetched, night.matrix)], cell_id, log, night)


def _walk_any(
    cells: Sequence[Cell], cell_id: int, log: Path, night: Night, absent: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Walk with the first of the cells whose device is here; ``absent`` tells why those before are not."""
    cell, *others = cells
    try:
        _walk_on(cell, cell_id, log, night)
    except DeviceUnavailableError as error:
        absent = {**absent, cell.device.label: error.what}
        if others:
            _walk_any(others, cell_id, log, night, absent)
        elif cell.fleet is None:
            raise
        elif night.matrix.on_missing_device == "fail":
            unasked = [each.label for each in cell.fleet.members if each.label not in absent]
            raise errors.fleet_incomplete(absent, unasked) from error
        else:
            raise errors.fleet_absent(absent) from error


def _walk_on(cell: Cell, cell_id: int, log: Path, night: Night) -> None:
    with night.engine.open(cell, log) as work:
        baselines = {baseline.name: baseline for baseline in night.store.baselines()}
        desk = Desk(cell, cell_id, work, night, baselines.get(cell.key.label))
        found: Any = cell
        try:
            for step in STEPS:
                desk.stop_if_asked()
                found = step(found, desk)
        finally:
            night.store.set_workers(cell_id, night.engine.usage(work))


def _record(error: QuantizeZooError) -> ErrorRecord:
    return ErrorRecord(error.what, error.where, error.remedy)


def _unforeseen(error: Exception, log: Path) -> QuantizeZooError:
    """Write the traceback to the cell's log; return an error that names it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream:
        traceback.print_exception(error, file=stream)
    return errors.unexpected(error, log)
