"""The plugin's tests: their order, their names, and what fails; cells are played, so that nothing is measured."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

TESTS = Path(__file__).parents[1]
PLAYED = """
from dataclasses import replace
from pathlib import Path

from builders import accepted
from quantize_zoo import pytest_plugin
from quantize_zoo.report import make_run_report
from unit.test_gate_and_report import good, run_record, slow
from unit.test_verdict import PASS, SLOWER, held


def played(matrix, reports, command, beside):
    name = matrix.models[0].name
    cell = held(PASS, cell=slow()) if name == "digits-mobilenet" else held(SLOWER)
    run = run_record(replace(cell, model=name), require_targets=matrix.require_targets)
    with Path("beside").open("a") as stream:
        print(*sorted(beside), file=stream)
    return make_run_report(run, [accepted(good())]).cells[0]


pytest_plugin._run = played
"""


class Played:
    def __init__(self, folder, zoo):
        self.folder, self.zoo = folder, zoo
        (folder / "conftest.py").write_text(PLAYED)
        self.write()

    def write(self, **changes):
        models = [str(self.zoo / "embedded" / f"{name}.yml") for name in ("digits-mobilenet", "digits-resnet")]
        (self.folder / "matrix.yml").write_text(yaml.safe_dump({"models": models, "devices": ["CPU"], **changes}))

    def pytest(self, *arguments):
        command = [sys.executable, "-m", "pytest", "--quantize-zoo", "matrix.yml", "-v", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def played(tmp_path, zoo):
    return Played(tmp_path, zoo)


def ended(done):
    """Node ids and how the tests ended, in their order."""
    return re.findall(r"^(quantize-zoo::\S+|\S+\.py::\S+) (PASSED|FAILED|SKIPPED)", done.stdout, re.MULTILINE)


def test_what_regressed_is_tested_first_and_a_missed_target_that_is_not_required_is_only_told(played):
    done = played.pytest("--junitxml", "junit.xml")
    assert done.returncode == 1
    found = ended(done)
    assert found[:3] == [
        ("quantize-zoo::test_baseline[digits-mobilenet-CPU]", "PASSED"),
        ("quantize-zoo::test_baseline[digits-resnet-CPU]", "FAILED"),
        ("quantize-zoo::test_run[digits-mobilenet-CPU]", "PASSED"),
    ]
    assert ("quantize-zoo::test_latency[digits-mobilenet-CPU]", "PASSED") in found
    assert [status for _, status in found].count("FAILED") == 1
    assert "passed, and to be told" in done.stdout
    assert "test_latency[digits-mobilenet-CPU]: latency: 1.10x [1.09, 1.11] is below the latency target" in done.stdout
    cases = list(ET.parse(played.folder / "junit.xml").iter("testcase"))
    assert {case.get("classname") for case in cases} == {"quantize-zoo"}
    told = {case.get("name"): [each.get("value") for each in case.iter("property")] for case in cases}
    assert told["test_latency[digits-mobilenet-CPU]"][0].startswith("latency: 1.10x")
    assert told["test_accuracy[digits-mobilenet-CPU]"] == []


def test_the_first_failure_is_a_regression(played):
    played.write(require_targets=True)
    done = played.pytest("-x")
    assert ended(done)[-1] == ("quantize-zoo::test_baseline[digits-resnet-CPU]", "FAILED")
    assert "1 failed, 1 passed" in done.stdout


def test_a_missed_target_fails_where_targets_are_required(played):
    played.write(require_targets=True)
    done = played.pytest("-k", "latency and mobilenet")
    assert ended(done) == [("quantize-zoo::test_latency[digits-mobilenet-CPU]", "FAILED")]


def test_node_ids_that_were_printed_run_again(played):
    (played.folder / "test_own.py").write_text("def test_own(quantize_zoo_cell):\n    pass\n")
    failed = re.findall(r"^FAILED (\S+)", played.pytest("test_own.py").stdout, re.MULTILINE)
    assert failed == ["quantize-zoo::test_baseline[digits-resnet-CPU]"]
    assert ended(played.pytest(*failed)) == [(failed[0], "FAILED")]
    own = "test_own.py::test_own[digits-resnet-CPU]"
    assert ended(played.pytest(own)) == [(own, "PASSED")]
    assert "1 failed" in played.pytest("--last-failed").stdout


def test_all_cells_that_are_run_share_the_level(played):
    played.pytest()
    played.pytest("-k", "resnet")
    assert (played.folder / "beside").read_text().splitlines() == [
        "digits-mobilenet-CPU digits-resnet-CPU", "digits-mobilenet-CPU digits-resnet-CPU", "digits-resnet-CPU",
    ]  # fmt: skip


def test_without_the_option_the_plugin_does_nothing(played):
    (played.folder / "test_own.py").write_text("def test_own():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "test_own.py"]
    done = subprocess.run(command, cwd=played.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
