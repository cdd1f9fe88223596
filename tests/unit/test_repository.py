"""What git knows of the repository that a matrix lies in."""

import json
import re
import shutil
import subprocess
from dataclasses import asdict, replace

import pytest

from builders import accepted, cell_record, final, trial
from kill_store import start_run
from quantize_zoo.errors import CellError, ConfigurationError
from quantize_zoo.gate import GateResult
from quantize_zoo.matrix.repository import (
    Commit,
    commits_between,
    commits_of_bisection,
    repository_of,
    work_tree,
)
from quantize_zoo.report import make_run_report, render_cell, render_index, render_json, render_markdown, report_of
from quantize_zoo.store import Repository, Store
from unit.test_gate_and_report import good, run_record
from unit.test_verdict import PASS, SLOWER, held


class Git:
    """A repository with commits that each change ``matrix.yml``."""

    def __init__(self, folder):
        self.folder = folder
        self.matrix = folder / "matrices" / "matrix.yml"
        self.matrix.parent.mkdir(parents=True)
        self("init", "--quiet", "--initial-branch=main")

    def __call__(self, *arguments):
        who = ("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, subject):
        self.matrix.write_text(f"# {subject}\n")
        self("add", ".")
        self("commit", "--quiet", "--message", subject)
        return self("rev-parse", "HEAD")


@pytest.fixture
def git(tmp_path):
    return Git(tmp_path / "repository")


def test_commit_and_changes_of_tracked_files(git):
    commit = git.commit("first")
    assert repository_of(git.matrix) == Repository(str(git.folder), commit, dirty=False)
    (git.folder / "untracked").write_text("reports, such as the run's own")
    assert not repository_of(git.matrix).dirty
    git.matrix.write_text("changed")
    assert repository_of(git.matrix).dirty


def test_nothing_is_told_without_repository_commit_or_git(git, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert repository_of(tmp_path / "matrix.yml") is None
    assert repository_of(git.matrix) is None  # no commit
    git.commit("first")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert repository_of(git.matrix) is None


def test_repository_of_a_hook_is_not_taken_for_the_matrixs(git, tmp_path, monkeypatch):
    commit = git.commit("first")
    other = Git(tmp_path / "other")
    other.commit("another")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    assert repository_of(git.matrix).commit == commit


def test_newest_commits_are_listed_and_all_are_counted(git):
    first = git.commit("first")
    for number in range(25):
        git.commit(f"change {number} <b>")
    found = commits_between(repository_of(git.matrix), "earlier", first)
    assert (found.since, found.count, len(found.lines)) == ("earlier", 25, 20)
    assert found.lines[0] == f"{git('rev-parse', '--short', 'HEAD')} change 24 <b>"
    assert commits_between(repository_of(git.matrix), "earlier", "0" * 40) is None


def test_bisection_goes_along_the_main_line_merge_by_merge(git):
    hashes = [git.commit("first"), git.commit("second")]
    git("checkout", "--quiet", "-b", "side", hashes[0])
    (git.folder / "side").write_text("")
    git("add", ".")
    git("commit", "--quiet", "--message", "on the side")
    git("checkout", "--quiet", "main")
    git("merge", "--quiet", "--message", "merge it", "side")
    hashes += [git("rev-parse", "HEAD"), git.commit("last")]
    found = commits_of_bisection(git.folder, hashes[0], "main")
    assert [commit.hash for commit in found] == hashes
    assert [commit.line.partition(" ")[2] for commit in found] == ["first", "second", "merge it", "last"]


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (("HEAD~1", "nothing"), "has no commit 'nothing'"),
        (("--all", "HEAD"), "has no commit '--all'"),
        (("HEAD", "main"), "are the same"),
        (("HEAD", "HEAD~1"), "HEAD is newer than HEAD~1"),
        (("side", "HEAD"), "side does not come before HEAD"),
    ],
)
def test_ends_that_are_none_are_refused(git, ends, told):
    git.commit("first")
    git("checkout", "--quiet", "-b", "side")
    git.commit("on the side")
    git("checkout", "--quiet", "main")
    git.commit("second")
    with pytest.raises(ConfigurationError, match=told):
        commits_of_bisection(git.folder, *ends)


def test_uncommitted_changes_are_refused(git):
    git.commit("first")
    git.commit("second")
    git.matrix.write_text("changed")
    with pytest.raises(ConfigurationError, match="uncommitted changes"):
        commits_of_bisection(git.folder, "HEAD~1", "HEAD")


