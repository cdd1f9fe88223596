"""Bokeh's text of a chart, made once for charts that differ in their numbers only: making it takes 50 ms and more."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from bokeh.core.serialization import Serializer
from bokeh.embed import components
from bokeh.models import ColumnDataSource

Columns = Mapping[str, list[Any]]
_CHART = "chart"


@dataclass(frozen=True)
class Chart:
    """A chart: ``draw`` makes the plot of sources by name and of settings, the columns have the numbers."""

    draw: Callable[..., Any]
    columns: Mapping[str, Columns]
    settings: tuple[Hashable, ...] = ()


def embedded(chart: Chart) -> tuple[str, str]:
    """Return the script element of a chart, and the element that it is drawn in."""
    shape = tuple((source, tuple(columns)) for source, columns in chart.columns.items())
    script, element = _template(chart.draw, shape, chart.settings)
    for source, columns in chart.columns.items():
        for name, values in columns.items():
            script = script.replace(f'["{_placeholder(source, name)}"]', _in_script(values))
    return script, element


@functools.lru_cache(maxsize=64)
def _template(
    draw: Callable[..., Any], shape: tuple[tuple[str, tuple[str, ...]], ...], settings: tuple[Hashable, ...]
) -> tuple[str, str]:
    """Return script and element of a chart whose columns have nothing in them but their own names."""
    sources = {
        source: ColumnDataSource({name: [_placeholder(source, name)] for name in names}) for source, names in shape
    }
    script, elements = components({_CHART: draw(sources, *settings)})
    return script, elements[_CHART]


def _placeholder(source: str, name: str) -> str:
    return f"@@{source}.{name}@@"


def _in_script(values: list[Any]) -> str:
    """Return values as Bokeh writes them into its script: JSON, in a text of JavaScript's, in a page."""
    try:
        text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    except ValueError:  # of what is no finite number, for which JSON has no word
        text = json.dumps(Serializer().encode(values), separators=(",", ":"))
    return escape(text, quote=False).replace("'", "&#x27;").replace("\\", "\\\\")
