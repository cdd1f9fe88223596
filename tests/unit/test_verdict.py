"""One verdict: every format says the same of a cell, and so does the exit status."""

import json
from dataclasses import asdict, replace
from datetime import date
from typing import get_args
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from builders import accepted, cell_record, estimate, final, latency, option, trial
from quantize_zoo.config import Waiver
from quantize_zoo.config.gate import WAIVED_CHECKS
from quantize_zoo.gate import Check, GateResult, apply_waivers, judge
from quantize_zoo.gate.checks import Cause, Quantity
from quantize_zoo.report import (
    cell_cases,
    make_run_report,
    render_cell,
    render_index,
    render_json,
    render_junit,
    render_markdown,
    workflow_commands,
)
from quantize_zoo.report.gate_lines import gate_headline, gate_lines
from quantize_zoo.report.offers import absent_text
from quantize_zoo.report.overview import answer, tiles
from quantize_zoo.store import ErrorRecord, Holdout, RunPlan
from unit.test_gate_and_report import broken, good, inaccurate, interrupted, keep_fp32, missing, run_record, slow

PASS = Check("runtime", "accuracy", "the baseline's FP32 model", "pass", "as before")
SLOWER = Check("quantization", "latency", "the baseline's configuration", "regressed", "6.1 % slower [4.9, 7.3]")
WAIVED = replace(SLOWER, waived="ticket 7 (until 2999-01-01)")
BROKEN = Check("runtime", "accuracy", "the baseline", "failed", "the model is not there")


def lost_on_the_holdout():
    holdout = Holdout(estimate(1.0), estimate(0.9), estimate(0.1, 0.02, ""))
    return cell_record([trial(0, 0.0, 1.5)], replace(final(0, 1.5), holdout=holdout))


def held(*checks, cell=None, **changes):
    gate = json.loads(json.dumps(asdict(GateResult(1, "2026-01-01T00:00", checks, **changes))))
    return replace(cell or good(), gate=gate)


def report_of(*cells, baselines=(), **changes):
    known = [accepted(replace(good(), model=name)) for name in baselines]
    return make_run_report(run_record(*cells, **changes), known)


def verdict_of(cell, baselines=(), **changes):
    return report_of(cell, baselines=baselines, **changes).cells[0].verdict


def junit(report):
    """What each case of the report is: nothing (passed), or the elements in it."""
    suites = ET.fromstring(render_junit(report).encode())
    return {case.get("name"): [child.tag for child in case] for suite in suites for case in suite.iter("testcase")}


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        (good(), ""),
        (inaccurate(), "accuracy"),
        (lost_on_the_holdout(), "holdout accuracy"),
        (slow(), "latency"),
        (keep_fp32(), "latency"),
        (replace(broken(), error=ErrorRecord("died", "dataset", "look")), "dataset"),
        (cell_record([trial(0, 0, 1, score=None, loss=None)]), "search"),
        (held(SLOWER), "quantization"),
        (held(replace(SLOWER, cause="search"), PASS), "search"),
        (held(BROKEN), "comparison with the baseline"),
        (held(PASS), ""),
    ],
)
def test_a_verdict_names_its_cause(cell, cause):
    assert verdict_of(cell).cause == cause


def test_targets_are_told_each_by_itself():
    verdict = judge(lost_on_the_holdout(), run_record())
    assert [(target.name, target.status) for target in verdict.targets] == [
        ("accuracy", "met"),
        ("holdout accuracy", "missed"),
        ("latency", "met"),
    ]
    assert "loses at least 8.00 %" in verdict.targets[1].text
    unmeasured = judge(cell_record([trial(0, 0.0, 1.5)], replace(final(0, 1.5), latency=None)), run_record())
    assert [target.status for target in unmeasured.targets] == ["met", "not measured", "not measured"]


def target_of(ratio, half, wanted=1.2, before=None):
    """The latency target of a cell, and the cell in one word; ``before`` is the baseline's ratio and half width."""
    cell = cell_record([trial(0, 0.0, ratio)], replace(final(0, ratio), latency=latency(ratio, half=half)))
    cell = replace(cell, params=replace_wanted(cell.params, wanted))
    verdict = judge(cell, run_record(require_targets=True), before=latency(*before) if before else None)
    return verdict.targets[-1].status, verdict.status, bool(verdict.alarms)


