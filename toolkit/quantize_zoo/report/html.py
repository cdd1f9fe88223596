"""``index.html``, the matrix at a glance, and a page for each cell; they open from a folder without network."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from importlib import resources
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from quantize_zoo.gate.layers import share_text
from quantize_zoo.gate.portability import fails_elsewhere
from quantize_zoo.report import charts, offers, overview, wording
from quantize_zoo.report.gate_lines import gate_headline, gate_lines
from quantize_zoo.report.groups import grouped
from quantize_zoo.report.run_report import CellReport, RunReport
from quantize_zoo.store import lead_of
from quantize_zoo.text.counts import counted
from quantize_zoo.text.shown import visible
from quantize_zoo.text.slugs import slug

_TEMPLATES = "quantize_zoo.report"
OVERVIEW_SCRIPT = "overview.js"


def render_index(report: RunReport) -> str:
    """Return the overview."""
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            report=report,
            run=report.run,
            answer=overview.answer(report),
            tiles=overview.tiles(report),
            matrix=overview.matrix(report),
            sparks={cell.record.name: overview.sparks(cell) for cell in report.cells},
            gate_headline=gate_headline(report),
            gate_groups=grouped(gate_lines(report)),
            pages={cell.record.name: quote(page_path(cell)) for cell in report.cells},
            script=f"assets/{OVERVIEW_SCRIPT}",
            policy=_policy(""),
        )
    )


def render_cell(report: RunReport, cell: CellReport) -> str:
    """Return the page of a cell."""
    script, divs = charts.cell_charts(cell) if cell.drawn else ("", {})
    return (
        _environment()
        .get_template("cell.html.j2")
        .render(
            cell=cell,
            run=report.run,
            offers=[offers.offers(report, cell, check) for check in cell.gate.checks] if cell.gate else [],
            acceptable=offers.can_be_accepted(cell),
            export_command=offers.export_command(report, cell),
            accept_command=offers.accept_command(report, cell),
            compare_command=offers.compare_command(report),
            bisect_command=offers.bisect_command(report, cell),
            # Bokeh makes these two from numbers only, and escapes them itself.
            script=Markup(script),  # noqa: S704
            charts={key: Markup(div) for key, div in divs.items()},  # noqa: S704
            drawn_layers=charts.DRAWN_LAYERS,
            chart_script=f"../assets/{charts.SCRIPT_NAME}",
            policy=_policy(script),
        )
    )


def page(template: str, **values: object) -> str:
    """Return a page without scripts."""
    return _environment().get_template(template).render(policy=_policy(""), **values)


def overview_script() -> str:
    """Return the overview's own script, which sorts and filters; without it the page shows the same."""
    return resources.files(_TEMPLATES).joinpath(f"templates/{OVERVIEW_SCRIPT}").read_text(encoding="utf-8")


def page_path(cell: CellReport) -> str:
    """Return where a cell's page lies in the run's folder."""
    return f"cells/{slug(cell.record.name)}.html"


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, finalize=_clean,
    )  # fmt: skip
    environment.filters.update(
        interval=wording.interval,
        percent=wording.percent,
        percent_interval=wording.percent_interval,
        execution=wording.execution,
        environment=wording.environment,
        optional=wording.optional,
        latency_figures=wording.latency_figures,
        layer_time=wording.layer_time,
        by_member=wording.by_member,
        lead=lead_of,
        repository=wording.repository,
        commits_title=wording.commits_title,
        share=share_text,
        counted=counted,
    )
    environment.tests["is_number"] = wording.is_number
    environment.tests["beyond"] = fails_elsewhere
    return environment


def _clean(value: object) -> object:
    """Return what a page shows without control characters; markup is this program's own."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _policy(script: str) -> str:
    """Return the page's content security policy: the charts' scripts by their hashes, and nothing from elsewhere."""
    texts = re.findall(r"<script[^>]*>(.*?)</script>", script, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]
    # A page from a folder has the origin "null", which 'self' does not match in every browser; "file:" does.
    allowed = " ".join(["'self'", "file:", *hashes])
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src 'self' file: data:"
