"""The checks of a cell; collected by the plugin."""

from __future__ import annotations

import pytest

from quantize_zoo.report import CellReport
from quantize_zoo.search import meets_accuracy


def _best(cell: CellReport) -> CellReport:
    if cell.verdict.status == "unavailable":
        pytest.skip(cell.verdict.reason)
    if cell.best is None or cell.record.final is None:
        pytest.fail(cell.verdict.reason, pytrace=False)
    return cell


def test_accuracy(quantize_zoo_cell: CellReport) -> None:
    """The best model is within the accuracy target."""
    cell = _best(quantize_zoo_cell)
    assert cell.best is not None
    assert cell.best.score is not None
    if not meets_accuracy(cell.best.score.accuracy_loss, cell.record.params):
        pytest.fail(cell.verdict.reason, pytrace=False)


def test_latency(quantize_zoo_cell: CellReport) -> None:
    """The best model is within the latency target."""
    cell = _best(quantize_zoo_cell)
    if cell.latency is None:
        pytest.skip("latency is not measured without the device")
    ratio, wanted = cell.latency.ratio, cell.record.params.latency_reduce
    if ratio.value < wanted:
        pytest.fail(f"FP32 / INT8 time is {ratio.value:.3f}, the target is {wanted:g}", pytrace=False)


def test_baseline(quantize_zoo_cell: CellReport) -> None:
    """Nothing has regressed against the baseline."""
    cell = _best(quantize_zoo_cell)
    if cell.gate is None:
        pytest.skip("the cell has no baseline: quantize-zoo baseline accept")
    bad = [check for check in cell.gate.checks if check.status in ("regressed", "failed") and not check.waived]
    if bad:
        lines = (f"{check.cause} {check.quantity}, {check.subject}: {check.text}" for check in bad)
        pytest.fail("\n".join(lines), pytrace=False)
