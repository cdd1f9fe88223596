"""Pytest as a door: the plugin as users run it, in a process of its own."""

import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

OWN = """
import pytest

def test_own(quantize_zoo_cell):
    assert quantize_zoo_cell.best.measurement.accuracy.value > 0.5
"""


def run(small, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--quantize-zoo", str(small.path), "-q", "-rs"]
    command += ["--quantize-zoo-reports", str(small.reports), "--quantize-zoo-max-trials", "1"]
    return subprocess.run([*command, *arguments], cwd=small.folder, capture_output=True, text=True, check=False)


def junit_of_the_run(small):
    """The cases of the CPU cell in the report's own file, and what is in each."""
    suites = [suite for path in small.reports.glob("2*/junit.xml") for suite in ET.parse(path).getroot()]
    (suite,) = [suite for suite in suites if suite.get("name") == "net-CPU[f32]"]
    return {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}


def test_one_test_for_each_cell_and_check_and_own_assertions(small):
    small.edit("matrix.yml", lambda matrix: matrix["devices"].append("GPU"))
    (small.folder / "test_own.py").write_text(OWN)
    # Ours are found by the plugin, the user's by their name; both workers wait for each other's measurements.
    options = ("-n", "2", "--junitxml", "junit.xml", "-k", "not GPU or latency")
    done = run(small, "test_own.py", *options)
    cases = {
        case.get("name"): [child.tag for child in case]
        for case in ET.parse(small.folder / "junit.xml").iter("testcase")
    }
    assert set(cases) == {
        "test_own[net-CPU[f32]]",
        "test_run[net-CPU[f32]]",
        "test_accuracy[net-CPU[f32]]",
        "test_holdout_accuracy[net-CPU[f32]]",
        "test_latency[net-CPU[f32]]",
        "test_baseline[net-CPU[f32]]",
        "test_latency[net-GPU]",
    }
    ours = junit_of_the_run(small)
    for name in ("run", "accuracy", "holdout accuracy"):
        assert cases[f"test_{name.replace(' ', '_')}[net-CPU[f32]]"] == ours[name] == []
    # Whether INT8 pays is up to this CPU; both say the same of it, and it fails nothing where it is not required.
    assert cases["test_latency[net-CPU[f32]]"] == (["properties"] if ours["latency"] else []), done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OpenVINO has no device GPU here" in done.stdout
    assert "the cell has no baseline" in done.stdout
    assert len(list(small.reports.glob("2*"))) == 2  # a run for each cell, not for each test


@pytest.mark.release
def test_missed_target_fails_with_its_reason_and_wrong_matrix_is_a_usage_error(small):
    small.edit("net.yml", lambda model: model["optimizer"]["params"].update(latency_reduce=50))
    small.edit("matrix.yml", lambda matrix: matrix.update(require_targets=True))
    done = run(small, "-k", "latency")
    assert done.returncode == 1
    assert re.search(
        r"latency: [\d.]+x \[[\d., ]+\] is (below the|not measurably faster than FP32; the) latency target", done.stdout
    )
    assert "Traceback" not in done.stdout
    small.edit("net.yml", lambda model: model.update(metrics="x"))
    done = run(small)
    assert done.returncode == 4
    assert "unknown key 'metrics'" in done.stderr
