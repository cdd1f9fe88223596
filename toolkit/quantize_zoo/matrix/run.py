"""The flow of a run: for each cell reference, statistics, trials, best model. Each trial is stored before the next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml
from pydantic import TypeAdapter

from quantize_zoo.config import MatrixConfig, OptimizerParams
from quantize_zoo.errors import DeviceUnavailableError, QuantizeZooError
from quantize_zoo.matrix.cells import Cell, expand
from quantize_zoo.matrix.executor import CellWorker, Executor
from quantize_zoo.quantization import ModelOption, derive_space
from quantize_zoo.search import SearchPlan, Trial, best_trial, iterate_trials
from quantize_zoo.store import ErrorRecord, Final, Reference, RunRecord, RunStatus, Store

_OPTION = TypeAdapter(ModelOption)


@dataclass(frozen=True)
class RunRequest:
    """What to run, under which id, and where its files go."""

    run_id: str
    matrix: MatrixConfig
    folder: Path
    command: str
    seed: int


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

    def cell_finished(self, cell: Cell, error: QuantizeZooError | None) -> None:
        """Announce the end of a cell."""
        ...


def run_matrix(request: RunRequest, executor: Executor, store: Store, observer: RunObserver) -> RunRecord:
    """Run all cells and return what the store has of the run.

    A cell that fails does not stop the others. On KeyboardInterrupt the run ends as interrupted; what was finished is
    stored.
    """
    store.start_run(
        request.run_id,
        matrix=str(request.matrix.source),
        command=request.command,
        seed=request.seed,
        require_targets=request.matrix.require_targets,
        on_missing_device=request.matrix.on_missing_device,
    )
    status: RunStatus = "finished"
    cells = expand(request.matrix)
    for position, cell in enumerate(cells):
        observer.cell_started(cell, position, len(cells))
        cell_id = store.start_cell(
            request.run_id,
            model=cell.model.name,
            device=cell.device.label,
            method=cell.model.optimizer.params.trials_load_method,
            params=cell.model.optimizer.params,
        )
        failure: QuantizeZooError | None = None
        try:
            with executor.open(cell, request.folder / "logs" / f"{cell.name}.log") as worker:
                final = _run_cell(request, cell, cell_id, worker, store, observer)
            store.finish_cell(cell_id, "done", final=final)
        except DeviceUnavailableError as error:
            failure = error
            store.finish_cell(cell_id, "unavailable", error=_record(error))
        except QuantizeZooError as error:
            failure = error
            store.finish_cell(cell_id, "failed", error=_record(error))
        except KeyboardInterrupt:
            store.finish_cell(cell_id, "interrupted")
            status = "interrupted"
            break
        observer.cell_finished(cell, failure)
    store.finish_run(request.run_id, status)
    return store.load_run(request.run_id)


def _run_cell(
    request: RunRequest, cell: Cell, cell_id: int, worker: CellWorker, store: Store, observer: RunObserver
) -> Final | None:
    prepared = worker.prepare()
    store.set_reference(cell_id, prepared.reference)
    observer.reference_scored(cell, prepared.reference)
    params = cell.model.optimizer.params
    base = _start_option(prepared.base, prepared.reference.search_key, params, store)
    store.set_calibration_seconds(cell_id, worker.calibrate(base))
    space = derive_space(prepared.placement, base, cell.model.compression)
    plan = SearchPlan(base, space, prepared.reference.accuracy.value, params, request.seed)
    trials: list[Trial] = []
    for trial in iterate_trials(plan, worker.evaluate):
        store.add_trial(cell_id, trial)
        trials.append(trial)
        observer.trial_finished(cell, trial, best_trial(trials, params))
    best = best_trial(trials, params)
    return None if best is None else _finish(request.folder, cell, best, worker)


def _start_option(preset: ModelOption, search_key: str, params: OptimizerParams, store: Store) -> ModelOption:
    """Return the option that the search starts from: the preset's, or for fine_tune the best one stored."""
    if params.trials_load_method == "cold_start":
        return preset
    best = best_trial(store.searches(search_key), params)
    return preset if best is None else best.option


def _finish(folder: Path, cell: Cell, best: Trial, worker: CellWorker) -> Final:
    model = Path("models") / f"{cell.name}.xml"
    latency = worker.finish(best.option, folder / model)
    configuration = {
        "model": cell.model.name,
        "device": cell.device.label,
        "trial": best.number,
        "option_hash": best.option_hash,
        **_OPTION.dump_python(best.option, mode="json"),
    }
    text = yaml.safe_dump(configuration, sort_keys=False)
    (folder / model).with_suffix(".yml").write_text(text, encoding="utf-8")
    return Final(best.number, latency, model.as_posix())


def _record(error: QuantizeZooError) -> ErrorRecord:
    return ErrorRecord(error.what, error.where, error.remedy)
