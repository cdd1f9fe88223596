"""The charts of a cell, by Bokeh: its script ships in its Python package, so that the page needs no network.

Every chart's numbers stand in a table of the page too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from quantize_zoo.report.drawing import Chart, Columns, bokeh_version, embedded
from quantize_zoo.report.predictions import Predictions
from quantize_zoo.report.run_report import CellReport
from quantize_zoo.report.wording import is_number, layer_time
from quantize_zoo.scoring import LayerTime
from quantize_zoo.search import Trial, meets_accuracy, relative_accuracy_loss

SCRIPT_NAME = f"bokeh-{bokeh_version()}.min.js"
_ADDED = "/WithoutBiases"  # to the convolution of an operation whose bias is an operation of its own
_LONGEST_NAME = 48  # characters
DRAWN_LAYERS = 30  # the slowest; the table has all
# Okabe and Ito's colour-blind safe palette; each group also has a marker or a dash of its own.
_TRIAL, _MISSED, _FRONT, _BEST, _OTHER = "#0072b2", "#999999", "#e69f00", "#d55e00", "#009e73"
_FP32, _INT8 = _FRONT, _TRIAL
_INK = "#7a7f87"  # readable on the light and on the dark page
_RATIO = "latency: FP32 time / INT8 time"


def cell_charts(cell: CellReport) -> tuple[str, dict[str, str]]:
    """Return the script elements and the placeholder elements by chart name, of what has numbers."""
    charts: dict[str, Chart] = {}
    if any(trial.score and trial.score.latency_ratio for trial in _drawable(cell.record.trials)):
        charts |= {"scatter": _scatter(cell), "history": _history(cell)}
    if cell.predictions and cell.predictions.trials:
        charts |= dict(_predicted(cell.predictions))
    if cell.latency and cell.latency.distribution:
        charts["distribution"] = _distribution(cell.latency.distribution)
    if cell.record.final and cell.record.final.layers:
        charts["layers"] = _layers(slowest_layers(cell.record.final.layers))
    if sum(night.speedup is not None for night in cell.nights) > 1:
        charts["nights"] = _nights(cell)
    texts = {name: embedded(chart) for name, chart in charts.items()}
    return "".join(script for script, _ in texts.values()), {name: element for name, (_, element) in texts.items()}


def _drawable(trials: Iterable[Trial]) -> list[Trial]:
    """Return the trials that have a place in a plot: what is not a number has none."""
    return [
        trial
        for trial in trials
        if trial.score is not None
        and is_number(trial.score.accuracy_loss)
        and (trial.score.latency_ratio is None or is_number(trial.score.latency_ratio))
    ]


def slowest_layers(layers: tuple[LayerTime, ...]) -> list[LayerTime]:
    """Return the layers that are drawn, in their order."""
    chosen = sorted(layers, key=lambda layer: -max(layer.reference_us or 0, layer.candidate_us or 0))[:DRAWN_LAYERS]
    return [layer for layer in layers if layer in chosen]


def _scatter(cell: CellReport) -> Chart:
    params = cell.record.params
    measured = {trial.number: trial for trial in _drawable(cell.record.trials) if trial.reused_from is None}
    accurate = {
        number
        for number, trial in measured.items()
        if trial.score and meets_accuracy(trial.score.accuracy_loss, params)
    }
    columns: dict[str, Columns] = {
        "accurate": _columns(trial for number, trial in measured.items() if number in accurate),
        "inaccurate": _columns(trial for number, trial in measured.items() if number not in accurate),
        "best": _columns(_drawable([cell.best]) if cell.best else []),
        "front": _columns(measured[number] for number in cell.pareto if number in measured),
    }
    others = ""
    reference = cell.record.reference
    if cell.record.references and reference is not None:
        points = [point for point in cell.record.references if point.latency and is_number(point.latency.ratio.value)]
        columns["others"] = {
            "x": [point.latency.ratio.value for point in points if point.latency],
            "y": [
                100
                * relative_accuracy_loss(
                    reference.accuracy.value, point.accuracy.value, higher_is_better=reference.higher_is_better
                )
                for point in points
            ],
        }
        others = ", ".join(point.name for point in cell.record.references)
    return Chart(_draw_scatter, columns, (params.accuracy_loss, params.latency_reduce, others))


def _draw_scatter(sources: Mapping[str, Any], accuracy_loss: float, latency_reduce: float, others: str) -> Any:
    plot = _figure(_RATIO, "accuracy loss (%)")
    marks = [
        plot.scatter(source=sources["accurate"], size=8, color=_TRIAL, alpha=0.7, legend_label="within target"),
        plot.scatter(source=sources["inaccurate"], size=8, color=_MISSED, marker="x", legend_label="too inaccurate"),
        plot.scatter(source=sources["best"], size=16, color=_BEST, marker="star", legend_label="best"),
    ]
    plot.line(source=sources["front"], color=_FRONT, width=2, legend_label="Pareto front")
    if others:
        plot.scatter(source=sources["others"], size=12, color=_OTHER, marker="diamond", legend_label=others)
    plot.add_layout(_target("width", accuracy_loss))
    plot.add_layout(_target("height", latency_reduce))
    return _finish(plot, marks, _TRIAL_LINES)


def _predicted(found: Predictions) -> Iterator[tuple[str, Chart]]:
    """Yield what was predicted of trials against what was measured, of what are numbers."""
    columns: dict[str, list[tuple[Any, ...]]] = {
        "gain": [(each.trial, each.predicted_speedup, each.speedup) for each in found.trials],
        "loss": [(each.trial, each.output_change, 100 * each.accuracy_loss) for each in found.trials],
    }
    labels = {"gain": ("predicted FP32 time / INT8 time", _RATIO), "loss": ("predicted change", "accuracy loss (%)")}
    for name, rows in columns.items():
        drawn = [row for row in rows if all(each is not None and is_number(each) for each in row[1:])]
        if not drawn:
            continue
        numbers, predicted, measured = (list(column) for column in zip(*drawn, strict=True))
        trials = {"number": numbers, "x": predicted, "y": measured}
        yield f"predicted_{name}", Chart(_draw_predicted, {"trials": trials}, labels[name])


def _draw_predicted(sources: Mapping[str, Any], predicted: str, measured: str) -> Any:
    plot = _figure(predicted, measured)
    marks = plot.scatter("x", "y", source=sources["trials"], size=8, color=_TRIAL, alpha=0.7, legend_label="trial")
    lines = [("trial", "@number"), ("predicted", "@x{0.000000}"), ("measured", "@y{0.000}")]
    return _finish(plot, [marks], lines)


def _history(cell: CellReport) -> Chart:
    trials = _drawable(cell.record.trials)
    scores = {trial.number: trial.score for trial in trials if trial.score}
    ended = [trial.number for trial in cell.record.trials if trial.pruned is not None]
    # They have no latency: they stand at the foot of the plot.
    foot = min(score.latency_ratio or 0 for score in scores.values())
    steps = [(number, scores[best].latency_ratio) for number, best in enumerate(cell.best_so_far) if best in scores]
    columns: dict[str, Columns] = {
        "trials": _columns(trials),
        "ended": {"x": ended, "y": [foot] * len(ended)},
        "best": {"x": [number for number, _ in steps], "y": [ratio for _, ratio in steps]},
    }
    return Chart(_draw_history, columns, (cell.record.params.latency_reduce, bool(ended)))


def _draw_history(sources: Mapping[str, Any], latency_reduce: float, some_ended: bool) -> Any:
    plot = _figure("trial", _RATIO)
    marks = plot.scatter("number", "x", source=sources["trials"], size=7, color=_TRIAL, alpha=0.7, legend_label="trial")
    if some_ended:
        plot.scatter(
            source=sources["ended"], size=7, color=_MISSED, marker="inverted_triangle", legend_label="ended early"
        )
    plot.step(source=sources["best"], mode="after", color=_BEST, width=2, legend_label="best so far")
    plot.add_layout(_target("width", latency_reduce))
    return _finish(plot, [marks], _TRIAL_LINES)


def _distribution(distribution: tuple[tuple[float, float, float], ...]) -> Chart:
    shares, fp32, int8 = ([float(value) for value in column] for column in zip(*distribution, strict=True))
    columns = {"share": shares, "percent": [100 * share for share in shares], "fp32": fp32, "int8": int8}
    return Chart(_draw_distribution, {"inferences": columns})


def _draw_distribution(sources: Mapping[str, Any]) -> Any:
    plot = _figure("time of one inference (us)", "share of the inferences")
    source = sources["inferences"]
    marks = []
    for name, color, dash in (("fp32", _FP32, "dashed"), ("int8", _INT8, "solid")):
        plot.line(name, "share", source=source, color=color, width=2, line_dash=dash, legend_label=name.upper())
        marks.append(plot.scatter(name, "share", source=source, size=5, color=color, legend_label=name.upper()))
    lines = [("share", "@percent{0} %"), ("FP32", "@fp32{0.0} us"), ("INT8", "@int8{0.0} us")]
    return _finish(plot, marks, lines)


def _layers(layers: list[LayerTime]) -> Chart:
    # A name may be there only once on the axis; what has no room is cut, and whole in the tooltip and in the table.
    names = [f"{number + 1}. {short_name(layer.name)}" for number, layer in enumerate(layers)]
    columns: dict[str, Columns] = {
        "axis": {"names": names[::-1]},
        "layers": {
            "label": names,
            "name": [layer.name for layer in layers],
            "fp32": [layer.reference_us or 0.0 for layer in layers],
            "int8": [layer.candidate_us or 0.0 for layer in layers],
            "fp32_time": [_told(layer.reference_us) for layer in layers],
            "int8_time": [_told(layer.candidate_us) for layer in layers],
            "fp32_kernel": [layer.reference_kernel for layer in layers],
            "int8_kernel": [layer.candidate_kernel for layer in layers],
        },
    }
    return Chart(_draw_layers, columns, (len(layers),))


def _draw_layers(sources: Mapping[str, Any], count: int) -> Any:
    from bokeh.models import FactorRange
    from bokeh.plotting import figure
    from bokeh.transform import dodge

    plot: Any = figure(
        height=60 + 22 * count, sizing_mode="stretch_width",
        y_range=FactorRange(factors=sources["axis"].data["names"]), toolbar_location=None, tools="",
    )  # fmt: skip
    _style(plot, "us", "")
    marks = [
        plot.hbar(
            y=dodge("label", shift, range=plot.y_range), right=name, height=0.36, source=sources["layers"], color=color,
            legend_label=name.upper(),
        )
        for name, shift, color in (("fp32", 0.2, _FP32), ("int8", -0.2, _INT8))
    ]  # fmt: skip
    plot.x_range.start = 0
    lines = [("layer", "@name"), ("FP32", "@fp32_time @fp32_kernel"), ("INT8", "@int8_time @int8_kernel")]
    return _finish(plot, marks, lines)


def short_name(name: str) -> str:
    """Return a layer's name for the axis: without what the converter adds, and cut in the middle if it is long."""
    name = name.removesuffix(_ADDED)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME // 2]}…{name[-_LONGEST_NAME // 2 + 1 :]}"


