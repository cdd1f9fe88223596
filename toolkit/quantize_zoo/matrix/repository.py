"""The git repository that a matrix lies in: what it was at, which commits lie between two, and work trees of commits.

Git is asked and never told to change anything but work trees of its own. Where there is no git or no repository, there
is nothing to tell, which is no error of a night.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from quantize_zoo import errors
from quantize_zoo.store import Repository

_LISTED = 20
# What a hook's environment says of its own repository; see git-rev-parse(1), --local-env-vars.
_LOCAL = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")


@dataclass(frozen=True)
class Commit:
    """A commit: its hash, and its abbreviated hash and subject as ``git log --oneline`` has them."""

    hash: str
    line: str


@dataclass(frozen=True)
class CommitRange:
    """The commits between the run ``since`` and another one: how many, and the newest of them in one line each."""

    since: str
    count: int
    lines: tuple[str, ...]


def repository_of(file: Path) -> Repository | None:
    """Return the repository that a file lies in, with its commit; None without a repository, a commit or git.

    It is ``dirty`` where files that git tracks differ from the commit, as ``git describe --dirty`` has it.
    """
    folder = file.resolve().parent
    root, commit = _ask(folder, "rev-parse", "--show-toplevel"), _ask(folder, "rev-parse", "--verify", "HEAD^{commit}")
    changed = _ask(folder, "status", "--porcelain", "--untracked-files=no")
    if root is None or commit is None or changed is None:
        return None
    return Repository(root, commit, bool(changed))


def commits_between(repository: Repository, since: str, first: str) -> CommitRange | None:
    """Return the commits after the first up to the repository's; None where git does not know them (any more).

    Args:
        repository: where, and the last commit.
        since: the run that ran at the first commit.
        first: that commit.

    """
    folder, wanted = Path(repository.folder), f"{first}..{repository.commit}"
    count = _ask(folder, "rev-list", "--count", wanted)
    listed = _ask(folder, "log", "--format=%h %s", f"--max-count={_LISTED}", wanted)
    return None if count is None or listed is None else CommitRange(since, int(count), tuple(listed.splitlines()))


def commits_of_bisection(folder: Path, first: str, last: str) -> list[Commit]:
    """Return a commit and those after it, along the first parents of the last one: the main line, merge by merge.

    Raises:
        ConfigurationError: one is no commit, the first does not come before the last, or files differ from HEAD.

    """
    if _ask(folder, "status", "--porcelain", "--untracked-files=no"):
        raise errors.uncommitted_changes(folder)
    ends = []
    for option, revision in (("--from", first), ("--to", last)):
        found = _ask(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if found is None:
            raise errors.unknown_revision(option, revision, folder)
        ends.append(found)
    if ends[0] == ends[1]:
        raise errors.same_ends(first, last)
    if _ask(folder, "merge-base", "--is-ancestor", *ends) is None:
        newer = _ask(folder, "merge-base", "--is-ancestor", *reversed(ends)) is not None
        raise errors.from_newer_than_to(first, last) if newer else errors.not_an_ancestor(first, last)
    after = _ask(folder, "log", "--first-parent", "--reverse", "--format=%H %h %s", f"{ends[0]}..{ends[1]}")
    start = _ask(folder, "log", "--max-count=1", "--format=%H %h %s", ends[0])
    lines = [*(start or "").splitlines(), *(after or "").splitlines()]
    return [Commit(*line.split(" ", 1)) for line in lines]


@contextmanager
def work_tree(folder: Path, commit: Commit) -> Iterator[Path]:
    """Check a commit out into a temporary folder, which goes with the context.

    Raises:
        CellError: git cannot.

    """
    with tempfile.TemporaryDirectory(prefix="quantize-zoo-") as name:
        tree = Path(name) / "tree"
        done = _git(folder, "worktree", "add", "--quiet", "--detach", str(tree), commit.hash)
        if done is None or done.returncode:
            raise errors.no_work_tree(commit.line, _last_line(done))
        try:
            yield tree
        finally:
            _git(folder, "worktree", "remove", "--force", str(tree))


def _ask(folder: Path, *arguments: str) -> str | None:
    """Return what git says, without the last line's end; None if it fails or is not there."""
    done = _git(folder, *arguments)
    return None if done is None or done.returncode else done.stdout.rstrip("\n")


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    environment = {name: value for name, value in os.environ.items() if name not in _LOCAL}
    # Looking at the state must not wait for, or hold, the lock of somebody who commits meanwhile.
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607  # the user's git, wherever it is
            capture_output=True, text=True, errors="replace", check=False, env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return None


def _last_line(done: subprocess.CompletedProcess[str] | None) -> str:
    return "there is no git" if done is None else next(iter(reversed(done.stderr.strip().splitlines())), "git fails")