@pytest.mark.parametrize(("wanted", "status"), [(1.05, "missed"), (1.0, "undecided")])
@pytest.mark.parametrize("ratio", [0.997, 1.003, 1.2])
def test_a_best_that_quantizes_nothing_is_fp32_whatever_was_measured_of_it(ratio, wanted, status):
    cell = cell_record([trial(0, 0.0, ratio, chosen=option())], final(0, ratio, half=0.002))
    verdict = judge(replace(cell, params=replace_wanted(cell.params, wanted)), run_record())
    assert (verdict.status, verdict.targets[-1].status) == ("keep-fp32", status)
    assert verdict.targets[-1].text == f"the best quantizes nothing, so it is FP32; the latency target is {wanted:g}x"


def replace_wanted(params, wanted):
    return params.model_copy(update={"latency_reduce": wanted})


@pytest.mark.parametrize(
    ("ratio", "half", "wanted", "found"),
    [
        (1.30, 0.05, 1.2, ("met", "met", False)),
        (1.10, 0.05, 1.2, ("missed", "missed", True)),
        (1.21, 0.02, 1.2, ("undecided", "undecided", False)),
        (1.19, 0.02, 1.2, ("undecided", "undecided", False)),
        (1.30, 0.40, 1.2, ("undecided", "undecided", False)),  # from slower than FP32 to faster than the target
        (1.03, 0.05, 1.05, ("undecided", "keep-fp32", False)),  # and it is hardly faster than FP32, if at all
        (1.01, 0.02, 1.2, ("missed", "keep-fp32", True)),
        (0.95, 0.02, 0.8, ("missed", "keep-fp32", True)),  # however low the target is
        (1.01, 0.02, 0.8, ("undecided", "keep-fp32", False)),
    ],
)
def test_a_latency_target_is_met_or_missed_by_the_whole_interval(ratio, half, wanted, found):
    assert target_of(ratio, half, wanted) == found


@pytest.mark.parametrize(
    ("ratio", "before", "found"),
    [
        (1.19, (1.25, 0.04), "met"),  # undecided by itself
        (1.175, (1.24, 0.045), "missed"),  # no longer what the baseline was
        (1.175, (1.215, 0.01), "missed"),
        (1.19, (1.15, 0.04), "missed"),
        (1.19, (1.20, 0.04), "undecided"),  # the baseline's was none
        (1.26, (1.20, 0.04), "met"),
        (1.26, (1.17, 0.02), "met"),
    ],
)
def test_a_night_has_the_baselines_verdict_unless_it_clearly_differs(ratio, before, found):
    assert target_of(ratio, 0.02, before=before)[0] == found


def test_unchanged_nights_near_the_target_keep_one_verdict():
    """True 1.215 against 1.2, intervals of 95 %: a baseline that met it, then 500 nights."""
    rng = np.random.default_rng(0)
    measured = rng.normal(1.215, 0.007, 500)
    alone = [target_of(ratio, 0.014)[0] for ratio in measured]
    held = [target_of(ratio, 0.014, before=(1.216, 0.014))[0] for ratio in measured]
    assert alone.count("undecided") > 100
    assert alone.count("met") > 100
    assert held.count("met") >= 499


def test_an_undecided_target_is_told_and_fails_nothing():
    cell = cell_record([trial(0, 0.0, 1.2)], final(0, 1.2, half=0.02))
    report = report_of(cell, require_targets=True)
    assert (report.exit_status, workflow_commands(report)) == (0, [])
    assert report.cells[0].verdict.reason == "1.20x [1.18, 1.22] against a target of 1.2x: not decided"
    assert junit(report)["latency"] == ["system-out"]
    assert not any(case.outcome == "failure" for case in cell_cases(report.cells[0]))
    assert answer(report) == "1 cell: 1 is near a target"
    assert "undecided" in render_markdown(report)
    assert 'class="verdict undecided"' in render_index(report)
    assert json.loads(render_json(report))["cells"][0]["verdict"]["targets"][2]["status"] == "undecided"


def test_the_report_holds_a_target_against_the_baselines_latency():
    near = cell_record([trial(0, 0.0, 1.2)], final(0, 1.2, half=0.02))
    report = make_run_report(
        run_record(held(PASS, cell=near)), [accepted(cell_record([trial(0, 0.0, 1.22)], final(0, 1.22)))]
    )
    assert report.cells[0].verdict.target_status == "met"
    assert "met, as the baseline's 1.22x" in report.cells[0].verdict.targets[2].text


