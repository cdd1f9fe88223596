"""Reports: pure functions of one ``RunReport``."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.report.benchmark_json import render_benchmark
    from quantize_zoo.report.bisection import (
        Origin,
        answer_line,
        render_bisection,
        render_bisection_json,
        write_bisection,
    )
    from quantize_zoo.report.cases import Case, cell_cases
    from quantize_zoo.report.github import workflow_commands
    from quantize_zoo.report.html import render_cell, render_index
    from quantize_zoo.report.json_document import render_json
    from quantize_zoo.report.junit import render_junit
    from quantize_zoo.report.markdown import render_markdown
    from quantize_zoo.report.run_report import CellReport, RunReport, make_run_report, report_of
    from quantize_zoo.report.write import write_reports
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "Case",
    "CellReport",
    "Origin",
    "RunReport",
    "answer_line",
    "cell_cases",
    "make_run_report",
    "render_benchmark",
    "render_bisection",
    "render_bisection_json",
    "render_cell",
    "render_index",
    "render_json",
    "render_junit",
    "render_markdown",
    "report_of",
    "workflow_commands",
    "write_bisection",
    "write_reports",
]
