"""``junit.xml``: a test case for each cell and check, as CI systems read it."""

from __future__ import annotations

from xml.etree import ElementTree as ET  # written here, never parsed

from quantize_zoo.report.run_report import CellReport, RunReport
from quantize_zoo.search import meets_accuracy


def render_junit(report: RunReport) -> str:
    """Return the XML document."""
    suites = ET.Element("testsuites", name="quantize-zoo")
    for cell in report.cells:
        cases = [*_cases(cell, required=report.run.require_targets), *_gate_cases(cell)]
        suite = ET.SubElement(suites, "testsuite", name=cell.record.name, tests=str(len(cases)))
        suite.set("time", f"{60 * cell.minutes:.3f}")
        for kind in ("failure", "error", "skipped"):
            suite.set("skipped" if kind == "skipped" else f"{kind}s", str(sum(case[1] == kind for case in cases)))
        for name, kind, message in cases:
            case = ET.SubElement(suite, "testcase", classname=f"quantize-zoo.{cell.record.name}", name=name)
            if kind == "system-out":
                ET.SubElement(case, kind).text = message
            elif kind:
                ET.SubElement(case, kind, message=message)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _gate_cases(cell: CellReport) -> list[tuple[str, str, str]]:
    """Return a case for each check against the baseline; what is waived or undecided is told as output."""
    cases = []
    for check in cell.gate.checks if cell.gate else ():
        kind = {"regressed": "failure", "failed": "error", "not compared": "skipped"}.get(check.status, "system-out")
        text = f"{check.status}: {check.text}"
        if check.waived:
            kind, text = "system-out", f"{text}; waived: {check.waived}"
        cases.append((f"{check.cause} {check.quantity}: {check.subject}", kind, text))
    return cases


def _cases(cell: CellReport, *, required: bool) -> list[tuple[str, str, str]]:
    """Return (check, kind of result, message); a target that is not required is told as output."""
    status, reason = cell.verdict.status, cell.verdict.reason
    if status == "unavailable":
        return [("run", "skipped", reason)]
    if status == "failed":
        return [("run", "error", reason)]
    if status == "interrupted" or cell.best is None or cell.best.score is None or cell.record.final is None:
        return [("run", "error", f"interrupted: {reason}")]
    missed = "failure" if required else "system-out"
    params, latency = cell.record.params, cell.record.final.latency
    lost, allowed = 100 * cell.best.score.accuracy_loss, params.accuracy_loss
    accurate = meets_accuracy(cell.best.score.accuracy_loss, params)
    cases = [
        ("run", "", ""),
        ("accuracy", "" if accurate else missed, f"accuracy loss {lost:.2f} % against a target of {allowed:g} %"),
    ]
    if latency is None:
        return [*cases, ("latency", "skipped", "not measured: the device is not here")]
    ratio = latency.ratio
    fast = ratio.value >= params.latency_reduce and ratio.low is not None and ratio.low > 1
    text = f"{ratio.value:.2f}x against a target of {params.latency_reduce:g}x"
    return [*cases, ("latency", "" if fast else missed, text)]