def test_an_undecided_loss_is_something_to_look_at():
    unclear = Check("search", "accuracy", "x", "inconclusive", "loses 0.9 %; about 400 more samples would decide")
    report = report_of(held(unclear, PASS), baselines=["net"])
    assert answer(report).startswith("No regression found, 1 to look at: 1 of 1 cell compared with a baseline")
    assert report.exit_status == 0
    assert "about 400 more samples" in render_index(report)


@pytest.mark.parametrize(
    ("cell", "missed"),
    [
        (inaccurate(), "accuracy"),
        (lost_on_the_holdout(), "holdout accuracy"),
        (slow(), "latency"),
        (keep_fp32(), "latency"),
    ],
)
def test_a_required_target_that_is_missed_is_told_everywhere(cell, missed):
    report = report_of(cell, require_targets=True)
    assert report.exit_status == 1
    assert junit(report)[missed] == ["failure"]
    assert [case.name for case in cell_cases(report.cells[0]) if case.outcome == "failure"] == [missed]
    (annotation,) = workflow_commands(report)
    (target,) = (each for each in report.cells[0].verdict.targets if each.name == missed)
    assert "net-CPU" in annotation
    assert f"::{missed}: {target.text}" in annotation.replace("%25", "%")
    assert f"misses a required target: {missed}: " in render_markdown(report)
    assert json.loads(render_json(report))["cells"][0]["verdict"]["alarms"] == ["missed target"]


def test_a_target_that_is_not_required_raises_no_alarm():
    report = report_of(lost_on_the_holdout())
    assert (report.exit_status, workflow_commands(report)) == (0, [])
    assert junit(report)["holdout accuracy"] == ["system-out"]
    assert [case.name for case in cell_cases(report.cells[0]) if case.outcome == "note"] == ["holdout accuracy"]


def test_a_required_target_is_missed_also_where_the_baseline_is_reached():
    report = report_of(held(PASS, cell=slow()), baselines=["net"], require_targets=True)
    assert report.exit_status == 1
    assert report.cells[0].status == "missed"
    assert answer(report) == "1 misses a required target (latency): 1 of 1 cell compared with a baseline"


@pytest.mark.parametrize(
    ("checks", "status"),
    [([SLOWER], "regressed"), ([BROKEN], "failed"), ([PASS], "missed"), ([WAIVED], "missed")],
)
def test_in_one_word_a_cell_is_the_worst_that_was_found_of_it(checks, status):
    assert verdict_of(held(*checks, cell=slow()), ["net"], require_targets=True).status == status


@pytest.mark.parametrize(
    ("cells", "changes", "status"),
    [
        ([held(SLOWER), replace(broken(), model="b")], {}, 1),
        ([held(SLOWER), held(BROKEN, cell=replace(good(), model="b"))], {}, 1),
        ([held(BROKEN, SLOWER)], {}, 1),
        ([held(BROKEN)], {}, 3),
        ([held(WAIVED)], {}, 0),
        ([held(WAIVED, BROKEN)], {}, 3),
        ([held(SLOWER), replace(interrupted(), model="b")], {}, 130),
        ([held(PASS, interrupted=True)], {}, 130),
        ([held(SLOWER)], {"status": "interrupted"}, 130),
        ([], {"status": "interrupted"}, 130),
        ([], {}, 0),
    ],
)
def test_a_regression_is_not_hidden_by_what_failed(cells, changes, status):
    assert report_of(*cells, **changes).exit_status == status


def test_a_missing_device_that_must_be_there_is_a_failure_everywhere():
    report = report_of(missing(), on_missing_device="fail")
    assert report.exit_status == 3
    assert junit(report) == {"run": ["error"]}
    assert report.cells[0].status == "failed"
    assert len(workflow_commands(report)) == 1


def test_junit_counts_what_it_has():
    suites = ET.fromstring(render_junit(report_of(held(SLOWER, BROKEN, PASS, cell=slow()), require_targets=True)))
    (suite,) = suites
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "7",
        "2",
        "1",
        "1",
    )


def test_junit_holds_any_text():
    cell = replace(broken(), model="a\x00b", error=ErrorRecord("died\x1b[0m \ud800 \ufffe", "", ""))
    ET.fromstring(render_junit(report_of(cell)).encode())


