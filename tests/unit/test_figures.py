"""Figures beside INT8's: FP32's cost, the interval of the loss, and names of layers that tell which they are."""

from dataclasses import replace

import pytest

from builders import cell_record, estimate, final, trial
from quantize_zoo.report import make_run_report, render_cell, render_index, render_markdown
from quantize_zoo.report.charts import short_name
from quantize_zoo.store import Figures
from unit.test_gate_and_report import good, run_record


def test_the_loss_has_its_interval_where_it_is_stored_and_fp32_its_cost():
    measured = replace(
        final(0, 1.5), loss=estimate(0.005, 0.002, ""), figures=Figures(1_000_000, 0.2, 50_000_000, 0.18, 0.22),
        fp32_figures=Figures(4_000_000, 0.1, 60_000_000),
    )  # fmt: skip
    report = make_run_report(run_record(cell_record([trial(0, 0.005, 1.5)], measured)))
    page = render_cell(report, report.cells[0])
    assert "<td>4.000</td><td>0.100</td><td>60</td></tr>" in page  # of a run before intervals were stored
    assert "<td>1.000</td><td>0.200 [0.180, 0.220]</td><td>50</td></tr>" in page
    for text in (page, render_index(report), render_markdown(report)):
        assert "0.50 % [0.30, 0.70]" in text.replace("\\", "")


def test_a_loss_without_a_stored_interval_gets_none():
    report = make_run_report(run_record(good()))
    assert (report.cells[0].loss.value, report.cells[0].loss.low) == (0.005, None)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("blocks.2.first.0/Conv/WithoutBiases", "blocks.2.first.0/Conv"),
        ("scores", "scores"),
    ],
)
def test_the_telling_part_of_a_layers_name_stays(name, shown):
    assert short_name(name) == shown


def test_a_long_name_keeps_both_ends():
    shown = short_name("/backbone/stage1/" + "x" * 60 + "/attention/MatMul_7")
    assert shown.startswith("/backbone/stage1/")
    assert shown.endswith("/attention/MatMul_7")
    assert len(shown) == 48
