"""Verdicts, and the documents that tell them."""

import json
from dataclasses import replace
from datetime import datetime, timezone
from xml.etree import ElementTree as ET

import pytest

from builders import cell_record, final, option, trial
from quantize_zoo.gate import judge
from quantize_zoo.report import (
    make_run_report,
    render_cell,
    render_index,
    render_json,
    render_junit,
    render_markdown,
    write_reports,
)
from quantize_zoo.report.html import page_path
from quantize_zoo.store import ErrorRecord, RunRecord

ERROR = ErrorRecord("no device GPU", "device", "install its driver")


def run_record(*cells, **changes):
    values = {
        "id": "20260101", "status": "finished", "started_at": datetime(2026, 1, 1, tzinfo=timezone.utc),
        "finished_at": None, "matrix": "m.yml", "command": "quantize-zoo run", "seed": 0, "require_targets": False,
        "on_missing_device": "skip", "version": "0.1", "cells": cells,
    }  # fmt: skip
    return RunRecord(**{**values, **changes})


def good():
    return cell_record([trial(0, 0.02, 1.9), trial(1, 0.005, 1.5)], final(1, 1.5))


def keep_fp32():
    return cell_record([trial(0, 0.0, 1.05)], final(0, 1.005, half=0.02))


def slow():
    return cell_record([trial(0, 0.0, 1.1)], final(0, 1.1))


def inaccurate():
    return cell_record([trial(0, 0.05, 1.9)], final(0, 1.9))


def missing():
    return cell_record(status="unavailable", device="GPU", error=ERROR, reference=None)


def broken():
    return cell_record([trial(0, 0.0, 1.5)], status="failed", error=ErrorRecord("died", "executor", "look"))


def interrupted():
    return cell_record([trial(0, 0.0, 1.5)], status="interrupted")


@pytest.mark.parametrize(
    ("cell", "status", "reason"),
    [
        (good(), "met", "targets are met"),
        (keep_fp32(), "keep-fp32", "keep FP32: no INT8 model"),
        (slow(), "missed", "1.10x [1.09, 1.11] is below the latency target of 1.2x"),
        (inaccurate(), "missed", "within 1 % of FP32; the best loses 5.00 %"),
        (missing(), "unavailable", "no device GPU"),
        (broken(), "failed", "died"),
        (interrupted(), "interrupted", "1 trials were finished"),
        (cell_record([trial(0, 0, 1, score=None, loss=None)], final(0, 1.0)), "failed", "no trial"),
        (cell_record([trial(0, 0, 1, score=None, loss=None, measurement=None)]), "failed", "no trial"),
    ],
)
def test_verdict(cell, status, reason):
    verdict = judge(cell, run_record(cell))
    assert verdict.status == status
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("cells", "changes", "status"),
    [
        ([good(), missing()], {}, 0),
        ([good(), slow()], {}, 0),
        ([good(), slow()], {"require_targets": True}, 1),
        ([keep_fp32()], {"require_targets": True}, 1),
        ([good(), broken()], {"require_targets": True}, 3),
        ([slow(), broken()], {"require_targets": True}, 1),
        ([good(), missing()], {"on_missing_device": "fail"}, 3),
        ([good(), interrupted()], {}, 130),
        ([good()], {"status": "interrupted"}, 130),
    ],
)
def test_exit_status(cells, changes, status):
    assert make_run_report(run_record(*cells, **changes)).exit_status == status


def all_cells():
    kinds = [good, keep_fp32, slow, inaccurate, missing, broken, interrupted]
    return [replace(make(), model=f"net{index}") for index, make in enumerate(kinds)]


def test_page_tells_every_cell():
    report = make_run_report(run_record(*all_cells()))
    page = render_index(report)
    assert "7 cells: 1 meets its targets, 1 should keep FP32, 2 miss a target, 1 failed" in page
    assert "keep FP32: no INT8 model within the accuracy target is measurably faster" in page
    assert "no device GPU" in page
    assert "1.500 [1.490, 1.510]" in page
    assert "quantize-zoo run" in page
    assert page.count('href="cells/net') == 14, "each in the matrix and in the table"
    own = render_cell(report, report.cells[0])
    assert "1.500 [1.490, 1.510]" in own
    assert f"quantize-zoo baseline accept {report.run.id} --cells net0-CPU" in own