# Waivers


def test_a_waived_regression_beside_a_pass_is_waived():
    report = report_of(held(WAIVED, PASS), baselines=["net"])
    assert report.cells[0].status == "waived"
    assert gate_headline(report) == "1 waived"
    assert answer(report) == "No regression: 1 of 1 cell compared with a baseline, 1 waived"
    assert [(tile.status, tile.count) for tile in tiles(report)] == [("waived", 1)]
    assert "waived: ticket 7" in report.cells[0].verdict.reason
    assert junit(report)["quantization latency: the baseline's configuration"] == ["system-out"]


def test_what_is_worse_than_a_waiver_is_told_before_it():
    changed = replace(PASS, status="changed")
    assert verdict_of(held(WAIVED, changed)).status == "changed"
    assert verdict_of(held(WAIVED, replace(PASS, status="improved"))).status == "waived"


def test_a_waiver_that_is_over_is_told_on_pages_in_the_summary_and_in_junit():
    waiver = Waiver(cell="net-CPU", check="latency", reason="ticket 7", until=date(2026, 1, 1))
    result = apply_waivers(GateResult(1, "2026-01-01T00:00", (SLOWER,)), "net-CPU", [waiver], date(2026, 1, 2))
    report = report_of(held(*result.checks, notes=result.notes), baselines=["net"])
    over = "the waiver of latency ended on 2026-01-01: ticket 7"
    assert report.cells[0].status == "regressed"
    assert [line.text for line in gate_lines(report) if line.status == "note"] == [over]
    for text in (render_index(report), render_cell(report, report.cells[0]), render_markdown(report)):
        assert over in text
    (suite,) = ET.fromstring(render_junit(report))
    assert suite.find("system-out").text == over


def test_a_waiver_is_counted_whatever_else_the_cell_is():
    report = report_of(held(WAIVED, replace(PASS, status="changed")), baselines=["net"])
    assert gate_headline(report) == "1 changed, 1 waived"
    assert answer(report).endswith("1 changed, 1 waived")


def test_what_may_be_waived_are_the_checks_that_can_regress():
    causes, quantities = set(get_args(Cause)) - {"data"}, set(get_args(Quantity)) - {"samples"}
    named = {check.split(" ", 1)[0] for check in WAIVED_CHECKS} - quantities - {"compile"}
    assert named == causes
    assert quantities < set(WAIVED_CHECKS)


# Improvements


def test_an_improvement_comes_with_the_command_that_accepts_it():
    report = report_of(held(replace(PASS, status="improved")), baselines=["net"])
    command = f'quantize-zoo baseline accept {report.run.id} --cells net-CPU --reason "..."'
    assert [line.text for line in gate_lines(report) if line.status == "note"] == [
        f"to hold later nights against this one: {command}"
    ]
    assert command in render_markdown(report)
    assert "net-CPU --reason" not in render_markdown(report_of(held(PASS), baselines=["net"]))


# Cells that are not in the run


def planned(*names, whole=True):
    return RunPlan(tuple(f"{name}-CPU" for name in names), whole)


def test_a_cell_that_an_interrupted_run_did_not_reach_says_so():
    report = report_of(held(PASS), baselines=["net", "b"], plan=planned("net", "b", "c"), status="interrupted")
    assert [(cell.name, cell.status, cell.text) for cell in report.absent] == [
        (name, "interrupted", "not reached: the run was interrupted before it") for name in ("b-CPU", "c-CPU")
    ]
    assert gate_headline(report) == "2 interrupted, 1 pass"
    assert answer(report).startswith("2 interrupted: 1 of 1 cell")
    assert junit(report)["run"] == ["skipped"]
    assert "missing" not in render_markdown(report)


def test_a_run_that_goes_on_has_not_come_to_its_cells_yet():
    (cell,) = report_of(held(PASS), plan=planned("net", "b"), status="running").absent
    assert cell.text == "not reached: the run has not come to it yet"