def test_work_tree_has_the_commits_files_and_goes(git):
    first = git.commit("first")
    git.commit("second")
    with work_tree(git.folder, Commit(first, "first")) as tree:
        assert (tree / "matrices" / "matrix.yml").read_text() == "# first\n"
    assert not tree.exists()
    assert git.matrix.read_text() == "# second\n"
    assert len(git("worktree", "list").splitlines()) == 1
    with pytest.raises(CellError, match="cannot be checked out"), work_tree(git.folder, Commit("0" * 40, "none")):
        pass


# Runs


def test_run_keeps_its_repository(url):
    store, there = Store(url), Repository("/matrices", "1a2b3c", dirty=True)
    for run_id, repository in (("first", there), ("second", None)):
        store.start_run(
            run_id, matrix="m.yml", command="quantize-zoo run", seed=0, require_targets=False,
            on_missing_device="skip", repository=repository,
        )  # fmt: skip
    assert store.load_run("first").repository == there
    assert store.load_run("second").repository is None
    assert store.repositories() == {"first": there}


def night(store, run_id, repository, *checks):
    """Store a night of one cell, held against baseline 1."""
    store.start_run(
        run_id, matrix="m.yml", command="quantize-zoo run", seed=0, require_targets=False, on_missing_device="skip",
        repository=repository,
    )  # fmt: skip
    record = good()
    cell = store.start_cell(run_id, model="net", device="CPU", method="cold_start", params=record.params)
    store.set_reference(cell, record.reference)
    for each in record.trials:
        store.add_trial(cell, each)
    store.set_final(cell, record.final)
    gate = GateResult(1, "2026-01-01T00:00", checks)
    store.set_gate(cell, asdict(gate), gate.status)
    store.finish_run(run_id, "finished")
    return store.load_run(run_id)


@pytest.fixture
def store(sqlite):
    store = Store(sqlite)
    start_run(store)  # the baseline's, whose matrix lay in no repository
    store.add_baseline(replace(accepted(good()).content, run_id="run"))
    return store


def test_regression_lists_the_commits_since_the_last_good_night(git, store):
    git.commit("first")
    night(store, "good", repository_of(git.matrix), PASS)
    git.commit("second")
    night(store, "bad", repository_of(git.matrix), SLOWER)
    git.commit("third <i>")
    report = report_of(night(store, "again", repository_of(git.matrix), SLOWER), store, git.folder)
    (cell,) = report.cells
    assert (cell.commits.since, cell.commits.count) == ("good", 2)
    assert [line.partition(" ")[2] for line in cell.commits.lines] == ["third <i>", "second"]
    page = render_cell(report, cell)
    assert "2 commits since run good, which was good:" in page
    assert "third &lt;i&gt;" in page
    assert re.search("quantize-zoo bisect net-CPU .*--over git", page)
    summary = render_markdown(report)
    assert "2 commits since run good, which was good" in summary
    assert "third &#60;i&#62;" in summary
    document = json.loads(render_json(report))
    assert document["cells"][0]["commits"]["count"] == 2
    assert document["run"]["repository"]["commit"] == report.run.repository.commit


def test_good_night_lists_no_commits(git, store):
    git.commit("first")
    night(store, "good", repository_of(git.matrix), PASS)
    git.commit("second")
    assert report_of(night(store, "fine", repository_of(git.matrix), PASS), store, git.folder).cells[0].commits is None


def test_commits_that_cannot_be_known_take_nothing_from_the_report(git, store):
    git.commit("first")
    night(store, "good", repository_of(git.matrix), PASS)
    shutil.rmtree(git.folder)
    gone = Repository(str(git.folder), "1" * 40, dirty=False)
    report = report_of(night(store, "bad", gone, SLOWER), store, git.folder)
    assert report.cells[0].commits is None
    assert report.exit_status == 1


def test_pages_show_the_commit_and_that_there_was_more(git):
    there = Repository("/matrices", "1a2b3c4d5e6f7890", dirty=True)
    report = make_run_report(run_record(held(SLOWER), repository=there))
    assert "commit 1a2b3c4d5e6f, with uncommitted changes" in render_index(report)
    assert "Commit 1a2b3c4d5e6f, with uncommitted changes" in render_markdown(report)
    assert "commit" not in render_index(make_run_report(run_record(cell_record([trial(0, 0, 1)], final(0, 1)))))
