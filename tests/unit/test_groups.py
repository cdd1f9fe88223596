"""At scale: what many cells have in common is told once, with a count, and a summary says what it does not show."""

import json
from dataclasses import replace

import pytest

from builders import accepted, cell_record, final, trial
from quantize_zoo.gate import Check
from quantize_zoo.report import make_run_report, render_index, render_json, render_markdown, workflow_commands
from quantize_zoo.report.gate_lines import gate_headline, gate_lines
from quantize_zoo.report.groups import grouped, who
from quantize_zoo.report.markdown import LARGEST
from quantize_zoo.report.overview import answer
from quantize_zoo.store import ErrorRecord, RunPlan
from unit.test_gate_and_report import good, run_record
from unit.test_outputs import issues  # noqa: F401  # a fixture
from unit.test_verdict import PASS, held

MANY = 150


def failed(number, text="the dataset of {model} is not there, see logs/{model}-CPU.log"):
    model = f"net{number}"
    return cell_record(status="failed", model=model, error=ErrorRecord(text.format(model=model), "data", "look"))


def slower(number):
    text = f"{5 + number / 100:.2f} % slower [4.9, 7.3]"
    check = Check("runtime", "latency", "the baseline's INT8 model", "regressed", text)
    return replace(held(PASS, check), model=f"net{number}")


def report_of(*cells, baselines=(), **changes):
    return make_run_report(
        run_record(*cells, **changes), [accepted(replace(good(), model=name), 1) for name in baselines]
    )


def test_names_of_few_cells_and_the_number_of_many():
    assert who(["a"]) == "a"
    assert who(["a", "b", "c"]) == "a, b, c"
    assert who(["a", "b", "c", "d", "e"]) == "5 cells (a, b, c and 2 more)"


@pytest.mark.parametrize("baselines", [(), [f"net{number}" for number in range(MANY)]])
def test_failures_of_one_cause_are_one_group_whatever_the_cells_are_called(baselines):
    report = report_of(*map(failed, range(MANY)), baselines=baselines)
    (group,) = grouped(gate_lines(report))
    assert (group.status, len(group.lines)) == ("failed", MANY)
    assert group.text == "the dataset of <model> is not there, see logs/<cell>.log"
    summary, page = render_markdown(report), render_index(report)
    assert summary.count("the dataset of") == 2, "once among the findings, once among the reasons"
    assert "**150 cells (net0 on CPU, net1 on CPU, net2 on CPU and 147 more)** failed: the dataset of" in summary
    assert "<summary>all 150 cells</summary>" in page
    (annotation,) = workflow_commands(report)
    assert annotation.startswith("::error title=150 cells (net0 on CPU%2C net1 on CPU")


def test_failures_of_two_causes_are_two_groups():
    report = report_of(*map(failed, range(3)), *(failed(number, "the process died") for number in (7, 8)))
    assert [(len(group.lines), group.text) for group in grouped(gate_lines(report))] == [
        (3, "the dataset of <model> is not there, see logs/<cell>.log"),
        (2, "the process died"),
    ]


def test_regressions_of_one_cause_are_one_group_with_the_figures_of_each():
    report = report_of(*map(slower, range(MANY)), baselines=[f"net{number}" for number in range(MANY)])
    (group,) = grouped(gate_lines(report))
    assert group.text.startswith("latency, the baseline's INT8 model; the models are the baseline's, so it is OpenVINO")
    assert not group.alike
    page, summary = render_index(report), render_markdown(report)
    assert "net149 on CPU: 6.49 % slower" in page
    assert summary.count("% slower") < 10 + MANY, "the first three, and the reasons, which differ"
    assert gate_headline(report) == "150 regressed"
    assert len(workflow_commands(report)) == 1


def test_a_few_regressions_are_told_one_by_one():
    report = report_of(*map(slower, range(3)), baselines=["net0", "net1", "net2"])
    assert [group.who for group in grouped(gate_lines(report))] == ["net0 on CPU", "net1 on CPU", "net2 on CPU"]


def test_findings_are_causes_with_their_cells():
    missing = {"require_targets": True}
    late = [cell_record([trial(0, 0.0, 1.1)], final(0, 1.1), model=f"late{number}") for number in range(5)]
    report = report_of(*map(failed, range(MANY)), slower(200), *late, baselines=["net200"], **missing)
    found = json.loads(render_json(report))["findings"]
    assert [(each["alarm"], each["cause"], len(each["cells"])) for each in found] == [
        ("regression", "runtime", 1), ("missed target", "latency", 5), ("failure", "data", MANY),
    ]  # fmt: skip
    assert found[1]["cells"] == [f"late{number}-CPU" for number in range(5)]
    assert found[2]["reason"] == "the dataset of <model> is not there, see logs/<cell>.log"


def test_an_issue_has_one_line_for_each_cause(issues):  # noqa: F811
    calls, body = issues(*map(failed, range(MANY)))
    assert calls == ["issue create --title quantize-zoo: failure"]
    first = body.splitlines()[0]
    assert first.startswith("- `150 cells (net0-CPU, net1-CPU, net2-CPU and 147 more): the dataset of <model>")
    assert len(body) < 65_536


def test_an_issue_of_many_long_causes_fits_in_one(issues):  # noqa: F811
    _, body = issues(*(failed(number, f"cause {number} " + "x" * 3000) for number in range(400)))
    assert "and 360 more causes" in body
    assert len(body) < 65_536
    assert body.rstrip().endswith("The rest is in the report.*")


@pytest.mark.parametrize("text", ["the process died", "a text of its own, {model}: " + "<&€" * 800])
def test_a_summary_of_a_thousand_cells_is_below_its_limit_and_says_what_was_cut(text):
    other = [failed(number, text + f" ({number})") for number in range(500)]
    cells = [*(replace(good(), model=f"good{number}") for number in range(500)), *other]
    summary = render_markdown(report_of(*cells))
    assert len(summary.encode()) <= LARGEST
    assert "of 1000 cells of the table, which begins with the worst, are not shown here" in summary
    assert summary.index("| net0-CPU") < summary.index("of 1000 cells of the table")
    assert "| good499-CPU" not in summary
    assert "reasons are not shown here" in summary


def test_a_small_summary_is_whole_and_in_the_order_of_the_matrix():
    summary = render_markdown(report_of(good(), failed(1)))
    assert "not shown" not in summary
    assert summary.index("| net-CPU") < summary.index("| net1-CPU")


def test_absent_cells_are_counted_also_where_nothing_could_be_compared():
    known = ["net0", "gone1", "gone2"]
    plan = RunPlan(("net0-CPU", "late-CPU"), whole=True)
    report = report_of(failed(0), baselines=known, plan=plan, status="interrupted")
    assert answer(report) == "1 cell: 1 failed, 1 interrupted, 2 missing"
    assert gate_headline(report) == "1 failed, 1 interrupted, 2 missing"
    (missing,) = [group for group in grouped(gate_lines(report)) if group.status == "missing"]
    assert (missing.who, missing.text) == ("gone1-CPU, gone2-CPU", "it is no longer in the matrix")


def test_a_crashed_cell_has_its_line_against_the_baselines():
    report = report_of(held(PASS), failed(1), baselines=["net", "net1"])
    assert [(line.cell, line.status) for line in gate_lines(report)] == [("net1 on CPU", "failed")]
    assert "Against the baselines: 1 failed, 1 pass" in render_index(report)
    for text in (render_index(report), render_markdown(report)):
        assert "the dataset of net1 is not there" in text.split("accuracy FP32")[0]
