"""The flow of a run: for each cell reference, statistics, trials, best model. Each trial is stored before the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter

from quantize_zoo.cell import Cell
from quantize_zoo.config import MatrixConfig, OptimizerParams, search_stages
from quantize_zoo.engines.protocol import CellWorker, Engine
from quantize_zoo.errors import DeviceUnavailableError, QuantizeZooError
from quantize_zoo.gate import Check, GateResult, apply_waivers, check_level
from quantize_zoo.gate.holding import GateRequest
from quantize_zoo.matrix.baselines import baselines_folder
from quantize_zoo.matrix.expansion import expand
from quantize_zoo.matrix.export import write_configuration
from quantize_zoo.matrix.start import Start, find_start
from quantize_zoo.quantization import derive_space
from quantize_zoo.scoring import inverse
from quantize_zoo.search import StagePlan, Trial, TrialRecorder, best_trial, meets_accuracy, ranked, run_stage
from quantize_zoo.store import ErrorRecord, Final, Reference, RunnerUp, RunRecord, RunStatus, Store
from quantize_zoo.zoo import fetch_model

_GATE = TypeAdapter(GateResult)


@dataclass(frozen=True)
class RunRequest:
    """What to run, under which id, and where its files go; ``baselines`` is where the models of baselines lie."""

    run_id: str
    matrix: MatrixConfig
    folder: Path
    command: str
    seed: int
    baselines: Path


def run_in(
    reports: Path,
    matrix: MatrixConfig,
    engine: Engine,
    store: Store,
    observer: RunObserver,
    command: str,
    seed: int,
) -> RunRecord:
    """Run a matrix in a new folder of the reports, named as the run; see ``run_matrix``."""
    folder = new_run_folder(reports)
    request = RunRequest(folder.name, matrix, folder, command, seed, baselines_folder(reports))
    return run_matrix(request, engine, store, observer)


class RunObserver(Protocol):
    """Told what happens, for progress; must not raise."""

    def cell_started(self, cell: Cell, position: int, total: int) -> None:
        """Announce a cell."""
        ...

    def reference_scored(self, cell: Cell, reference: Reference) -> None:
        """Announce the FP32 reference."""
        ...

    def trial_finished(self, cell: Cell, trial: Trial, best: Trial | None) -> None:
        """Announce a trial that is stored, and the best so far."""
        ...

    def gate_started(self, cell: Cell) -> None:
        """Announce the comparison with the baseline."""
        ...

    def gate_finished(self, cell: Cell, result: GateResult) -> None:
        """Announce what it found."""
        ...

    def cell_finished(self, cell: Cell, error: QuantizeZooError | None) -> None:
        """Announce the end of a cell."""
        ...


def new_run_folder(reports: Path) -> Path:
    """Make the folder of a new run; its name, the time in UTC, is the run's id."""
    folder = reports / datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S-%f")[:-3]
    folder.mkdir()
    return folder


@dataclass(frozen=True)
class _Flow:
    """What every step of a run needs; ``stop`` is set when the run is to end."""

    request: RunRequest
    cells: list[Cell]
    engine: Engine
    store: Store
    observer: RunObserver
    stop: threading.Event


def run_matrix(request: RunRequest, engine: Engine, store: Store, observer: RunObserver) -> RunRecord:
    """Run all cells and return what the store has of the run.

    A cell that fails does not stop the others. On KeyboardInterrupt the run ends as interrupted; what was finished is
    stored.
    """
    cells = expand(request.matrix, engine.cpus(request.matrix))
    store.start_run(
        request.run_id,
        matrix=str(request.matrix.source),
        command=request.command,
        seed=request.seed,
        require_targets=request.matrix.require_targets,
        on_missing_device=request.matrix.on_missing_device,
    )
    status: RunStatus = "finished"
    flow = _Flow(request, cells, engine, store, observer, threading.Event())

    def run_one(position: int) -> None:
        if not flow.stop.is_set():
            _start_cell(flow, position)

    at_once = engine.cells_at_once()
    try:
        if at_once == 1:
            for position in range(len(cells)):
                run_one(position)
        else:
            with ThreadPoolExecutor(at_once, thread_name_prefix="cell") as threads:
                try:
                    list(threads.map(run_one, range(len(cells))))
                except KeyboardInterrupt:
                    flow.stop.set()
                    raise
    except KeyboardInterrupt:
        status = "interrupted"
    store.finish_run(request.run_id, status)
    return store.load_run(request.run_id)


