"""The charts of a cell, by Bokeh: its script ships in its Python package, so that the page needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bokeh
from bokeh.embed import components
from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter, Span
from bokeh.plotting import figure

from quantize_zoo.report.run_report import CellReport
from quantize_zoo.search import Trial, meets_accuracy

SCRIPT_NAME = f"bokeh-{bokeh.__version__}.min.js"
# Okabe and Ito's colour-blind safe palette; each group also has a marker of its own.
_COLOUR = {"trial": "#0072b2", "missed": "#999999", "front": "#e69f00", "best": "#d55e00"}
_INK = "#7a7f87"  # readable on the light and on the dark page


def script_source() -> Path:
    """Return Bokeh's own script in its package."""
    return Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"


def cell_charts(cell: CellReport) -> tuple[str, dict[str, str]]:
    """Return the script element and the placeholder elements by chart name; nothing without a measured trial."""
    if not any(trial.score for trial in cell.record.trials):
        return "", {}
    script, divs = components({"scatter": _scatter(cell), "history": _history(cell)})
    return script, divs


def _scatter(cell: CellReport) -> Any:
    plot = _figure("latency: FP32 time / INT8 time", "accuracy loss (%)", "Accuracy loss and latency of all trials")
    trials = [trial for trial in cell.record.trials if trial.score and trial.reused_from is None]
    valid = [trial for trial in trials if trial.score and meets_accuracy(trial.score.accuracy_loss, cell.record.params)]
    missed = [trial for trial in trials if trial not in valid]
    front = [trial for trial in trials if trial.number in cell.pareto]
    marks = [
        plot.scatter("x", "y", source=_source(valid), size=8, color=_COLOUR["trial"], alpha=0.7, legend_label="within target"),
        plot.scatter("x", "y", source=_source(missed), size=8, color=_COLOUR["missed"], marker="x", legend_label="too inaccurate"),
    ]  # fmt: skip
    plot.line("x", "y", source=_source(front), color=_COLOUR["front"], width=2, legend_label="Pareto front")
    if cell.best is not None:
        marks.append(
            plot.scatter("x", "y", source=_source([cell.best]), size=16, color=_COLOUR["best"], marker="star", legend_label="best")
        )  # fmt: skip
    for dimension, value in (("width", cell.record.params.accuracy_loss), ("height", cell.record.params.latency_reduce)):
        plot.add_layout(Span(location=value, dimension=dimension, line_color=_INK, line_dash="dashed"))
    plot.add_tools(_hover(marks))
    return plot


def _history(cell: CellReport) -> Any:
    plot = _figure("trial", "latency: FP32 time / INT8 time", "Trial by trial, and the best so far")
    trials = [trial for trial in cell.record.trials if trial.score]
    marks = plot.scatter("number", "x", source=_source(trials), size=7, color=_COLOUR["trial"], alpha=0.7, legend_label="trial")
    by_number = {trial.number: trial for trial in trials}
    best = [
        (number, by_number[best].score.latency_ratio)
        for number, best in enumerate(cell.best_so_far)
        if best in by_number
    ]
    plot.step([x for x, _ in best], [y for _, y in best], mode="after", color=_COLOUR["best"], width=2, legend_label="best so far")  # fmt: skip
    plot.add_layout(
        Span(location=cell.record.params.latency_reduce, dimension="width", line_color=_INK, line_dash="dashed")
    )
    plot.add_tools(_hover([marks]))
    return plot


def _figure(x_label: str, y_label: str, title: str) -> Any:
    plot = figure(height=320, sizing_mode="stretch_width", title=title, toolbar_location=None, tools="")
    plot.xaxis.axis_label, plot.yaxis.axis_label = x_label, y_label
    plot.yaxis.formatter = NumeralTickFormatter(format="0.00")
    plot.background_fill_alpha = plot.border_fill_alpha = plot.outline_line_alpha = 0
    plot.title.text_color = _INK
    plot.grid.grid_line_color, plot.grid.grid_line_alpha = _INK, 0.2
    for axis in plot.axis:
        axis.axis_label_text_color = axis.major_label_text_color = axis.axis_line_color = _INK
        axis.major_tick_line_color, axis.minor_tick_line_color = _INK, None
    return plot


def _source(trials: list[Trial]) -> Any:
    scored = [(trial, trial.score) for trial in trials if trial.score]
    return ColumnDataSource({
        "number": [trial.number for trial, _ in scored],
        "x": [score.latency_ratio for _, score in scored],
        "y": [100 * score.accuracy_loss for _, score in scored],
        "quantized": [100 * score.quantization_ratio for _, score in scored],
    })  # fmt: skip


def _hover(renderers: list[Any]) -> Any:
    lines = [
        ("trial", "@number"),
        ("accuracy loss", "@y{0.00} %"),
        ("FP32 / INT8", "@x{0.000}"),
        ("quantized", "@quantized{0} %"),
    ]
    return HoverTool(renderers=renderers, tooltips=lines)
