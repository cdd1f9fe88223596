"""Write all reports of a run into its folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from quantize_zoo import errors
from quantize_zoo.report import charts
from quantize_zoo.report.benchmark_json import render_benchmark
from quantize_zoo.report.html import OVERVIEW_SCRIPT, overview_script, page_name, render_cell, render_index
from quantize_zoo.report.json_document import render_json
from quantize_zoo.report.junit import render_junit
from quantize_zoo.report.markdown import render_markdown
from quantize_zoo.report.run_report import RunReport

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"


def write_reports(report: RunReport, folder: Path, *, newest: bool = True) -> None:
    """Write the pages and documents, point ``latest`` to them if they are the newest, append the summary for GitHub.

    Raises:
        ConfigurationError: the folder cannot be written.

    """
    summary = render_markdown(report)
    documents = {
        "index.html": render_index(report),
        **{f"cells/{page_name(cell)}": render_cell(report, cell) for cell in report.cells},
        "results.json": render_json(report),
        "benchmark.json": render_benchmark(report),
        "junit.xml": render_junit(report),
        "summary.md": summary,
        f"assets/{OVERVIEW_SCRIPT}": overview_script(),
    }
    try:
        for part in ("assets", "cells"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(charts.script_source(), folder / "assets" / charts.SCRIPT_NAME)
        for name, text in documents.items():
            _write_whole(folder / name, text)
        if newest:
            _point_latest(folder)
        if path := os.environ.get(SUMMARY_VARIABLE):
            with Path(path).open("a", encoding="utf-8") as stream:
                stream.write(summary)
    except OSError as error:
        raise errors.reports_unwritable(folder, str(error)) from error


def _write_whole(path: Path, text: str) -> None:
    """Write a file that is either the old one or the new one at any moment."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _point_latest(folder: Path) -> None:
    link = folder.parent / "latest"
    draft = folder.parent / ".latest.draft"
    draft.unlink(missing_ok=True)
    draft.symlink_to(folder.name, target_is_directory=True)
    draft.replace(link)