def _start_cell(flow: _Flow, position: int) -> None:
    """Run a cell and keep how it ended; its failure does not stop the others."""
    cell = flow.cells[position]
    flow.observer.cell_started(cell, position, len(flow.cells))
    cell_id = flow.store.start_cell(
        flow.request.run_id,
        model=cell.model.name,
        device=cell.device_label,
        method=cell.model.optimizer.params.trials_load_method,
        params=cell.model.optimizer.params,
    )
    failure: QuantizeZooError | None = None
    try:
        _run_cell(flow, cell, cell_id)
    except DeviceUnavailableError as error:
        failure = error
        flow.store.end_cell(cell_id, "unavailable", _record(error))
    except QuantizeZooError as error:
        failure = error
        flow.store.end_cell(cell_id, "failed", _record(error))
    except KeyboardInterrupt:
        flow.store.end_cell(cell_id, "interrupted")
        raise
    flow.observer.cell_finished(cell, failure)


def _run_cell(flow: _Flow, cell: Cell, cell_id: int) -> None:
    """Run a cell; if its device is not there, and the matrix wants that, on the CPU in its place."""
    log = flow.request.folder / "logs" / f"{cell.name}.log"
    if cell.model.zoo_name is not None:
        model = cell.model.model_copy(update={"model": fetch_model(cell.model.zoo_name)})
        cell = replace(cell, model=model)
    try:
        _work_at(flow, cell, cell_id, log)
    except DeviceUnavailableError:
        if flow.request.matrix.on_missing_device != "score_on_cpu":
            raise
        _work_at(flow, replace(cell, scored_on_cpu=True), cell_id, log)


def _work_at(flow: _Flow, cell: Cell, cell_id: int, log: Path) -> None:
    """Tune and hold with a worker of the engine's, and keep who worked."""
    with flow.engine.open(cell, log) as worker:
        try:
            _tune_and_hold(flow, cell, cell_id, worker)
        finally:
            flow.store.set_workers(cell_id, worker.workers())


def _tune_and_hold(flow: _Flow, cell: Cell, cell_id: int, worker: CellWorker) -> None:
    """Tune; keep that; then compare with the baseline, whose failure takes nothing of it away."""
    final = _tune(flow, cell, cell_id, worker)
    flow.store.set_final(cell_id, final)
    current = {baseline.name: baseline for baseline in flow.store.baselines()}
    baseline = current.get(cell.name)
    if baseline is None:
        return
    request = flow.request
    matrix, trial = request.matrix, final and flow.store.trial(cell_id, final.trial)
    gate_request = GateRequest(
        baseline=baseline,
        folder=request.baselines,
        best=trial.option if trial else None,
        model=request.folder / (final.model if final else ""),
        run=request.folder,
        gate=matrix.gate,
        level=check_level(matrix.gate, sum(each.name in current for each in flow.cells)),
        runtimes=matrix.runtimes,
    )
    flow.observer.gate_started(cell)
    try:
        result = worker.hold(gate_request)
    except QuantizeZooError as error:
        check = Check("runtime", "accuracy", "the baseline", "failed", str(error))
        result = GateResult(baseline.id, baseline.accepted_at.isoformat(), (check,))
    result = apply_waivers(result, cell.name, matrix.waivers, datetime.now(timezone.utc).date())
    flow.store.set_gate(cell_id, _GATE.dump_python(result, mode="json"))
    flow.observer.gate_finished(cell, result)


