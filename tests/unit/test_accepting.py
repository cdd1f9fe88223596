"""Baselines that a workflow accepted: pushed with a pull request, or to the branch; a real repository, gh played."""

import json
import subprocess
from pathlib import Path

import pytest

from unit.test_gate_and_report import good
from unit.test_offers import store_run

SCRIPT = Path(__file__).parents[2] / ".github" / "scripts" / "accept-baselines.sh"
URL = "https://host/me/zoo/actions/runs/7"


def git(folder, *arguments):
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch", "main", "origin")
    git(tmp_path, "clone", "--quiet", "origin", "clone")
    folder = tmp_path / "clone"
    git(folder, "checkout", "--quiet", "-b", "main")
    git(folder, "-c", "user.name=a", "-c", "user.email=b", "commit", "--quiet", "--allow-empty", "-m", "first")
    git(folder, "push", "--quiet", "origin", "main")
    (folder / "baselines").mkdir()
    (folder / "baselines" / "baselines.json").write_text("[]")
    return folder


def accept(checkout, way):
    calls = checkout.parent / "calls"
    program = checkout.parent / "gh"
    program.write_text(f'#!/bin/sh\necho "$*" >> {calls}\n')
    program.chmod(0o755)
    environment = {"PATH": f"{checkout.parent}:/usr/bin:/bin", "HOME": str(checkout.parent)}
    command = ["bash", SCRIPT, way, "main", 'release "2"', URL]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    return done, calls.read_text() if calls.exists() else ""


def test_baselines_are_proposed_in_a_pull_request(checkout):
    done, calls = accept(checkout, "pull-request")
    assert done.returncode == 0, done.stderr
    assert calls.startswith("pr create --base main --head quantize-zoo/baselines-7 --title Accept baselines: release")
    assert "baselines/baselines.json" in git(
        checkout, "ls-tree", "-r", "origin/quantize-zoo/baselines-7", "--name-only"
    )
    assert git(checkout, "ls-tree", "-r", "origin/main", "--name-only") == ""


def test_baselines_are_committed_and_unchanged_ones_are_not(checkout):
    done, calls = accept(checkout, "commit")
    assert (done.returncode, calls) == (0, ""), done.stderr
    assert git(checkout, "log", "-1", "--format=%s", "origin/main") == 'Accept baselines: release "2"\n'
    done, _ = accept(checkout, "commit")
    assert "the baselines are those of the repository" in done.stdout


def test_another_way_is_refused(checkout):
    assert accept(checkout, "push")[0].returncode == 2


def test_importing_what_holds_already_adds_nothing(quantize_zoo, tmp_path):
    reports, folder = store_run(tmp_path, good(), require_targets=False), tmp_path / "kept"
    for command in (("accept", "--reason", "first"), ("export", folder), ("import", folder), ("import", folder)):
        assert quantize_zoo("baseline", *command, "--reports", reports)[0] == 0
    _, out, _ = quantize_zoo("baseline", "show", "--history", "--json", "--reports", reports)
    assert [row["reason"] for row in json.loads(out)] == ["first"]
    dropped = quantize_zoo("baseline", "drop", "net-CPU", "net-CPU", "--reports", reports)
    assert dropped[:2] == (0, "dropped: net-CPU\n")
    assert quantize_zoo("baseline", "import", folder, "--reports", reports)[0] == 0
    assert "net-CPU" in quantize_zoo("baseline", "show", "--json", "--reports", reports)[1]
