"""Which OpenVINO release did a regression come with? The baseline's models under one release after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from quantize_zoo import errors
from quantize_zoo.cell import Cell
from quantize_zoo.cell.session import CellSession
from quantize_zoo.config import MatrixConfig
from quantize_zoo.engines import LocalEngine
from quantize_zoo.engines.fetching import fetch
from quantize_zoo.gate import Check
from quantize_zoo.gate.bisection import CheckName
from quantize_zoo.gate.comparison import Terms
from quantize_zoo.gate.releases import ReleasesRequest, releases_level
from quantize_zoo.matrix.baselines import baselines_folder, models_folder
from quantize_zoo.matrix.bisection import Bisection, Step, bisect_steps
from quantize_zoo.matrix.stand_ins import as_run_here
from quantize_zoo.scoring import Interpreters, Release, this_release
from quantize_zoo.store import StoredBaseline


def bisect_releases(
    matrix: MatrixConfig,
    cell: Cell,
    baseline: StoredBaseline,
    ends: tuple[str | None, str | None],
    reports: Path,
    folder: Path,
    tell: Callable[[str], None],
) -> Bisection:
    """Hold each release that is looked at against the first one, on the cell's data and device.

    Args:
        matrix: what names interpreters, and what the gate allows.
        cell: the cell, as the matrix has it.
        baseline: whose models are run.
        ends: the first and the last release; by default the baseline's and this interpreter's.
        reports: where models and baselines lie.
        folder: where the log and pictures of samples go.
        tell: is told what was found, step by step.

    Raises:
        QuantizeZooError: see ``Interpreters.between`` and ``bisect_steps``.

    """
    content = baseline.content
    first = ends[0] or _named(Release.find(content.reference.environment.openvino))
    last = ends[1] or _named(this_release())
    interpreters = Interpreters(runtime.python for runtime in matrix.runtimes)
    releases = interpreters.between(first, last)
    if interpreters.index_problem:
        tell(f"only releases at hand are looked at: {interpreters.index_problem}")
    steps = tuple(Step(str(release)) for release in releases)
    level = releases_level(matrix.gate, cell.counts_as)
    baselines, terms = baselines_folder(reports), Terms(matrix.gate, level, folder.absolute())
    engine = LocalEngine(reports / "statistics", reports / "inputs")
    log = folder / "logs" / f"{cell.key.slug}.log"
    led = as_run_here(cell, matrix)
    with engine.start(fetch(led, models_folder(reports), log), log) as process:
        process.call(CellSession.prepare)
        used: dict[Release, Path] = {}

        def look(position: int, wanted: frozenset[CheckName] | None) -> tuple[Check, ...]:
            python = used[releases[position]] = interpreters.python(releases[position])
            if position == 0:
                return ()  # what the others are held against
            request = ReleasesRequest(
                metric=content.metric,
                fp32=(baselines / content.fp32).absolute(),
                int8=(baselines / content.int8).absolute(),
                older=interpreters.python(releases[0]),
                newer=python,
                terms=terms,
                wanted=wanted,
            )
            return process.call(CellSession.compare_releases, request)

        found = bisect_steps(baseline.name, "openvino", steps, look, tell)
    return replace(found, steps=tuple(Step(str(release), str(used.get(release, ""))) for release in releases))


def _named(release: Release | None) -> str:
    if release is None:
        raise errors.no_start("OpenVINO release")
    return str(release)