def _told(microseconds: float | None) -> str:
    """Return a layer's time with its unit, which what is below the clock has already."""
    return f"{microseconds:.1f} µs" if microseconds else layer_time(microseconds)


def _nights(cell: CellReport) -> Chart:
    nights = [night for night in cell.nights if night.speedup is not None]
    columns: Columns = {
        "night": list(range(1, len(nights) + 1)),
        "speedup": [night.speedup for night in nights],
        "run": [night.run_id for night in nights],
    }
    return Chart(_draw_nights, {"nights": columns}, (cell.record.params.latency_reduce,))


def _draw_nights(sources: Mapping[str, Any], latency_reduce: float) -> Any:
    plot, source = _figure("night", _RATIO), sources["nights"]
    plot.line("night", "speedup", source=source, color=_TRIAL, width=2, legend_label="best of the night")
    marks = plot.scatter("night", "speedup", source=source, size=7, color=_TRIAL, legend_label="best of the night")
    plot.add_layout(_target("width", latency_reduce))
    return _finish(plot, [marks], [("run", "@run"), ("FP32 / INT8", "@speedup{0.000}")])


def _figure(x_label: str, y_label: str) -> Any:
    from bokeh.models import NumeralTickFormatter
    from bokeh.plotting import figure

    plot: Any = figure(height=340, sizing_mode="stretch_width", toolbar_location=None, tools="")
    plot.yaxis.formatter = NumeralTickFormatter(format="0.00")
    _style(plot, x_label, y_label)
    return plot


