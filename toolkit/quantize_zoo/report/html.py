"""``index.html``: the matrix at a glance and each cell in detail, one page that opens from a folder without network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from quantize_zoo.report import charts, wording
from quantize_zoo.report.gate_lines import gate_headline, gate_lines
from quantize_zoo.report.run_report import RunReport

_HEADLINES = {
    "met": ("meets its targets", "meet their targets"),
    "keep-fp32": ("should keep FP32", "should keep FP32"),
    "missed": ("misses a target", "miss a target"),
    "failed": ("failed", "failed"),
    "interrupted": ("interrupted", "interrupted"),
    "unavailable": ("unavailable", "unavailable"),
}


def render_html(report: RunReport) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("quantize_zoo.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        interval=wording.interval,
        percent=wording.percent,
        percent_interval=wording.percent_interval,
        execution=wording.execution,
        environment=wording.environment,
        latency_figures=wording.latency_figures,
    )
    drawn = {cell.record.name: charts.cell_charts(cell) for cell in report.cells}
    return environment.get_template("index.html.j2").render(
        report=report,
        run=report.run,
        headline=_headline(report),
        gate_headline=gate_headline(report),
        gate_lines=gate_lines(report),
        # Bokeh makes these two from numbers only, and escapes them itself.
        scripts={name: Markup(script) for name, (script, _) in drawn.items()},  # noqa: S704
        charts={name: {key: Markup(div) for key, div in divs.items()} for name, (_, divs) in drawn.items()},  # noqa: S704
        policy=_policy(script for script, _ in drawn.values()),
        chart_script=f"assets/{charts.SCRIPT_NAME}",
        has_charts=any(divs for _, divs in drawn.values()),
    )


def _policy(scripts: Iterable[str]) -> str:
    """Return the page's content security policy: the charts' scripts by their hashes, and nothing from elsewhere."""
    texts = [text for script in scripts for text in re.findall(r"<script[^>]*>(.*?)</script>", script, re.DOTALL)]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]
    # A page from a folder has the origin "null", which 'self' does not match in every browser; "file:" does.
    allowed = " ".join(["'self'", "file:", *hashes])
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src 'self' file: data:"


def _headline(report: RunReport) -> str:
    counts = {status: sum(cell.verdict.status == status for cell in report.cells) for status in _HEADLINES}
    parts = [f"{count} {_HEADLINES[status][count > 1]}" for status, count in counts.items() if count]
    return f"{len(report.cells)} cell{'s' if len(report.cells) > 1 else ''}: " + ", ".join(parts)
