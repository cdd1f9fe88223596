"""Comparing two model files, or the models of two runs, outside a night."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.cell import Cell
from quantize_zoo.cell.session import CellSession
from quantize_zoo.config import GateConfig, MatrixConfig, is_on
from quantize_zoo.engines import LocalEngine
from quantize_zoo.engines.fetching import fetch
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import OF_A_PAIR, Check, GateResult, check_level, checks_a_cell
from quantize_zoo.gate.comparison import Terms
from quantize_zoo.gate.files import FilesRequest
from quantize_zoo.graph import read_model, require_model
from quantize_zoo.matrix.baselines import baseline_content, require_unchanged
from quantize_zoo.matrix.expansion import expand
from quantize_zoo.matrix.stand_ins import as_run_here
from quantize_zoo.store import CellRecord, RunRecord, StoredBaseline
from quantize_zoo.text.paths import is_file

_File = tuple[Path, list[ov.PartialShape]]  # a model file, and the shapes of its outputs


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
    """Return the pair of two files on each device of a matrix with one model.

    Raises:
        ConfigurationError: a file is not there or cannot be read, or their outputs are not those of one model.

    """
    for path, where in ((baseline, "BASE"), (candidate, "CANDIDATE")):
        if not is_file(path):
            raise errors.file_missing(path, where, beside=False)
        require_model(path, where)
    configured = [model.model for model in matrix.models if is_file(model.model)]
    first, second, *others = ((path, _outputs(path)) for path in (baseline, candidate, *configured))
    _require_alike(first, second)
    for other in others:  # whose shapes its YAML may change
        _require_as_many(other, first)
    return [Pair(as_run_here(cell, matrix), baseline, candidate) for cell in expand(matrix)]


def _outputs(path: Path) -> list[ov.PartialShape]:
    try:
        model = read_model(path)
    except QuantizeZooError as error:
        raise errors.not_ready(error.where, error.what, error.remedy) from error
    return [port.get_partial_shape() for port in model.outputs]


def _require_alike(first: _File, second: _File) -> None:
    """Refuse two files whose outputs, one after the other, cannot be the same."""
    _require_as_many(first, second)
    if not all(one.compatible(other) for one, other in zip(first[1], second[1], strict=True)):
        raise errors.other_outputs(*map(_shown, (first, second)))


def _require_as_many(first: _File, second: _File) -> None:
    if len(first[1]) != len(second[1]):
        raise errors.other_outputs(*map(_shown, (first, second)))


def _shown(file: _File) -> str:
    path, outputs = file
    return f"{path} has {', '.join(map(str, outputs))}"


def pairs_of_runs(baseline: RunRecord, candidate: RunRecord, matrix: MatrixConfig, reports: Path) -> list[Pair]:
    """Return the best models of the cells that both runs finished, on the data and devices of the candidate's matrix.

    Raises:
        ConfigurationError: the runs have no finished cell in common, or a model was changed since its run.

    """
    for run in (baseline, candidate):
        for cell in run.cells:
            if cell.final and is_file(reports / run.id / cell.final.model):
                require_unchanged(reports / run.id / cell.final.model, cell.final.model_hash)
    before = {cell.name: reports / baseline.id / cell.final.model for cell in baseline.cells if cell.final}
    pairs = [
        Pair(as_run_here(planned, matrix), before[cell.name], reports / candidate.id / cell.final.model)
        for cell in candidate.cells
        if cell.final and cell.name in before
        for planned in expand(matrix)
        if cell.model == planned.model.name and is_on(cell.device, planned.target.label)
    ]
    if not pairs:
        raise errors.nothing_in_common(baseline.id, candidate.id)
    return pairs


def compare_pairs(
    pairs: list[Pair], gate: GateConfig, engine: LocalEngine, folder: Path, models: Path, python: Path | None
) -> Iterator[Compared]:
    """Yield what each pair's comparison finds; one that fails does not stop the others.

    Logs, and pictures of samples whose answer changed, go into the folder; ``models`` has canonical FP32 models.
    """
    level = check_level(gate, sum(pair.cell.counts_as for pair in pairs), checks_a_cell(gate, OF_A_PAIR))
    for pair in pairs:
        terms = Terms(gate, level, folder)
        request = FilesRequest(pair.baseline.absolute(), pair.candidate.absolute(), terms, python)
        try:
            log = folder / "logs" / f"{pair.cell.key.slug}.log"
            with engine.start(fetch(pair.cell, models, log), log) as process:
                process.call(CellSession.prepare)
                checks = process.call(CellSession.compare_files, request)
        except QuantizeZooError as error:
            checks = (Check("model", "accuracy", pair.candidate.name, "failed", str(error)),)
        yield Compared(pair.cell.key.label, checks)


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
