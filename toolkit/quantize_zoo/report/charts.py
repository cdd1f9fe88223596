"""The charts of a cell, by Bokeh: its script ships in its Python package, so that the page needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import bokeh
from bokeh.embed import components
from bokeh.models import ColumnDataSource, HoverTool, NumeralTickFormatter
from bokeh.models.annotations import Span
from bokeh.plotting import figure

from quantize_zoo.report.run_report import CellReport
from quantize_zoo.search import Trial, meets_accuracy, relative_accuracy_loss

SCRIPT_NAME = f"bokeh-{bokeh.__version__}.min.js"
# Okabe and Ito's colour-blind safe palette; each group also has a marker of its own.
_TRIAL, _MISSED, _FRONT, _BEST, _OTHER = "#0072b2", "#999999", "#e69f00", "#d55e00", "#009e73"
_INK = "#7a7f87"  # readable on the light and on the dark page
_RATIO = "latency: FP32 time / INT8 time"


def script_source() -> Path:
    """Return Bokeh's own script in its package."""
    return Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"


def cell_charts(cell: CellReport) -> tuple[str, dict[str, str]]:
    """Return the script element and the placeholder elements by chart name; nothing without a measured latency."""
    if not any(trial.score and trial.score.latency_ratio for trial in cell.record.trials):
        return "", {}
    script, divs = components({"scatter": _scatter(cell), "history": _history(cell)})
    return script, divs


def _scatter(cell: CellReport) -> Any:
    params = cell.record.params
    plot = _figure(_RATIO, "accuracy loss (%)", "Accuracy loss and latency of all trials")
    measured = {trial.number: trial for trial in cell.record.trials if trial.score and trial.reused_from is None}
    accurate = [
        trial for trial in measured.values() if trial.score and meets_accuracy(trial.score.accuracy_loss, params)
    ]
    inaccurate = [trial for trial in measured.values() if trial not in accurate]
    front = [measured[number] for number in cell.pareto]
    best = [cell.best] if cell.best else []
    marks = [
        plot.scatter(source=_source(accurate), size=8, color=_TRIAL, alpha=0.7, legend_label="within target"),
        plot.scatter(source=_source(inaccurate), size=8, color=_MISSED, marker="x", legend_label="too inaccurate"),
        plot.scatter(source=_source(best), size=16, color=_BEST, marker="star", legend_label="best"),
    ]
    plot.line(source=_source(front), color=_FRONT, width=2, legend_label="Pareto front")
    reference = cell.record.reference
    if cell.record.references and reference is not None:
        others = {
            "x": [point.latency.ratio.value for point in cell.record.references if point.latency],
            "y": [
                100
                * relative_accuracy_loss(
                    reference.accuracy.value, point.accuracy.value, higher_is_better=reference.higher_is_better
                )
                for point in cell.record.references
                if point.latency
            ],
        }
        plot.scatter(
            "x", "y", source=ColumnDataSource(others), size=12, color=_OTHER, marker="diamond",
            legend_label=", ".join(point.name for point in cell.record.references),
        )  # fmt: skip
    plot.add_layout(_target("width", params.accuracy_loss))
    plot.add_layout(_target("height", params.latency_reduce))
    return _finish(plot, marks)


def _history(cell: CellReport) -> Any:
    plot = _figure("trial", _RATIO, "Trial by trial, and the best so far")
    scores = {trial.number: trial.score for trial in cell.record.trials if trial.score}
    trials = [trial for trial in cell.record.trials if trial.number in scores]
    marks = plot.scatter("number", "x", source=_source(trials), size=7, color=_TRIAL, alpha=0.7, legend_label="trial")
    steps = [(number, scores[best].latency_ratio) for number, best in enumerate(cell.best_so_far) if best in scores]
    numbers, ratios = [number for number, _ in steps], [ratio for _, ratio in steps]
    plot.step(numbers, ratios, mode="after", color=_BEST, width=2, legend_label="best so far")
    plot.add_layout(_target("width", cell.record.params.latency_reduce))
    return _finish(plot, [marks])


def _figure(x_label: str, y_label: str, title: str) -> Any:
    plot: Any = figure(height=340, sizing_mode="stretch_width", title=title, toolbar_location=None, tools="")
    plot.title.text_color = _INK
    plot.xaxis.axis_label, plot.yaxis.axis_label = x_label, y_label
    plot.yaxis.formatter = NumeralTickFormatter(format="0.00")
    plot.background_fill_alpha = plot.border_fill_alpha = plot.outline_line_alpha = 0
    plot.grid.grid_line_color, plot.grid.grid_line_alpha = _INK, 0.2
    for axis in plot.axis:
        axis.axis_label_text_color = axis.major_label_text_color = axis.axis_line_color = _INK
        axis.major_tick_line_color, axis.minor_tick_line_color = _INK, None
    return plot


def _target(dimension: Literal["width", "height"], value: float) -> Any:
    return Span(location=value, dimension=dimension, line_color=_INK, line_dash="dashed")


def _finish(plot: Any, marks: list[Any]) -> Any:
    """Put the legend below, where it hides no trial, and let the marks tell their trial on hover."""
    legend = plot.legend[0]
    legend.orientation, legend.label_text_color = "horizontal", _INK
    legend.background_fill_alpha = legend.border_line_alpha = 0
    legend.label_text_font_size, legend.spacing, legend.margin = "11px", 6, 2
    plot.add_layout(legend, "below")
    lines = [
        ("trial", "@number"),
        ("accuracy loss", "@y{0.00} %"),
        ("FP32 / INT8", "@x{0.000}"),
        ("quantized", "@quantized{0} %"),
    ]
    plot.add_tools(HoverTool(renderers=marks, tooltips=lines))
    return plot


def _source(trials: list[Trial]) -> Any:
    """Columns x (latency ratio), y (accuracy loss in percent), the trial's number and what share is quantized."""
    scored = [(trial.number, trial.score) for trial in trials if trial.score]
    columns = {
        "number": [number for number, _ in scored],
        "x": [score.latency_ratio for _, score in scored],
        "y": [100 * score.accuracy_loss for _, score in scored],
        "quantized": [100 * score.quantization_ratio for _, score in scored],
    }
    return ColumnDataSource(columns)
