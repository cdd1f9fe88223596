"""Bokeh's text of a chart, made once for charts that differ in their numbers only, and kept beside other caches.

Making it takes 50 ms and more, and loading Bokeh half a second: a report whose charts were drawn before does without.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quantize_zoo.text.files import write_whole

Columns = Mapping[str, list[Any]]
_CHART = "chart"
_CACHE = Path(".cache") / "quantize-zoo" / "charts"  # in the user's home
_Shape = tuple[tuple[str, tuple[str, ...]], ...]


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
def _template(draw: Callable[..., Any], shape: _Shape, settings: tuple[Hashable, ...]) -> tuple[str, str]:
    """Return script and element of a chart whose columns have nothing in them but their own names."""
    kept = _kept_as(draw, shape, settings)
    found = _read(kept)
    if found is None:
        found = _made(draw, shape, settings)
        with suppress(OSError, RuntimeError):  # no home, or none that can be written: it is made anew the next time
            write_whole(Path.home() / kept, json.dumps(found))
    return found


def _kept_as(draw: Callable[..., Any], shape: _Shape, settings: tuple[Hashable, ...]) -> Path:
    """Return the file in the user's home that a chart is kept in: another Bokeh, or another code, has another one."""
    sources = [Path(inspect.getfile(each)).read_bytes() for each in (draw, _kept_as)]
    drawn = repr((bokeh_version(), draw.__qualname__, shape, settings)).encode()
    return _CACHE / f"{hashlib.sha256(b''.join([drawn, *sources])).hexdigest()}.json"


def _read(kept: Path) -> tuple[str, str] | None:
    """Return what is kept; None if that is nothing, or damaged."""
    try:
        script, element = json.loads((Path.home() / kept).read_text("utf-8"))
    except (OSError, RuntimeError, ValueError, TypeError):
        return None
    return (script, element) if isinstance(script, str) and isinstance(element, str) else None


def _made(draw: Callable[..., Any], shape: _Shape, settings: tuple[Hashable, ...]) -> tuple[str, str]:
    from bokeh.embed import components
    from bokeh.models import ColumnDataSource

    sources = {
        source: ColumnDataSource({name: [_placeholder(source, name)] for name in names}) for source, names in shape
    }
    script, elements = components({_CHART: draw(sources, *settings)})
    return script, elements[_CHART]


@functools.cache
def bokeh_version() -> str:
    """Return the installed Bokeh's version, without loading it."""
    return version("bokeh")


def bokeh_script() -> Path:
    """Return Bokeh's own script in its package, without loading that."""
    spec = find_spec("bokeh")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "server" / "static" / "js" / "bokeh.min.js"


def _placeholder(source: str, name: str) -> str:
    return f"@@{source}.{name}@@"


def _in_script(values: list[Any]) -> str:
    """Return values as Bokeh writes them into its script: JSON, in a text of JavaScript's, in a page."""
    try:
        text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    except ValueError:  # of what is no finite number, for which JSON has no word
        from bokeh.core.serialization import Serializer

        text = json.dumps(Serializer().encode(values), separators=(",", ":"))
    return escape(text, quote=False).replace("'", "&#x27;").replace("\\", "\\\\")
