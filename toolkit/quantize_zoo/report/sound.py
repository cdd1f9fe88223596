"""Cells that can be reported: what cannot be made of one cell takes nothing from the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quantize_zoo import errors
from quantize_zoo.gate import failed_report
from quantize_zoo.report.benchmark_json import render_benchmark
from quantize_zoo.report.github import workflow_commands
from quantize_zoo.report.html import render_cell, render_index
from quantize_zoo.report.json_document import render_json
from quantize_zoo.report.junit import render_junit
from quantize_zoo.report.markdown import render_markdown
from quantize_zoo.report.run_report import CellReport, RunReport, bare_report, described
from quantize_zoo.store import ErrorRecord

_DOCUMENTS = (render_index, render_json, render_benchmark, render_junit, render_markdown, workflow_commands)


def sound_cells(report: RunReport) -> Iterator[tuple[CellReport, bytes]]:
    """Give each cell as every format can show it, and its page in UTF-8.

    A cell that raises something is a failed one that says so: without its charts, and if that is not enough, without
    anything but its name.
    """
    return (_sound(report, cell) for cell in report.cells)


def _sound(report: RunReport, cell: CellReport) -> tuple[CellReport, bytes]:
    try:
        return cell, _page(report, cell)
    except Exception as error:  # whatever it is, it is of this cell only
        problem = errors.cell_unreportable("the page", *described(error))
    told = ErrorRecord(problem.what, problem.where, problem.remedy)
    verdict = failed_report(cell.verdict, problem.what)
    undrawn = replace(cell, record=replace(cell.record, error=told), verdict=verdict, drawn=False)
    try:
        return undrawn, _page(report, undrawn)
    except Exception as error:  # so it was not the charts
        problem = errors.cell_unreportable("the report", *described(error))
    bare = bare_report(cell.record, cell.verdict, problem)
    return bare, _page(report, bare)


def _page(report: RunReport, cell: CellReport) -> bytes:
    """Return the cell's page, and make all documents of it alone, to see whether that can be done."""
    alone = replace(report, cells=(cell,), absent=())
    for render in _DOCUMENTS:
        render(alone)
    return render_cell(report, cell).encode()
