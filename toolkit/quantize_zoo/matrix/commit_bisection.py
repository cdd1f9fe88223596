"""Which commit did a regression come with? A night of the cell at one commit after another, each held by the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from quantize_zoo import errors
from quantize_zoo.cell import Cell
from quantize_zoo.config import MatrixConfig, is_on, load_matrix
from quantize_zoo.engines import LocalEngine
from quantize_zoo.gate import Check, GateResult
from quantize_zoo.gate.bisection import CheckName
from quantize_zoo.matrix.baselines import baselines_folder, models_folder
from quantize_zoo.matrix.bisection import Bisection, Step, bisect_steps
from quantize_zoo.matrix.expansion import expand
from quantize_zoo.matrix.night import run_in
from quantize_zoo.matrix.observer import RunObserver
from quantize_zoo.matrix.repository import Commit, commits_of_bisection, repository_of, work_tree
from quantize_zoo.store import Repository, RunRecord, Store, StoredBaseline
from quantize_zoo.zoo import complete_matrix

_GATE = TypeAdapter(GateResult)


@dataclass(frozen=True)
class CommitNights:
    """What nights of commits are run with.

    ``changes`` are parameters of the search that differ from what the commit's configuration says, ``finished`` is
    given each night with its store and its folder of reports.
    """

    baseline: StoredBaseline
    reports: Path
    folder: Path
    observer: RunObserver
    command: str
    seed: int
    changes: Mapping[str, Any]
    finished: Callable[[RunRecord, Store, Path], None]


def bisect_commits(
    matrix: MatrixConfig,
    cell: Cell,
    ends: tuple[str | None, str | None],
    started: Repository | None,
    nights: CommitNights,
    tell: Callable[[str], None],
) -> Bisection:
    """Run a night of the cell at each commit that is looked at, in a work tree and with a store of its own.

    Args:
        matrix: the matrix, which lies in a repository.
        cell: the cell, as the matrix has it.
        ends: the first and the last commit; by default that of the baseline's run, and HEAD.
        started: what the matrix of the baseline's run lay in, if that is known.
        nights: how nights are run.
        tell: is told what was found, step by step.

    Raises:
        QuantizeZooError: see ``commits_of_bisection`` and ``bisect_steps``.

    """
    repository = repository_of(matrix.source)
    if repository is None:
        raise errors.no_repository(matrix.source)
    first = ends[0] or (started.commit if started else None)
    if first is None:
        raise errors.no_start("commit")
    root = Path(repository.folder)
    commits = commits_of_bisection(root, first, ends[1] or "HEAD")
    place = matrix.source.resolve().relative_to(root.resolve())

    def look(position: int, _: frozenset[CheckName] | None) -> tuple[Check, ...]:
        with work_tree(root, commits[position]) as tree:
            return _night(tree / place, cell, commits[position], nights)

    steps = tuple(Step(*commit.line.partition(" ")[::2]) for commit in commits)
    return bisect_steps(nights.baseline.name, "git", steps, look, tell)


def limits_of(newest: RunRecord | None, planned: Cell) -> dict[str, Any]:
    """Return what the newest night's command line changed of a search's limits: a commit's night is to be as long.

    A night that only rebuilt the best has one trial, beside the baseline's configuration, which every night tries.
    """
    cells = newest.cells if newest else ()
    before = next((each for each in cells if is_on(each.name, planned.key.label)), None)
    if before is None:
        return {}
    if before.method == "eval":
        return {"max_trials": 1}
    now = planned.model.optimizer.params
    both = {name: (getattr(before.params, name), getattr(now, name)) for name in ("max_trials", "max_minutes")}
    return {name: then for name, (then, configured) in both.items() if then != configured}


def _night(matrix: Path, cell: Cell, commit: Commit, nights: CommitNights) -> tuple[Check, ...]:
    """Run the cell's night with the matrix of a commit; return what the gate found.

    Raises:
        QuantizeZooError: the commit's files are no such cell, or it failed.

    """
    loaded = load_matrix(matrix).select([cell.model.name], [cell.key.device_label])
    chosen = complete_matrix(loaded).with_optimizer({**nights.changes, "trials_load_method": "cold_start"})
    # The gate looks neither at other tools' models nor at other environments.
    chosen = chosen.model_copy(update={"references": (), "portability": False})
    (planned,) = expand(chosen)
    reports = _own_reports(commit, nights)
    store = Store(f"sqlite:///{reports / 'store.db'}")
    try:
        # Of a cluster the baseline's name may have a CPU model, which a night on this machine has not.
        store.add_baseline(replace(nights.baseline.content, device=planned.key.device_label))
        engine = LocalEngine(nights.reports / "statistics", nights.reports / "inputs")
        run = run_in(reports, chosen, engine, store, nights.observer, nights.command, nights.seed)
        nights.finished(run, store, reports)
    finally:
        store.close()
    return _checks(run)


def _own_reports(commit: Commit, nights: CommitNights) -> Path:
    """Make the folder of a night's reports, which shares models and baselines with the others."""
    name = commit.line.partition(" ")[0]
    tries = (nights.folder / "nights" / (f"{name}-{number}" if number else name) for number in range(1000))
    reports = next(each for each in tries if not each.exists())
    reports.mkdir(parents=True)
    for shared in (baselines_folder, models_folder):
        shared(nights.reports).mkdir(exist_ok=True)
        shared(reports).symlink_to(shared(nights.reports).resolve(), target_is_directory=True)
    return reports


def _checks(run: RunRecord) -> tuple[Check, ...]:
    if run.status == "interrupted":
        raise KeyboardInterrupt
    (cell,) = run.cells
    if cell.error is not None:
        raise errors.night_failed(cell.error.what, cell.error.where, cell.error.remedy)
    assert cell.gate is not None, "it is done, and has a baseline"
    return _GATE.validate_python(cell.gate).checks
