"""What a pull request is held against; the command is played, its own tests run it."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".github" / "scripts" / "base-branch.sh"
MATRIX = "models/matrix.yml"


@pytest.fixture
def held(tmp_path):
    """Runs the script on a base branch with these files; returns the calls of the command and what was printed."""

    def hold(*files, status=0):
        program, calls = tmp_path / "quantize-zoo", tmp_path / "calls"
        program.write_text(
            f'#!/bin/sh\necho "${{GITHUB_STEP_SUMMARY-none}} $*" >> {calls}\n[ "$1" = run ] && exit {status}\nexit 0\n'
        )
        program.chmod(0o755)
        for file in files:
            path = tmp_path / "base" / file
            path.parent.mkdir(parents=True)
            path.write_text("")
        done = subprocess.run(
            ["bash", SCRIPT, "base", MATRIX, "baselines", program, "--max-trials", "4"], cwd=tmp_path, check=True,
            env={"PATH": "/usr/bin:/bin", "GITHUB_STEP_SUMMARY": "summary", "GITHUB_ACTIONS": "true"},
            capture_output=True, text=True,
        )  # fmt: skip
        return calls.read_text().splitlines() if calls.exists() else [], done.stdout

    return hold


def test_baselines_of_the_base_branch_are_imported(held):
    assert held("baselines/baselines.json", MATRIX)[0] == ["summary baseline import base/baselines"]


@pytest.mark.parametrize("status", [0, 3])
def test_base_branch_without_baselines_runs_first_outside_the_summary(held, status):
    calls, told = held(MATRIX, status=status)
    assert calls == [
        "none run base/models/matrix.yml --max-trials 4",
        "summary baseline accept --reason the base branch",
    ]
    assert ("exit status 3" in told) == (status == 3)


def test_base_branch_without_the_matrix_is_told(held):
    calls, told = held()
    assert calls == []
    assert "has no matrix base/models/matrix.yml" in told
