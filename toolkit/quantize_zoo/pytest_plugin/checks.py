"""The checks of a cell; collected by the plugin. They are the cases of ``junit.xml``, one test for the baseline's.

What fails there fails here: a missed target only where the matrix requires targets. What is only to be told of a test
that passes is among its properties.
"""

from __future__ import annotations

import pytest

from quantize_zoo.pytest_plugin import NOTE
from quantize_zoo.report import Case, CellReport, cell_cases


def _settle(cases: list[Case], missing: str, test: pytest.FixtureRequest) -> None:
    """End the test as its cases ended, with their words; ``missing`` tells why there are none."""
    bad = [case for case in cases if case.outcome in ("failure", "error")]
    if bad:
        pytest.fail("\n".join(f"{case.name}: {case.text}" for case in bad), pytrace=False)
    if all(case.outcome == "skipped" for case in cases):
        pytest.skip("; ".join(case.text for case in cases) or missing)
    # Not by record_property, which warns of the JUnit schema.
    test.node.user_properties += [(NOTE, f"{case.name}: {case.text}") for case in cases if case.outcome == "note"]


def _target(cell: CellReport, name: str, test: pytest.FixtureRequest) -> None:
    cases = cell_cases(cell)
    _settle([case for case in cases if case.about == "target" and case.name == name], cell.verdict.reason, test)


def test_baseline(quantize_zoo_cell: CellReport, request: pytest.FixtureRequest) -> None:
    """Nothing has regressed against the baseline."""
    cell = quantize_zoo_cell
    held = cell.gate_status not in (None, "new")
    missing = cell.verdict.reason if held else "the cell has no baseline: quantize-zoo baseline accept"
    _settle([case for case in cell_cases(cell) if case.about == "baseline"], missing, request)


def test_run(quantize_zoo_cell: CellReport, request: pytest.FixtureRequest) -> None:
    """The cell ran to its end."""
    cases = [case for case in cell_cases(quantize_zoo_cell) if case.about == "run"]
    _settle(cases, quantize_zoo_cell.verdict.reason, request)


def test_accuracy(quantize_zoo_cell: CellReport, request: pytest.FixtureRequest) -> None:
    """The best model is within the accuracy target."""
    _target(quantize_zoo_cell, "accuracy", request)


def test_holdout_accuracy(quantize_zoo_cell: CellReport, request: pytest.FixtureRequest) -> None:
    """The best model is within the accuracy target on samples that the search never saw."""
    _target(quantize_zoo_cell, "holdout accuracy", request)


def test_latency(quantize_zoo_cell: CellReport, request: pytest.FixtureRequest) -> None:
    """The best model is measurably faster than FP32, and within the latency target."""
    _target(quantize_zoo_cell, "latency", request)


def test_size(quantize_zoo_cell: CellReport, request: pytest.FixtureRequest) -> None:
    """The best model's weights are within the size target; it is not there where there is no target."""
    _target(quantize_zoo_cell, "size", request)
