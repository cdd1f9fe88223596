"""Write all reports of a run into its folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from quantize_zoo import errors
from quantize_zoo.report.benchmark_json import render_benchmark
from quantize_zoo.report.charts import SCRIPT_NAME
from quantize_zoo.report.drawing import bokeh_script
from quantize_zoo.report.html import OVERVIEW_SCRIPT, overview_script, page_path, render_index
from quantize_zoo.report.json_document import json_parts
from quantize_zoo.report.junit import render_junit
from quantize_zoo.report.markdown import render_markdown
from quantize_zoo.report.run_report import CellReport, RunReport
from quantize_zoo.report.sound import sound_cells
from quantize_zoo.terms import LATEST
from quantize_zoo.text.files import copy_draft, drafts_for, place, point, write_draft

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


def write_reports(report: RunReport, folder: Path, *, newest: bool) -> RunReport:
    """Write the pages and documents, point ``latest`` to them if they are the newest, append the summary for GitHub.

    All files appear at once, or none does. Returned is the report as it was written: a cell that could not be reported
    is a failed one there.

    Raises:
        CellError: the folder cannot be written.

    """
    try:
        with drafts_for(folder) as drafts:
            cells: list[CellReport] = []
            for cell, page in sound_cells(report):  # a run of hundreds of cells has too many pages to be held
                write_draft(drafts, page_path(cell), page)
                cells.append(cell)
            report = replace(report, cells=tuple(cells))
            summary = render_markdown(report)
            documents: dict[str, str | Path | Iterable[str]] = {
                f"assets/{SCRIPT_NAME}": bokeh_script(),
                f"assets/{OVERVIEW_SCRIPT}": overview_script(),
                "results.json": json_parts(report),
                "benchmark.json": render_benchmark(report),
                "junit.xml": render_junit(report),
                "summary.md": summary,
                "index.html": render_index(report),  # the last one: where it is, what it leads to is there
            }
            for name, content in documents.items():
                if isinstance(content, Path):
                    copy_draft(drafts, name, content, folder.parent / LATEST / name)
                else:
                    write_draft(drafts, name, content)
            place(drafts, folder, [*map(page_path, cells), *documents])
        if newest:
            point(folder.parent / LATEST, folder.name)
        if newest and (path := os.environ.get(SUMMARY_VARIABLE)):
            with Path(path).open("a", encoding="utf-8") as stream:
                stream.write(summary)
    except OSError as error:
        raise errors.reports_not_written(folder, str(error)) from error
    return report