def _tune(flow: _Flow, cell: Cell, cell_id: int, worker: CellWorker) -> Final | None:
    prepared = worker.prepare()
    params = cell.model.optimizer.params
    start = find_start(params, prepared, flow.store.searches(cell.model.name, cell.device_label))
    reference = replace(prepared.reference, notes=(*prepared.reference.notes, *start.notes))
    flow.store.set_reference(cell_id, reference)
    flow.observer.reference_scored(cell, reference)
    if start.continues is not None:
        flow.store.set_continues(cell_id, start.continues)
    if cell.references:
        flow.store.set_references(cell_id, worker.references())
    recorder = TrialRecorder(
        worker, params, reference.accuracy.value, start.trials, higher_is_better=reference.higher_is_better
    )
    for trial in _trials(flow, cell, cell_id, worker, recorder, start):
        flow.store.add_trial(cell_id, trial)
        flow.observer.trial_finished(cell, trial, best_trial(recorder.trials, params))
        if flow.stop.is_set():
            raise KeyboardInterrupt
    ranking = ranked(recorder.trials, params)
    return _finish(flow.request.folder, cell, ranking, worker) if ranking else None


def _trials(
    flow: _Flow, cell: Cell, cell_id: int, worker: CellWorker, recorder: TrialRecorder, start: Start
) -> Iterator[Trial]:
    """Yield the trials of all stages; each stage starts around the best so far."""
    if start.rebuild:
        calibration = worker.calibrate(start.base)
        flow.store.set_calibration(cell_id, calibration.seconds, calibration.errors)
        yield recorder.record("eval", 0, start.base, None)
        return
    seconds = 0.0
    for number, stage in enumerate(search_stages(cell.model)):
        if recorder.is_finished(stage.until):
            continue
        done = [trial for trial in recorder.trials if trial.stage == number]
        best = best_trial(recorder.trials, recorder.params)
        base = done[0].option if done else best.option if best else start.base
        calibration = worker.calibrate(base)
        seconds += calibration.seconds
        flow.store.set_calibration(cell_id, seconds, calibration.errors)
        space = derive_space(start.placement, base, stage.compression)
        types = {operation.name: operation.type for operation in start.placement.operations}
        plan = StagePlan(number, base, space, stage.until, types, calibration.errors)
        yield from run_stage(plan, recorder, flow.request.seed, worker.pool)


def _finish(folder: Path, cell: Cell, ranking: list[Trial], worker: CellWorker) -> Final:
    best, runner_up = _confirm(ranking, worker, cell.model.optimizer.params)
    model = Path("models") / f"{cell.name}.xml"
    finished = worker.finish(best.option, folder / model)
    write_configuration(folder / model, cell, best)
    return Final(
        best.number,
        finished.latency,
        model.as_posix(),
        finished.holdout,
        runner_up,
        finished.others,
        model.with_suffix(".npz").as_posix(),
        finished.figures,
        finished.layers,
    )


def _confirm(ranking: list[Trial], worker: CellWorker, params: OptimizerParams) -> tuple[Trial, RunnerUp | None]:
    """Measure the best against the one that came second, before it is called best; noise may have put it first."""
    best = ranking[0]
    rivals = (
        trial
        for trial in ranking[1:]
        if trial.structure != best.structure and _within(trial, params) and _within(best, params)
    )
    second = next(rivals, None)
    if second is None or best.measurement is None or best.measurement.latency is None:
        return best, None
    ratio = worker.compare(best.option, second.option)
    slower = ratio.high is not None and ratio.high < 1
    undecided = not slower and ratio.low is not None and ratio.low <= 1
    if slower or (undecided and _accuracy_loss(second) < _accuracy_loss(best)):
        best, second = second, best
        ratio = inverse(ratio)
    return best, RunnerUp(second.number, ratio)


def _accuracy_loss(trial: Trial) -> float:
    assert trial.score is not None, "ranked trials have a score"
    return trial.score.accuracy_loss


def _within(trial: Trial, params: OptimizerParams) -> bool:
    return meets_accuracy(_accuracy_loss(trial), params)


def _record(error: QuantizeZooError) -> ErrorRecord:
    return ErrorRecord(error.what, error.where, error.remedy)