def _style(plot: Any, x_label: str, y_label: str) -> None:
    plot.xaxis.axis_label, plot.yaxis.axis_label = x_label, y_label
    plot.background_fill_alpha = plot.border_fill_alpha = plot.outline_line_alpha = 0
    plot.grid.grid_line_color, plot.grid.grid_line_alpha = _INK, 0.2
    for axis in plot.axis:
        axis.axis_label_text_color = axis.major_label_text_color = axis.axis_line_color = _INK
        axis.major_tick_line_color, axis.minor_tick_line_color = _INK, None


def _target(dimension: Literal["width", "height"], value: float) -> Any:
    from bokeh.models.annotations import Span

    return Span(location=value, dimension=dimension, line_color=_INK, line_dash="dashed")


_TRIAL_LINES = [
    ("trial", "@number"),
    ("accuracy loss", "@y{0.00} %"),
    ("FP32 / INT8", "@x{0.000}"),
    ("quantized", "@quantized{0} %"),
]


def _finish(plot: Any, marks: list[Any], lines: list[tuple[str, str]]) -> Any:
    """Put the legend below, where it hides nothing, and let the marks tell what they are on hover."""
    from bokeh.models import HoverTool

    legend = plot.legend[0]
    legend.ncols, legend.label_text_color = 2, _INK
    legend.background_fill_alpha = legend.border_line_alpha = 0
    legend.label_text_font_size, legend.spacing, legend.margin = "11px", 6, 2
    plot.add_layout(legend, "below")
    plot.add_tools(HoverTool(renderers=marks, tooltips=lines))
    return plot


def _columns(trials: Iterable[Trial]) -> Columns:
    """Columns x (latency ratio), y (accuracy loss in percent), the trial's number and what share is quantized."""
    scored = [(trial.number, trial.score) for trial in trials if trial.score]
    return {
        "number": [number for number, _ in scored],
        "x": [score.latency_ratio for _, score in scored],
        "y": [100 * score.accuracy_loss for _, score in scored],
        "quantized": [100 * score.quantization_ratio for _, score in scored],
    }
