"""Bisecting with real models and measurements, over releases that interpreters of today's claim to be, and commits."""

import json
import sys

import pytest
from test_nights import disturb

from matrices import SmallMatrix
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.scoring import releases
from slowed_runtime import wrapper
from unit.test_repository import Git

CELL = "net-CPU[f32]"
# None of them is here: wrappers of this interpreter claim to have them.
CLAIMED = ("2023.3.0", "2024.2.0", "2024.6.0", "2025.1.0", "2025.4.0", "2026.2.0")
FIRST_BAD = 3


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """Neither an index nor environments that were made before."""
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(releases.CACHE_VARIABLE, str(tmp_path / "cache"))


def prepared(small):
    """A repository with the small matrix, of which one night is the baseline's."""
    small.edit("net.yml", lambda model: model["optimizer"]["params"].update(max_trials=1, accuracy_loss=50))
    return small


def accept(small, quantize_zoo):
    if not (small.reports / "store.db").exists():
        status, _, err = quantize_zoo("run", small.path, "--reports", small.reports)
        assert status == 0, err
        assert quantize_zoo("baseline", "accept", "--reports", small.reports, "--reason", "first")[0] == 0


@pytest.fixture(scope="module")
def small_one(tmp_path_factory, zoo):
    return prepared(SmallMatrix(tmp_path_factory.mktemp("bisect"), zoo))


@pytest.fixture
def accepted(small_one, quantize_zoo):
    accept(small_one, quantize_zoo)
    yield small_one
    small_one.edit("matrix.yml", lambda matrix: matrix.pop("runtimes", None))


@pytest.fixture
def bisect(accepted, quantize_zoo):
    """Bisect over claimed releases; ``wrong`` is the first that is slower by a share, or that answers wrongly."""

    def invoke(*arguments, share=0.0, answers="right"):
        runtimes = []
        for position, release in enumerate(CLAIMED):
            bad = position >= FIRST_BAD
            path = accepted.folder / "interpreters" / release / "python"
            wrapper(path, sys.executable, release, share if bad else 0.0, answers if bad else "right")
            runtimes.append({"name": release, "python": str(path)})
        accepted.edit("matrix.yml", lambda matrix: matrix.update(runtimes=runtimes))
        return quantize_zoo("bisect", CELL, "--reports", accepted.reports, *arguments)

    return invoke


ENDS = ("--from", "2023.3", "--to", "2026.2")


def test_release_from_which_on_the_model_is_slower_is_found(bisect, accepted):
    status, out, err = bisect(*ENDS, "--json", share=0.3)
    assert status == 0, err
    document = json.loads(out)
    (answer,) = document["answers"]
    assert (answer["cause"], answer["quantity"], answer["subject"]) == (
        "runtime",
        "latency",
        "the baseline's INT8 model",
    )
    assert (answer["good"], answer["bad"]) == (CLAIMED[FIRST_BAD - 1], CLAIMED[FIRST_BAD])
    steps = {step["name"]: step for step in answer["steps"]}
    assert list(steps) == list(CLAIMED)
    assert steps[answer["good"]]["looks"][-1]["status"] == "pass"
    regressed = steps[answer["bad"]]["looks"][-1]
    assert regressed["status"] == "regressed"
    assert regressed["time_ratio"]["low"] > 1.03
    assert "confirmed by a second measurement" in regressed["text"]
    (folder,) = accepted.reports.glob("bisect-*")
    assert f"OpenVINO release {answer['bad']} is the first bad one" in (folder / "index.html").read_text()
    assert json.loads((folder / "bisection.json").read_text()) == document


def test_release_from_which_on_answers_are_wrong_is_found(bisect):
    status, out, err = bisect(*ENDS, "--json", answers="wrong")
    assert status == 0, err
    answers = {answer["subject"]: answer for answer in json.loads(out)["answers"]}
    assert answers.keys() == {"the baseline's FP32 model", "the baseline's INT8 model"}
    for answer in answers.values():
        assert answer["quantity"] == "accuracy"
        assert (answer["good"], answer["bad"]) == (CLAIMED[FIRST_BAD - 1], CLAIMED[FIRST_BAD])


