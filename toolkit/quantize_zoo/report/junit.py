"""``junit.xml``: a test case for each cell and check, as CI systems read it."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET  # written here, never parsed

from quantize_zoo.report.cases import cell_cases
from quantize_zoo.report.offers import absent_text
from quantize_zoo.report.run_report import CellReport, RunReport

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(report: RunReport) -> str:
    """Return the XML document."""
    suites = ET.Element("testsuites", name="quantize-zoo")
    for cell in report.cells:
        suites.append(_suite(cell))
    for absent in report.absent:
        suite = ET.SubElement(
            suites, "testsuite", name=_text(absent.name), tests="1", failures="0", errors="0", skipped="1"
        )
        case = ET.SubElement(suite, "testcase", classname=_text(f"quantize-zoo.{absent.name}"), name="run")
        ET.SubElement(case, "skipped", message=_text(absent_text(report, absent)))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(cell: CellReport) -> ET.Element:
    cases = cell_cases(cell)
    suite = ET.Element("testsuite", name=_text(cell.record.name), tests=str(len(cases)))
    suite.set("time", f"{60 * cell.minutes:.3f}")
    for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.outcome == kind for case in cases)))
    for case in cases:
        name = _text(f"quantize-zoo.{cell.record.name}")
        element = ET.SubElement(suite, "testcase", classname=name, name=_text(case.name))
        if case.outcome == "note":
            ET.SubElement(element, "system-out").text = _text(case.text)
        elif case.outcome != "passed":
            ET.SubElement(element, case.outcome, message=_text(case.text))
    if cell.gate and cell.gate.notes:
        ET.SubElement(suite, "system-out").text = _text("\n".join(cell.gate.notes))
    return suite


def _text(text: str) -> str:
    """Replace what XML cannot hold, such as control characters."""
    return _NOT_IN_XML.sub("\ufffd", text)
