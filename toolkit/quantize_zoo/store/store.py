"""Reading and writing the store."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from quantize_zoo import __version__, errors
from quantize_zoo.exports import Later
from quantize_zoo.store.adapters import finite, plain, read
from quantize_zoo.store.chains import HAS_TRIALS
from quantize_zoo.store.contents import content_id, content_of
from quantize_zoo.store.database import (
    checkpoint,
    first_line,
    for_writing,
    is_read_only,
    is_sqlite,
    open_database,
    vacuum,
)
from quantize_zoo.store.digits import in_digits
from quantize_zoo.store.layers import split_layers
from quantize_zoo.store.listing import ListedCell, listed_cells
from quantize_zoo.store.processes import ProcessIdentity, is_gone, this_process
from quantize_zoo.store.schema import BaselineRow, Cell, Run, TrialRow
from quantize_zoo.text.masks import mask_url, mask_urls

if TYPE_CHECKING:
    from quantize_zoo.config import OptimizerParams, TrialsLoadMethod
    from quantize_zoo.quantization import ModelOption
    from quantize_zoo.search import Survey, Trial
    from quantize_zoo.store import options, pruning, records, values
    from quantize_zoo.store.pruning import OldRuns
    from quantize_zoo.store.records import (
        Baseline,
        CellEnd,
        Elsewhere,
        ErrorRecord,
        Final,
        NightRecord,
        PastNight,
        Reference,
        ReferencePoint,
        Repository,
        RunPlan,
        RunRecord,
        RunStatus,
        StoredBaseline,
        StoredSearch,
        WorkerUse,
    )
else:  # they know all records, whose types are of nearly every package; a list of trials needs none
    options, pruning = Later("quantize_zoo.store.options"), Later("quantize_zoo.store.pruning")
    records, values = Later("quantize_zoo.store.records"), Later("quantize_zoo.store.values")


class Store:
    """The trial store behind a database URL, SQLite's or PostgreSQL's.

    What it guarantees:

    - Every method is one transaction: a process that is killed at any moment leaves what its finished calls stored, and
      nothing in halves. So does a power failure, which on SQLite may take calls since the last end of a cell or run.
    - Several processes may use a store at once, and several threads a ``Store``; who writes waits for the others.
    - What is finished stays finished: ``end_cell`` takes neither status nor best model from a cell that is ``done``.
    - A run is ``running`` only while its process lives. Opening a store marks runs whose process is certainly gone, and
      their cells, as ``interrupted``. A run whose process cannot be seen from here, because it is another machine's (on
      PostgreSQL) or another container's, is left alone. A run that has ended has no running cells.
    - At the end of a cell and of a run, all of it is in the database's file itself, not in a log beside it, unless
      another program reads meanwhile.
    - Times are aware and in UTC.
    - What is stored can be read again and is valid JSON: a figure that is not a finite number is null, and refused
      where there must be one.
    - No password of a URL is stored, or stands in ``url`` or in an error.

    All methods raise a ``CellError`` when the store cannot be written, and a ``ConfigurationError`` when it cannot be
    read: what is in it is not what was stored, or another program holds it.

    Args:
        url: SQLAlchemy's.
        new: whether the database is made where there is none.

    Raises:
        ConfigurationError: the database cannot be opened, is another program's, too new, or not there.

    """

    def __init__(self, url: str, *, new: bool = True) -> None:
        self.url = mask_url(url)
        self._secret_url = url
        self._engine = open_database(url, new=new)
        # SQLite removes its log when the last connection is closed: also of a store that nobody closes.
        self._close = weakref.finalize(self, self._engine.dispose)
        self._writing = for_writing(self._engine)
        self._bases: dict[int, ModelOption] = {}  # of cells that this process runs
        self._end_dead_runs()

    def close(self) -> None:
        """Close the database."""
        self._close()

    def start_run(
        self,
        run_id: str,
        *,
        matrix: str,
        command: str,
        seed: int,
        require_targets: bool,
        on_missing_device: str,
        plan: RunPlan | None = None,
        repository: Repository | None = None,
    ) -> None:
        """Begin a run of this process."""
        with self._write() as session:
            session.add(
                Run(
                    id=run_id,
                    status="running",
                    started_at=_now(),
                    matrix=matrix,
                    command=mask_urls(command),
                    seed=seed,
                    require_targets=require_targets,
                    on_missing_device=on_missing_device,
                    version=__version__,
                    process=plain(values.PROCESS, this_process()),
                    plan=None if plan is None else plain(values.PLAN, plan),
                    repository=None if repository is None else plain(values.REPOSITORY, repository),
                )
            )

    def finish_run(self, run_id: str, status: RunStatus) -> None:
        """End a run; cells of it that are still running are interrupted."""
        with self._write() as session:
            run = session.get_one(Run, run_id)
            run.status = status
            run.finished_at = _now()
            _interrupt_cells(session, run_id)
        checkpoint(self._engine)

    def start_cell(
        self, run_id: str, *, model: str, device: str, method: TrialsLoadMethod, params: OptimizerParams
    ) -> int:
        """Begin a cell and return its id."""
        with self._write() as session:
            cell = Cell(
                run_id=run_id,
                model=model,
                device=device,
                status="running",
                method=method,
                params=plain(values.PARAMS, params),
            )
            session.add(cell)
            session.flush()
            return cell.id

    def set_reference(self, cell_id: int, reference: Reference) -> None:
        """Keep what is known before the first trial."""
        content = plain(values.REFERENCE, reference)
        facts = {name: content.pop(name) for name in sorted(values.FACTS)}
        with self._write() as session:
            cell = session.get_one(Cell, cell_id)
            cell.reference, cell.facts_id = content, content_id(session, facts)
            cell.fp32 = reference.accuracy.value

    def set_continues(self, cell_id: int, before: int) -> None:
        """Let the cell's trials come after those of another cell."""
        with self._write() as session:
            cell = session.get_one(Cell, cell_id)
            cell.continues = before
            if cell.base_id is None:
                cell.base_id = session.scalar(select(Cell.base_id).where(Cell.id == before))

    def set_references(self, cell_id: int, points: Sequence[ReferencePoint]) -> None:
        """Keep the scores of other tools' models."""
        self._set(cell_id, references=[plain(values.POINT, point) for point in points])

    def set_calibration(self, cell_id: int, seconds: float, sensitivity: Mapping[str, float]) -> None:
        """Keep how long the statistics took, and what they say of the operations."""
        with self._write() as session:
            cell = session.get_one(Cell, cell_id)
            cell.calibration_seconds, cell.sensitivity_id = seconds, content_id(session, finite(sensitivity))

    def add_trial(self, cell_id: int, trial: Trial) -> None:
        """Keep a finished trial."""
        with self._write() as session:
            content = values.plain_trial(trial, self._base(session, cell_id, trial))
            session.add(TrialRow(cell_id=cell_id, number=trial.number, trial=content))

    def _base(self, session: Session, cell_id: int, trial: Trial) -> ModelOption:
        """Return the option that the cell's trials are stored against: that of the first."""
        if cell_id not in self._bases:
            cell = session.get_one(Cell, cell_id)
            if cell.base_id is None:
                cell.base_id = content_id(session, options.plain_option(trial.option))
            self._bases[cell_id] = values.base_option(session, cell.base_id, f"cell {cell_id}")
        return self._bases[cell_id]

    def set_method(self, cell_id: int, method: TrialsLoadMethod) -> None:
        """Keep that the search started otherwise than it was asked to."""
        self._set(cell_id, method=method)

    def set_search(self, cell_id: int, seconds: float, trials: int) -> None:
        """Keep how long the search took, and how many trials it made."""
        self._set(cell_id, search_seconds=seconds, search_trials=trials)

    def set_search_ended(self, cell_id: int, why: str) -> None:
        """Keep why the search ended before its limits: nothing was left to try, or nothing can pay."""
        self._set(cell_id, search_ended=why)

    def set_seconds(self, cell_id: int, seconds: float) -> None:
        """Keep how long the whole cell took."""
        self._set(cell_id, seconds=seconds)

    def set_final(self, cell_id: int, final: Final | None, option_hash: str | None = None) -> None:
        """Keep the best model, None if the search found none: the cell is done, and stays so.

        ``option_hash`` is that of the best.
        """
        holdout = None if final is None else final.holdout
        latency = None if final is None else final.latency
        told, names = (None, None) if final is None else split_layers(in_digits(plain(values.FINAL, final)))
        with self._write() as session:
            cell = session.get_one(Cell, cell_id)
            cell.status, cell.final, cell.best_option = "done", told, option_hash
            cell.layers_id = None if names is None else content_id(session, names)
            cell.best = None if final is None else final.trial
            cell.holdout = None if holdout is None else holdout.int8.value
            cell.speedup = None if latency is None else latency.ratio.value
        self._bases.pop(cell_id, None)
        checkpoint(self._engine)

    def set_portability(self, cell_id: int, environments: Sequence[Elsewhere]) -> None:
        """Keep what the best model of a cell is in other environments."""
        with self._write() as session:
            cell = session.get_one(Cell, cell_id)
            assert cell.final is not None, "there is a best model"
            told = [plain(values.ELSEWHERE, each) for each in environments]
            cell.final = {**cell.final, "portability": told}

    def end_cell(self, cell_id: int, status: CellEnd, error: ErrorRecord | None = None) -> None:
        """End a cell that is not done; one that is done stays as it is."""
        told = None if error is None else plain(values.ERROR, error)
        ended = {"status": status, "error": told and {name: mask_urls(text) for name, text in told.items()}}
        with self._write() as session:
            session.execute(update(Cell).where(Cell.id == cell_id, Cell.status != "done").values(ended))
        self._bases.pop(cell_id, None)
        checkpoint(self._engine)

    def set_workers(self, cell_id: int, workers: Sequence[WorkerUse]) -> None:
        """Keep who worked at a cell."""
        self._set(cell_id, workers=[plain(values.WORKER, worker) for worker in workers])

    def set_gate(self, cell_id: int, gate: dict[str, Any], status: str) -> None:
        """Keep what the comparison with the baseline found, and that in one word."""
        self._set(cell_id, gate=plain(values.OBJECT, gate), gate_status=status)

    def add_baseline(self, baseline: Baseline) -> None:
        """Accept a cell; what was its baseline before is history."""
        self.add_baselines([baseline])

    def add_baselines(self, baselines: Sequence[Baseline]) -> None:
        """Accept cells together: all of them, or none."""
        rows = [
            BaselineRow(
                model=baseline.model,
                device=baseline.device,
                accepted_at=_now(),
                content=values.plain_baseline(baseline),
            )
            for baseline in baselines
        ]
        with self._write() as session:
            session.add_all(rows)

    def drop_baseline(self, baseline_id: int) -> None:
        """Drop a baseline; it stays in the history."""
        with self._write() as session:
            session.get_one(BaselineRow, baseline_id).dropped_at = _now()

    def baselines(self, *, history: bool = False) -> list[StoredBaseline]:
        """Return each cell's baseline by name, or all that there ever were, the newest last."""
        query = select(BaselineRow).order_by(BaselineRow.id)
        if not history:
            newest = select(func.max(BaselineRow.id)).group_by(BaselineRow.model, BaselineRow.device)
            query = query.where(BaselineRow.id.in_(newest))
        with self._read() as session:
            rows = [values.baseline_record(row) for row in session.scalars(query)]
        return rows if history else records.current_baselines(rows)

    def baselines_by_id(self, ids: Collection[int]) -> list[StoredBaseline]:
        """Return the baselines of these ids that there are, whether they hold or not."""
        with self._read() as session:
            rows = session.scalars(select(BaselineRow).where(BaselineRow.id.in_(ids)).order_by(BaselineRow.id))
            return [values.baseline_record(row) for row in rows]

    def nights(self, model: str, device: str, until: str, most: int) -> list[NightRecord]:
        """Return the last finished cells of all runs up to this one that have a best model, the oldest first."""
        query = select(Cell.run_id, Cell.fp32, Cell.holdout, Cell.speedup, Cell.gate_status)
        with self._read() as session:
            query = _history(query, model, device, until).where(Cell.best.is_not(None), Cell.fp32.is_not(None))
            return values.night_records(session.execute(query.limit(most)).all())[::-1]

    def past_nights(self, most: int, cell: tuple[str, str] | None = None) -> dict[tuple[str, str], list[PastNight]]:
        """Return the last nights in which a cell ended, the newest first, by its model and device; of one or of all."""
        age = func.row_number().over(partition_by=(Cell.model, Cell.device), order_by=Cell.id.desc()).label("age")
        figures = (Cell.seconds, Cell.search_seconds, Cell.search_trials, Cell.method, Cell.best_option, Cell.speedup)
        query = select(Cell.model, Cell.device, *figures, Cell.search_ended, Cell.status, Cell.gate_status, age)
        query = query.where(Cell.status.in_(("done", "failed", "unavailable")), Cell.seconds.is_not(None))
        if cell is not None:
            query = query.where(Cell.model == cell[0], Cell.device == cell[1])
        ended = query.subquery()
        with self._read() as session:
            rows = session.execute(select(ended).where(ended.c.age <= most).order_by(ended.c.age)).all()
        return values.past_nights(rows)

    def stored_trials(self, model: str, device: str) -> int:
        """Return how many trials the last search of a cell has, with those that it goes on from: numbers begin at 0."""
        searched = (Cell.model == model, Cell.device == device, Cell.method != "eval", HAS_TRIALS)
        last = select(Cell.id).where(*searched).order_by(Cell.id.desc()).limit(1).scalar_subquery()
        with self._read() as session:
            number = session.scalar(select(func.max(TrialRow.number)).where(TrialRow.cell_id == last))
            return 0 if number is None else number + 1

    def runs_that_were(self, statuses: Collection[str], model: str, device: str, until: str) -> list[str]:
        """Return the runs up to this one in which a cell was one of these against its baseline, the newest first."""
        with self._read() as session:
            query = _history(select(Cell.run_id), model, device, until).where(Cell.gate_status.in_(statuses))
            return list(session.scalars(query))

    def last_gate(self, model: str, device: str, until: str) -> tuple[str, dict[str, Any]] | None:
        """Return the last run up to this one in which a cell was held against a baseline, and what was found."""
        with self._read() as session:
            query = _history(select(Cell.id), model, device, until).where(Cell.gate_status.is_not(None)).limit(1)
            found = session.execute(select(Cell.id, Cell.run_id, Cell.gate).where(Cell.id.in_(query))).one_or_none()
            return None if found is None else (found.run_id, read(values.OBJECT, found.gate, f"cell {found.id}.gate"))

    def searches(
        self, model: str, device: str, fits: Callable[[Mapping[str, str]], bool] = lambda _: True
    ) -> list[StoredSearch]:
        """Return the searches of a cell that have trials and fit by identity, newest first, to the last cold start.

        The newest of all comes first, whether it fits or not.
        """
        query = select(Cell.id, Cell.method, Cell.facts_id, Cell.best, HAS_TRIALS.label("has_trials"), Cell.continues)
        query = query.where(Cell.model == model, Cell.device == device, Cell.method != "eval").order_by(Cell.id.desc())
        found: list[StoredSearch] = []
        facts: dict[int, Any] = {}  # night after night the same ones
        with self._read() as session:
            for row in session.execute(query):
                if row.facts_id is None:
                    continue
                if row.facts_id not in facts:
                    facts[row.facts_id] = content_of(session, row.facts_id, f"cell {row.id}.reference")
                fact = facts[row.facts_id]
                identity = fact.get("identity") if isinstance(fact, dict) else None
                if not isinstance(identity, dict) or (found and not fits(identity)):
                    continue
                if not row.has_trials and (row.continues is None or not values.trials_of(session, row.id)):
                    continue
                found.append(records.StoredSearch(row.id, row.method, identity, row.best))
                if row.method == "cold_start" and fits(identity):
                    break
        return found

    def trials(self, cell_id: int) -> tuple[Trial, ...]:
        """Return the trials of a cell, after those of the cells that it goes on from."""
        with self._read() as session:
            return tuple(values.trials_of(session, cell_id))

    def listed_trials(self, run_id: str | None = None) -> list[ListedCell]:
        """Return what a list shows of a run's trials, of the newest run by default; raises as ``load_run``."""
        with self._read() as session:
            return list(listed_cells(session, self._known_run(session, run_id)))

    def survey(self, cell_id: int) -> Survey | None:
        """Return the newest survey of a cell and those that it goes on from; None if there is none."""
        with self._read() as session:
            return values.survey_of(session, cell_id)

    def trial(self, cell_id: int, number: int) -> Trial:
        """Return one trial of a cell, or of those that it goes on from."""
        with self._read() as session:
            for found in values.trials_of(session, cell_id, number):
                return found
            raise ValueError(f"cell {cell_id} has no trial {number}")

    def old_runs(self, nights: int, kept: Collection[str]) -> OldRuns:
        """Return what is older than so many of the newest nights, and neither kept nor needed; see ``pruning``."""
        with self._read() as session:
            return pruning.old_runs(session, nights, kept)

    def delete_runs(self, runs: Sequence[str]) -> None:
        """Delete runs by their ids; trials of a cell that goes stay with the cells that go on from it."""
        with self._write() as session:
            pruning.delete_runs(session, runs)

    def vacuum(self) -> None:
        """Give the disk back what was deleted, unless another program holds the store."""
        vacuum(self._engine)

    def newest_run(self) -> str | None:
        """Return the id of the run that was started last."""
        with self._read() as session:
            return session.scalar(select(Run.id).order_by(Run.started_at.desc()).limit(1))

    def repositories(self) -> dict[str, Repository]:
        """Return what the matrices of runs lay in, by the run's id."""
        with self._read() as session:
            rows = session.execute(select(Run.id, Run.repository)).all()
            return {
                row.id: read(values.REPOSITORY, row.repository, f"run {row.id}.repository")
                for row in rows
                if row.repository
            }

    def load_run(self, run_id: str | None = None) -> RunRecord:
        """Return a run, the newest by default.

        Raises:
            ConfigurationError: there is no such run.

        """
        with self._read() as session:
            return values.run_record(session, session.get_one(Run, self._known_run(session, run_id)))

    def _known_run(self, session: Session, run_id: str | None) -> str:
        query = select(Run.id).where(Run.id.is_not(None)).order_by(Run.started_at)  # SQLite takes a key of NULL
        known = list(session.scalars(query))
        if not known:
            raise errors.no_runs(self.url)
        if run_id is not None and run_id not in known:
            raise errors.unknown_run(run_id, known)
        return run_id or known[-1]

    def _set(self, cell_id: int, **columns: object) -> None:
        with self._write() as session:
            cell = session.get_one(Cell, cell_id)
            for name, value in columns.items():
                setattr(cell, name, value)

    def _end_dead_runs(self) -> None:
        """Mark runs as interrupted whose process is gone; one without a process is of a release that kept none."""
        one_machine = is_sqlite(self._engine.url)
        with self._read() as session:
            running = session.execute(select(Run.id, Run.process).where(Run.status == "running")).all()
            dead = [
                run.id
                for run in running
                if run.process is None or is_gone(_process(run.id, run.process), one_machine=one_machine)
            ]
        if not dead or is_read_only(self._engine.url):
            return
        with _transaction(self._writing, self._secret_url, errors.store_unusable) as session:
            for run_id in dead:
                session.execute(
                    update(Run).where(Run.id == run_id, Run.status == "running").values(status="interrupted")
                )
                _interrupt_cells(session, run_id)

    def _write(self) -> AbstractContextManager[Session]:
        return _transaction(self._writing, self._secret_url, errors.store_write_failed)

    def _read(self) -> AbstractContextManager[Session]:
        return _transaction(self._engine, self._secret_url, errors.store_read_failed)


def _history(query: Any, model: str, device: str, until: str) -> Any:
    """Ask for a cell's nights up to a run, the newest first; the index of nights is in this order."""
    started = select(Run.started_at).where(Run.id == until).scalar_subquery()
    query = query.join(Run, Cell.run_id == Run.id).where(Run.started_at <= started)
    query = query.where(Cell.model == model, Cell.device == device, Cell.status == "done")
    return query.order_by(Cell.id.desc())


@contextmanager
def _transaction(engine: Engine, url: str, failed: Callable[[str, str], errors.QuantizeZooError]) -> Iterator[Session]:
    """Begin and end a session; what its database or what is stored there raises is told as an error of the store."""
    try:
        with Session(engine) as session, session.begin():
            yield session
    # What is stored may have any type and any text: readers of numbers, times and JSON raise the others.
    except (SQLAlchemyError, sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        raise failed(url, first_line(error)) from error


def _process(run_id: str, value: object) -> ProcessIdentity:
    return read(values.PROCESS, value, f"run {run_id}.process")


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _interrupt_cells(session: Session, run_id: str) -> None:
    session.execute(update(Cell).where(Cell.run_id == run_id, Cell.status == "running").values(status="interrupted"))