def test_releases_of_which_none_is_worse_are_told(bisect):
    status, out, err = bisect("--from", "2025.1", "--to", "2026.2", share=0.0)
    assert (status, out) == (3, "")
    assert "nothing to bisect: 2026.2.0 has not regressed against 2025.1.0" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--from", "2026.2", "--to", "2023.3"), "2026.2 is newer than 2023.3"),
        (("--from", "2023.3", "--to", "2024.1"), "pip does not tell which releases of openvino there are"),
        (("--from", "old"), "'old' is no release of OpenVINO"),
        (("--over", "git"), "lies in no git repository"),
        (("--over", "nothing"), "Invalid value"),
    ],
)
def test_bad_usage_is_refused(bisect, arguments, told, monkeypatch, accepted):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(accepted.folder.parent))
    status, out, err = bisect(*arguments)
    assert (status, out) == (2, "")
    assert told in err


def test_unknown_cell_and_cell_without_baseline_are_refused(bisect, accepted, quantize_zoo):
    status, _, err = quantize_zoo("bisect", "nett-CPU", "--reports", accepted.reports)
    assert status == 2
    assert "CELL: there is no cell 'nett-CPU'" in err
    accepted.edit("matrix.yml", lambda matrix: matrix["devices"].append("CPU"))
    try:
        status, _, err = quantize_zoo("bisect", "net-CPU", "--reports", accepted.reports)
    finally:
        accepted.edit("matrix.yml", lambda matrix: matrix["devices"].pop())
    assert status == 2
    assert f"cell net-CPU has no baseline, and so no regression; cells with one: {CELL}" in err


# Commits


@pytest.fixture
def history(tmp_path, zoo, quantize_zoo):
    """A repository with a small matrix, whose first commit is the baseline's."""
    git = Git(tmp_path / "repository")
    git.small = prepared(SmallMatrix(git.folder, zoo))
    save_model(read_model(git.folder / "net.onnx"), git.folder / "net.xml")
    git.small.edit("net.yml", lambda model: model.update(model="net.xml"))
    (git.folder / ".gitignore").write_text("reports/\n")
    git.commit("first")
    accept(git.small, quantize_zoo)
    git.commit("a word on the matrix")
    return git


def test_commit_that_spoils_the_model_is_found(history, quantize_zoo):
    small = history.small
    disturb(small.folder / "net.xml")
    bad = history.commit("another model")
    history.commit("another word")
    status, out, err = quantize_zoo("bisect", CELL, "--over", "git", "--reports", small.reports, "--json")
    assert status == 0, err
    answers = json.loads(out)["answers"]
    assert "model" in {answer["cause"] for answer in answers}
    for answer in answers:
        assert bad.startswith(answer["bad"])
        assert {step["name"]: step["told"] for step in answer["steps"]}[answer["bad"]] == "another model"
    (folder,) = small.reports.glob("bisect-*")
    assert "another model" in (folder / "index.html").read_text()
    assert len(list(folder.glob("nights/*/*/index.html"))) == 4
    assert len(history("worktree", "list").splitlines()) == 1


@pytest.mark.release
def test_commit_without_the_matrix_leaves_a_range_and_is_no_end(history, quantize_zoo):
    small = history.small
    small.path.rename(small.folder / "elsewhere.yml")
    history.commit("lose the matrix")
    (small.folder / "elsewhere.yml").rename(small.path)
    disturb(small.folder / "net.xml")
    history.commit("find it, with another model")
    history.commit("another word")
    arguments = ("bisect", CELL, "--over", "git", "--reports", small.reports)
    status, out, err = quantize_zoo(*arguments)
    assert status == 3, err
    assert "one step between could not be decided" in out
    status, _, err = quantize_zoo(*arguments, "--from", "HEAD~2")
    assert status == 2
    assert "no such file" in err
    small.path.write_text(small.path.read_text() + "# a note\n")
    status, _, err = quantize_zoo(*arguments)
    assert status == 2
    assert "has uncommitted changes, which no commit holds" in err
