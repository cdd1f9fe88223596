"""``junit.xml``: a test case for each cell and check, as CI systems read it."""

from __future__ import annotations

from xml.etree import ElementTree as ET  # written here, never parsed

from quantize_zoo.report.cases import cell_cases
from quantize_zoo.report.offers import absent_text
from quantize_zoo.report.run_report import CellReport, RunReport
from quantize_zoo.text.shown import visible


def render_junit(report: RunReport) -> str:
    """Return the XML document."""
    suites = ET.Element("testsuites", name="quantize-zoo")
    for cell in report.cells:
        suites.append(_suite(cell))
    for absent in report.absent:
        suite = ET.SubElement(
            suites, "testsuite", name=visible(absent.name), tests="1", failures="0", errors="0", skipped="1"
        )
        case = ET.SubElement(suite, "testcase", classname=visible(f"quantize-zoo.{absent.name}"), name="run")
        ET.SubElement(case, "skipped", message=visible(absent_text(report, absent)))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(cell: CellReport) -> ET.Element:
    cases = cell_cases(cell)
    suite = ET.Element("testsuite", name=visible(cell.record.name), tests=str(len(cases)))
    suite.set("time", f"{60 * cell.minutes:.3f}")
    for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.outcome == kind for case in cases)))
    for case in cases:
        name = visible(f"quantize-zoo.{cell.record.name}")
        element = ET.SubElement(suite, "testcase", classname=name, name=visible(case.name))
        if case.outcome == "note":
            ET.SubElement(element, "system-out").text = visible(case.text)
        elif case.outcome != "passed":
            ET.SubElement(element, case.outcome, message=visible(case.text))
    if cell.gate and cell.gate.notes:
        ET.SubElement(suite, "system-out").text = visible("\n".join(cell.gate.notes))
    return suite
