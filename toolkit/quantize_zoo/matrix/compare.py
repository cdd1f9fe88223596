"""Comparing two model files, or the models of two runs, outside a night."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from quantize_zoo import errors
from quantize_zoo.cell import Cell
from quantize_zoo.config import GateConfig, MatrixConfig, without_cpu
from quantize_zoo.engines.protocol import Engine
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import Check, GateResult, check_level
from quantize_zoo.gate.holding import FilesRequest
from quantize_zoo.matrix.baselines import baseline_content
from quantize_zoo.matrix.expansion import expand
from quantize_zoo.store import CellRecord, RunRecord, StoredBaseline

_CHECKS = 2  # of a pair of models that can raise an alarm: accuracy and latency


@dataclass(frozen=True)
class Compared:
    """A pair of models of a cell, and what was found."""

    cell: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Pair:
    """Two model files and the cell whose data and device they are compared on."""

    cell: Cell
    baseline: Path
    candidate: Path


def pairs_of_files(matrix: MatrixConfig, baseline: Path, candidate: Path) -> list[Pair]:
    """Return the pair of two files on each device of a matrix with one model."""
    for path in (baseline, candidate):
        if not path.is_file():
            raise errors.file_missing(path, "compare")
    return [Pair(cell, baseline, candidate) for cell in expand(matrix)]


def pairs_of_runs(baseline: RunRecord, candidate: RunRecord, matrix: MatrixConfig, reports: Path) -> list[Pair]:
    """Return the best models of the cells that both runs finished, on the data and devices of the candidate's matrix.

    Raises:
        ConfigurationError: the runs have no finished cell in common.

    """
    cells = {cell.name: cell for cell in expand(matrix)}
    finals = [{cell.name: cell.final for cell in run.cells if cell.final} for run in (baseline, candidate)]
    common = [name for name in finals[1] if name in finals[0] and without_cpu(name) in cells]
    if not common:
        raise errors.nothing_in_common(baseline.id, candidate.id)
    before, now = reports / baseline.id, reports / candidate.id
    return [
        Pair(cells[without_cpu(name)], before / finals[0][name].model, now / finals[1][name].model) for name in common
    ]


def compare_pairs(
    pairs: list[Pair], gate: GateConfig, engine: Engine, folder: Path, python: Path | None
) -> Iterator[Compared]:
    """Yield what each pair's comparison finds; one that fails does not stop the others.

    Logs, and pictures of samples whose answer changed, go into the folder.
    """
    level = check_level(gate, len(pairs), _CHECKS)
    for pair in pairs:
        request = FilesRequest(pair.baseline.absolute(), pair.candidate.absolute(), folder, gate, level, python)
        try:
            with engine.open(pair.cell, folder / "logs" / f"{pair.cell.name}.log") as worker:
                worker.prepare()
                checks = worker.compare_files(request)
        except QuantizeZooError as error:
            checks = (Check("model", "accuracy", pair.candidate.name, "failed", str(error)),)
        yield Compared(pair.cell.name, checks)


def as_baselines(run: RunRecord) -> list[StoredBaseline]:
    """Return a run's finished cells as if they had been accepted, so that another run's report can name them."""
    return [
        StoredBaseline(cell.id, run.started_at, None, baseline_content(cell, cell.reference, cell.final))
        for cell in run.cells
        if cell.reference and cell.final
    ]


def with_comparison(
    run: RunRecord, baselines: Sequence[StoredBaseline], found: Sequence[Compared], folder: Path, reports: Path
) -> RunRecord:
    """Return the run, held against the cells of another one; its files are named as seen from the folder."""
    by_name = {baseline.name: baseline for baseline in baselines}
    checks = {compared.cell: compared.checks for compared in found}

    def held(cell: CellRecord) -> CellRecord:
        files = Path(os.path.relpath(reports / run.id, folder))
        final = cell.final and replace(cell.final, model=(files / cell.final.model).as_posix())
        gate = None
        if cell.name in checks:
            baseline = by_name[cell.name]
            gate = asdict(GateResult(baseline.id, baseline.accepted_at.isoformat(), checks[cell.name]))
        return replace(cell, final=final, gate=gate)

    return replace(run, cells=tuple(held(cell) for cell in run.cells))
