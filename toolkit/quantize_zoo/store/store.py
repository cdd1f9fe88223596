"""Reading and writing the store.

Guarantees: every method is one transaction, so that a process killed at any moment leaves whole trials only; a trial is
on disk when ``add_trial`` returns. A store may be used by several processes at once, a ``Store`` by one thread.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from quantize_zoo import __version__, errors
from quantize_zoo.config import OptimizerParams, TrialsLoadMethod
from quantize_zoo.search import Trial
from quantize_zoo.store.database import open_database
from quantize_zoo.store.records import (
    Baseline,
    CellRecord,
    CellStatus,
    ErrorRecord,
    Final,
    Reference,
    ReferencePoint,
    RunRecord,
    RunStatus,
    StoredBaseline,
    StoredSearch,
    WorkerUse,
    current_baselines,
)
from quantize_zoo.store.schema import BaselineRow, Cell, Run, TrialRow

Value = TypeVar("Value")

_TRIAL = TypeAdapter(Trial)
_REFERENCE = TypeAdapter(Reference)
_FINAL = TypeAdapter(Final)
_ERROR = TypeAdapter(ErrorRecord)
_POINT = TypeAdapter(ReferencePoint)
_BASELINE = TypeAdapter(Baseline)
_WORKER = TypeAdapter(WorkerUse)


class Store:
    """The trial store behind a database URL.

    Raises:
        ConfigurationError: the database cannot be opened, is another program's, or too new.

    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = open_database(url)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def start_run(
        self, run_id: str, *, matrix: str, command: str, seed: int, require_targets: bool, on_missing_device: str
    ) -> None:
        """Begin a run."""
        with self._transaction() as session:
            session.add(
                Run(
                    id=run_id,
                    status="running",
                    started_at=datetime.now(timezone.utc),
                    matrix=matrix,
                    command=command,
                    seed=seed,
                    require_targets=require_targets,
                    on_missing_device=on_missing_device,
                    version=__version__,
                )
            )

    def finish_run(self, run_id: str, status: RunStatus) -> None:
        """End a run."""
        with self._transaction() as session:
            run = session.get_one(Run, run_id)
            run.status = status
            run.finished_at = datetime.now(timezone.utc)

    def start_cell(
        self, run_id: str, *, model: str, device: str, method: TrialsLoadMethod, params: OptimizerParams
    ) -> int:
        """Begin a cell and return its id."""
        with self._transaction() as session:
            cell = Cell(
                run_id=run_id,
                model=model,
                device=device,
                status="running",
                method=method,
                params=params.model_dump(mode="json"),
            )
            session.add(cell)
            session.flush()
            return cell.id

    def set_reference(self, cell_id: int, reference: Reference) -> None:
        """Keep what is known before the first trial."""
        with self._transaction() as session:
            session.get_one(Cell, cell_id).reference = _plain(_REFERENCE, reference)

    def set_continues(self, cell_id: int, before: int) -> None:
        """Let the cell's trials come after those of another cell."""
        with self._transaction() as session:
            session.get_one(Cell, cell_id).continues = before

    def set_references(self, cell_id: int, points: Sequence[ReferencePoint]) -> None:
        """Keep the scores of other tools' models."""
        with self._transaction() as session:
            session.get_one(Cell, cell_id).references = [_plain(_POINT, point) for point in points]

    def set_calibration(self, cell_id: int, seconds: float, sensitivity: dict[str, float]) -> None:
        """Keep how long the statistics took, and what they say of the operations."""
        with self._transaction() as session:
            cell = session.get_one(Cell, cell_id)
            cell.calibration_seconds = seconds
            cell.sensitivity = sensitivity

    def add_trial(self, cell_id: int, trial: Trial) -> None:
        """Keep a finished trial; it is on disk when this returns."""
        per_sample = trial.measurement.per_sample if trial.measurement else None
        stripped = replace(trial, measurement=trial.measurement and replace(trial.measurement, per_sample=None))
        with self._transaction() as session:
            session.add(
                TrialRow(
                    cell_id=cell_id,
                    number=trial.number,
                    option_hash=trial.option_hash,
                    loss=trial.loss,
                    trial=_plain(_TRIAL, stripped),
                    per_sample=None if per_sample is None or trial.reused_from is not None else _to_bytes(per_sample),
                )
            )

    def set_final(self, cell_id: int, final: Final | None) -> None:
        """End a cell as done; None if the search found no model."""
        with self._transaction() as session:
            cell = session.get_one(Cell, cell_id)
            cell.status = "done"
            cell.final = None if final is None else _plain(_FINAL, final)

    def end_cell(self, cell_id: int, status: CellStatus, error: ErrorRecord | None = None) -> None:
        """End a cell that is not done; one that is stays so."""
        with self._transaction() as session:
            cell = session.get_one(Cell, cell_id)
            if cell.status != "done":
                cell.status = status
                cell.error = None if error is None else _plain(_ERROR, error)

    def set_workers(self, cell_id: int, workers: Sequence[WorkerUse]) -> None:
        """Keep who worked at a cell."""
        with self._transaction() as session:
            session.get_one(Cell, cell_id).workers = [_plain(_WORKER, worker) for worker in workers]

    def set_gate(self, cell_id: int, gate: dict[str, Any]) -> None:
        """Keep what the comparison with the baseline found."""
        with self._transaction() as session:
            session.get_one(Cell, cell_id).gate = gate

    def add_baseline(self, baseline: Baseline) -> None:
        """Accept a cell; what was its baseline before is history."""
        with self._transaction() as session:
            row = BaselineRow(
                model=baseline.model,
                device=baseline.device,
                accepted_at=datetime.now(timezone.utc),
                content=_plain(_BASELINE, baseline),
            )
            session.add(row)

    def drop_baseline(self, baseline_id: int) -> None:
        """Drop a baseline; it stays in the history."""
        with self._transaction() as session:
            session.get_one(BaselineRow, baseline_id).dropped_at = datetime.now(timezone.utc)

    def baselines(self, *, history: bool = False) -> list[StoredBaseline]:
        """Return each cell's baseline by name, or all that there ever were, the newest last."""
        with self._transaction() as session:
            rows = [
                StoredBaseline(row.id, row.accepted_at, row.dropped_at, _BASELINE.validate_python(row.content))
                for row in session.scalars(select(BaselineRow).order_by(BaselineRow.id))
            ]
        return rows if history else current_baselines(rows)

    def nights(self, model: str, device: str, until: str) -> list[CellRecord]:
        """Return the finished cells of all runs up to this one, without their trials, the oldest first."""
        query = select(Cell).where(Cell.model == model, Cell.device == device, Cell.status == "done")
        with self._transaction() as session:
            started = select(Run.started_at).where(Run.id == until).scalar_subquery()
            query = query.join(Run, Cell.run_id == Run.id).where(Run.started_at <= started)
            return [self._cell_record(session, row, trials=False) for row in session.scalars(query.order_by(Cell.id))]

    def searches(self, model: str, device: str) -> list[StoredSearch]:
        """Return the searches of a cell that have trials, back to the last cold start, the newest first."""
        query = select(Cell).where(Cell.model == model, Cell.device == device, Cell.method != "eval")
        found: list[StoredSearch] = []
        with self._transaction() as session:
            for cell in session.scalars(query.order_by(Cell.id.desc())):
                trials = self._trials(session, cell)
                if not trials or cell.reference is None:
                    continue
                reference = _REFERENCE.validate_python(cell.reference)
                method: Any = cell.method
                best = None if cell.final is None else _FINAL.validate_python(cell.final).trial
                found.append(StoredSearch(cell.id, method, reference.identity, tuple(trials), best))
                if cell.method == "cold_start":
                    break
        return found

    def trial(self, cell_id: int, number: int) -> Trial:
        """Return one trial of a cell, or of those that it goes on from."""
        with self._transaction() as session:
            return self._trials(session, session.get_one(Cell, cell_id))[number]

    def per_sample(self, cell_id: int, number: int) -> NDArray[np.float64] | None:
        """Return the tuned metric of each sample in a trial (samples,), None if it has no such values."""
        with self._transaction() as session:
            query = select(TrialRow.per_sample).where(TrialRow.cell_id == cell_id, TrialRow.number == number)
            blob = session.scalar(query)
        return None if blob is None else np.load(io.BytesIO(blob), allow_pickle=False)

    def newest_run(self) -> str | None:
        """Return the id of the run that was started last."""
        with self._transaction() as session:
            return session.scalar(select(Run.id).order_by(Run.started_at.desc()).limit(1))

    def load_run(self, run_id: str | None = None) -> RunRecord:
        """Return a run, the newest by default.

        Raises:
            ConfigurationError: there is no such run.

        """
        with self._transaction() as session:
            known = list(session.scalars(select(Run.id).order_by(Run.started_at)))
            if not known:
                raise errors.no_runs(self.url)
            if run_id is not None and run_id not in known:
                raise errors.unknown_run(run_id, known)
            run = session.get_one(Run, run_id or known[-1])
            rows = session.scalars(select(Cell).where(Cell.run_id == run.id).order_by(Cell.id))
            cells = tuple(self._cell_record(session, row) for row in rows)
            return RunRecord(
                id=run.id,
                status=run.status,  # type: ignore[arg-type]  # the column holds what finish_run took
                started_at=run.started_at,
                finished_at=run.finished_at,
                matrix=run.matrix,
                command=run.command,
                seed=run.seed,
                require_targets=run.require_targets,
                on_missing_device=run.on_missing_device,
                version=run.version,
                cells=cells,
            )

    def _cell_record(self, session: Session, row: Cell, *, trials: bool = True) -> CellRecord:
        return CellRecord(
            id=row.id,
            run_id=row.run_id,
            model=row.model,
            device=row.device,
            status=row.status,  # type: ignore[arg-type]  # the column holds what finish_cell took
            method=row.method,  # type: ignore[arg-type]  # the column holds what start_cell took
            params=OptimizerParams.model_validate(row.params),
            error=None if row.error is None else _ERROR.validate_python(row.error),
            reference=None if row.reference is None else _REFERENCE.validate_python(row.reference),
            calibration_seconds=row.calibration_seconds,
            sensitivity=row.sensitivity or {},
            workers=tuple(_WORKER.validate_python(worker) for worker in row.workers or ()),
            final=None if row.final is None else _FINAL.validate_python(row.final),
            trials=tuple(self._trials(session, row)) if trials else (),
            gate=row.gate,
            references=tuple(_POINT.validate_python(point) for point in row.references or ()),
        )

    @staticmethod
    def _trials(session: Session, cell: Cell) -> list[Trial]:
        chain = [cell.id]
        before = cell.continues
        while before is not None:
            chain.append(before)
            before = session.get_one(Cell, before).continues
        query = select(TrialRow.trial).where(TrialRow.cell_id.in_(chain)).order_by(TrialRow.number)
        return [_TRIAL.validate_python(row) for row in session.scalars(query)]

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        try:
            with Session(self._engine) as session, session.begin():
                yield session
        except SQLAlchemyError as error:
            raise errors.store_write_failed(self.url, str(error).splitlines()[0]) from error


def _plain(adapter: TypeAdapter[Value], value: Value) -> dict[str, Any]:
    plain: dict[str, Any] = adapter.dump_python(value, mode="json")
    return plain


def _to_bytes(values: NDArray[np.float64]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()