def test_an_interrupted_cell_without_a_baseline_is_interrupted_and_not_new():
    report = report_of(replace(interrupted(), model="b"), baselines=["net"], plan=planned("net", "b"))
    assert report.cells[0].gate_status == "interrupted"
    assert [line.status for line in gate_lines(report)] == ["interrupted", "interrupted"]
    assert "accept one" not in render_markdown(report)


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (planned("b"), "it is no longer in the matrix"),
        (planned("b", whole=False), "the command left it out"),
        (None, "it has a baseline and is not in this run"),
    ],
)
def test_a_cell_that_is_gone_says_why(plan, text):
    report = report_of(replace(good(), model="b"), baselines=["net", "b"], plan=plan)
    assert [(line.cell, line.text) for line in gate_lines(report) if line.status == "missing"] == [("net-CPU", text)]
    assert (
        ET.fromstring(render_junit(report)).find(".//testsuite[@name='net-CPU']/testcase/skipped").get("message")
        == text
    )


def gone(night):
    """A run without the cell whose newest night this was, and that has a baseline."""
    known = [accepted(replace(good(), model="net"))]
    run = run_record(replace(good(), model="b"), plan=planned("b"))
    return make_run_report(run, known, gates={"net-CPU": ("run", night.gate)})


def test_a_regression_of_a_cell_that_is_gone_is_told_until_it_is_accepted_or_dropped():
    report = gone(held(SLOWER))
    (cell,) = report.absent
    assert cell.regressed_in == "run"
    assert "6.1 % slower [4.9, 7.3]" in absent_text(report, cell)
    assert absent_text(report, cell).endswith("quantize-zoo baseline drop net-CPU")
    for later in (held(PASS), held(WAIVED), replace(held(SLOWER), gate={**held(SLOWER).gate, "baseline": 0})):
        report = gone(later)
        assert absent_text(report, report.absent[0]) == "it is no longer in the matrix"


# Interrupts


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (held(PASS, interrupted=True), "the comparison with its baseline was interrupted"),
        (held(interrupted=True), "the comparison with its baseline was interrupted"),
        (interrupted(), "it was interrupted before it was held against its baseline"),
        (replace(interrupted(), status="running"), "it was interrupted before it was held against its baseline"),
    ],
)
def test_an_interrupted_cell_with_a_baseline_does_not_say_that_it_has_none(cell, text):
    report = report_of(cell, baselines=["net"])
    assert report.cells[0].status == report.cells[0].gate_status == "interrupted"
    assert [(line.status, line.text) for line in gate_lines(report)] == [("interrupted", text)]
    assert gate_headline(report) == "1 interrupted"
    assert answer(report).startswith("1 interrupted: ") or answer(report) == "1 cell: 1 interrupted"
    assert [(tile.status, tile.count) for tile in tiles(report)] == [("interrupted", 1)]
    assert junit(report)["baseline"] == ["error"]
    assert "it has no baseline" not in render_index(report) + render_markdown(report)


def test_an_interrupted_comparison_takes_nothing_from_what_was_tuned():
    cell = report_of(held(interrupted=True), baselines=["net"]).cells[0]
    assert cell.verdict.target_status == "met"
    assert [target.status for target in cell.verdict.targets] == ["met", "not measured", "met"]
    assert "1.500 [1.490, 1.510]" in render_cell(report_of(held(interrupted=True)), cell)


def test_a_cell_without_a_baseline_is_new_where_others_have_one():
    (line,) = [line for line in gate_lines(report_of(good(), baselines=["other"])) if line.status == "new"]
    assert "it has no baseline; accept one" in line.text


def test_a_cell_that_was_not_held_against_its_baseline_says_so():
    """Its baseline was accepted after the run, or a comparison of runs left the cell out."""
    (line,) = gate_lines(report_of(good(), baselines=["net"]))
    assert (line.status, line.text) == ("new", "it was not held against the baseline that it has")


# Runs without cells


def test_a_run_that_was_interrupted_before_its_first_cell_says_so_everywhere():
    report = report_of(status="interrupted")
    text = "No cell was run: the run was interrupted before its first cell"
    assert text in render_index(report)
    assert text in render_markdown(report)
    assert len(ET.fromstring(render_junit(report))) == 0
    document = json.loads(render_json(report))
    assert (document["cells"], document["run"]["status"], document["exit_status"]) == ([], "interrupted", 130)


def test_baselines_of_a_run_without_cells_are_missing():
    report = report_of(status="interrupted", baselines=["net"])
    assert "it has a baseline and is not in this run" in render_index(report)
    assert "**Against the baselines: 1 missing**" in render_markdown(report)
