"""Nights that people have: what moved, what was edited, what was interrupted; with real models and real data."""

import json
import shutil

import pytest

from conftest import SmallMatrix


@pytest.fixture(scope="module")
def first(tmp_path_factory, zoo):
    """A matrix on which no night was run yet."""
    made = SmallMatrix(tmp_path_factory.mktemp("first"), zoo)
    made.edit("net.yml", lambda model: model["optimizer"]["params"].update(max_trials=2))
    return made


@pytest.fixture
def night(first, quantize_zoo):
    """Run a night of the first matrix, whose first run is accepted; or of another one."""

    def invoke(*arguments, matrix=first):
        status, out, err = quantize_zoo("run", matrix.path, "--reports", matrix.reports, "--json", *arguments)
        return status, json.loads(out) if out else None, err

    if not (first.reports / "store.db").exists():
        assert invoke()[0] == 0
        assert quantize_zoo("baseline", "accept", "--reports", first.reports)[0] == 0
    return invoke


def copied(first, folder):
    """The matrix with its data and models in another folder, without reports."""
    shutil.copytree(first.folder, folder, ignore=shutil.ignore_patterns("reports"))
    moved = SmallMatrix.__new__(SmallMatrix)
    moved.folder, moved.reports, moved.path = folder, folder / "reports", folder / "matrix.yml"
    return moved


def accuracy_of(document):
    (cell,) = document["cells"]
    return {check["status"] for check in cell["gate"]["checks"] if check["quantity"] == "accuracy"}


def test_baselines_hold_where_all_was_moved_to(night, first, tmp_path, quantize_zoo):
    assert quantize_zoo("baseline", "export", tmp_path / "out", "--reports", first.reports)[0] == 0
    moved = copied(first, tmp_path / "elsewhere" / "checkout")
    moved.reports.mkdir()
    assert quantize_zoo("baseline", "import", tmp_path / "out", "--reports", moved.reports)[0] == 0
    status, document, err = night("--trials-load-method", "cold_start", "--max-trials", 1, matrix=moved)
    assert status in (0, 1), err  # a busy machine may seem slower
    assert accuracy_of(document) == {"pass"}


def test_rebuilt_model_that_misses_its_target_is_measured_and_shown(night, first):
    """``eval`` has one trial, which nothing ends early."""
    before = (first.folder / "net.yml").read_text()
    first.edit("net.yml", lambda model: model["optimizer"]["params"].update(latency_reduce=50))
    try:
        status, document, err = night("--trials-load-method", "eval")
    finally:
        (first.folder / "net.yml").write_text(before)
    (cell,) = document["cells"]
    assert status in (0, 1), err
    assert cell["status"] == "done"
    assert cell["final"] is not None
    assert [each["name"] for each in cell["verdict"]["targets"] if each["status"] == "missed"] == ["latency"]