@pytest.mark.parametrize(("quantized", "label"), [((), "FP32, nothing quantized, best of"), ((0,), ">INT8, best of")])
def test_a_best_that_quantizes_nothing_is_not_called_int8(quantized, label):
    cell = cell_record([trial(0, 0.0, 1.0, chosen=option(*quantized))], final(0, 1.0))
    report = make_run_report(run_record(cell))
    assert label in render_cell(report, report.cells[0])


def test_texts_from_outside_are_escaped():
    hostile = "<script>alert(1)</script>"
    cell = replace(missing(), model=hostile, error=ErrorRecord(hostile, hostile, hostile))
    report = make_run_report(run_record(cell, command=hostile, matrix=hostile))
    assert hostile not in render_index(report)
    assert hostile not in render_cell(report, report.cells[0])
    assert page_path(report.cells[0]).count("/") == 1
    assert hostile not in render_markdown(report)
    assert hostile not in render_junit(report)


def test_markdown_keeps_its_table_whole():
    cell = replace(missing(), model="a|b\nc")
    lines = render_markdown(make_run_report(run_record(cell))).splitlines()
    assert lines[6].count("|") == lines[4].count("|") > 0


def test_json_has_all_numbers_of_a_trial():
    document = json.loads(render_json(make_run_report(run_record(good(), missing()))))
    assert document["schema_version"] == 6
    cell = document["cells"][0]
    assert cell["verdict"]["status"] == "met"
    assert cell["best"] == 1
    assert cell["pareto"] == [0, 1]
    first = cell["trials"][0]
    assert first["speedup"] == {"value": 1.9, "low": 1.89, "high": 1.91, "unit": "x", "samples": 100}
    assert {"build_s", "compile_s", "accuracy_s", "latency_s", "overhead_s"} <= first.keys()
    assert document["cells"][1]["error"]["what"] == "no device GPU"


def test_figures_of_a_search_are_computed_from_its_trials():
    cell = make_run_report(run_record(good())).cells[0]
    assert cell.overhead_share == pytest.approx(0.02 / 0.93)
    assert cell.trials_per_minute == pytest.approx(60 / 0.93)
    assert cell.best_so_far == (0, 1)
    assert [row.quantized for row in cell.operations] == [False, True, False, False]


@pytest.mark.parametrize(("required", "kind"), [(True, "failure"), (False, "system-out")])
def test_junit_has_a_case_for_each_cell_and_check(required, kind):
    report = make_run_report(run_record(*all_cells(), require_targets=required))
    suites = ET.fromstring(render_junit(report).encode())
    assert [len(suite) for suite in suites] == [4, 4, 4, 4, 1, 1, 1]
    results = {
        suite.get("name"): {case.get("name"): [child.tag for child in case] for case in suite} for suite in suites
    }
    assert results["net0-CPU"] == {"run": [], "accuracy": [], "holdout accuracy": ["skipped"], "latency": []}
    assert results["net2-CPU"]["latency"] == [kind]
    assert results["net3-CPU"]["accuracy"] == [kind]
    assert results["net4-GPU"] == {"run": ["skipped"]}
    assert results["net5-CPU"] == {"run": ["error"]}


def test_reports_are_written_and_latest_points_to_them(tmp_path, monkeypatch):
    summary = tmp_path / "summary"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    report = make_run_report(run_record(good()))
    for newest in (True, False, True):
        write_reports(report, tmp_path / "reports" / "20260101", newest=newest)
    latest = tmp_path / "reports" / "latest"
    names = {"index.html", "cells", "benchmark.json", "results.json", "junit.xml", "summary.md", "assets"}
    assert {path.name for path in latest.iterdir()} == names
    assert summary.read_text().startswith("before\n## quantize-zoo")
    assert summary.read_text().count("## quantize-zoo") == 2  # what a bisection looks at and an old run are no news
    assert sum(path.stat().st_size for path in (latest / "assets").iterdir()) > 500_000
