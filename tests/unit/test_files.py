"""Files appear whole or not at all, and values are plain ones that JSON knows."""

import json
import math
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest

from quantize_zoo.config import OptimizerParams
from quantize_zoo.text import files
from quantize_zoo.text.files import copy_together, drafts_for, place, point, remove, write_together, write_whole
from quantize_zoo.text.plain import json_text, plain


def test_a_file_is_written_over_an_older_one_and_leaves_no_draft(tmp_path):
    path = tmp_path / "a" / "name.txt"
    for text in ("one", "two"):
        write_whole(path, text)
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_files_of_a_set_appear_in_their_order(tmp_path, monkeypatch):
    seen = []
    rename = files.Path.replace
    monkeypatch.setattr(files.Path, "replace", lambda self, to: seen.append(to.name) or rename(self, to))
    write_together(tmp_path / "run", {"cells/a.html": "a", "b.json": b"b", "index.html": "c"})
    assert seen == ["a.html", "b.json", "index.html"]
    assert (tmp_path / "run" / "cells" / "a.html").read_text() == "a"


@pytest.mark.parametrize("existed", [True, False])
def test_an_interrupt_while_drafts_are_written_leaves_what_was_there(tmp_path, monkeypatch, existed):
    folder = tmp_path / "run"
    if existed:
        write_together(folder, {"a": "old", "b": "old"})
    written = files.Path.write_bytes

    def interrupted(path, content):
        if path.name == "b":
            raise KeyboardInterrupt
        return written(path, content)

    monkeypatch.setattr(files.Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_together(folder, {"a": "new", "b": "new"})
    found = {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else None
    assert found == ({"a": "old", "b": "old"} if existed else None)


RENAMED = """
import os, sys
from pathlib import Path
from quantize_zoo import interrupts
interrupts.listen()
from quantize_zoo.text import files
rename = Path.replace

def signalled(self, to):
    if to.name == "a":
        os.kill(os.getpid(), int(sys.argv[2]))
    return rename(self, to)

files.Path.replace = signalled
try:
    with interrupts.raised():
        files.write_together(Path(sys.argv[1]), {"a": "a", "b": "b"})
except KeyboardInterrupt as error:
    sys.exit(128 + error.number)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_files_are_renamed_comes_after_the_last_one(tmp_path, number):
    done = subprocess.run([sys.executable, "-c", RENAMED, tmp_path, str(int(number))], check=False)
    assert done.returncode == 128 + number
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_where_one_file_cannot_be_placed_none_is(tmp_path):
    (tmp_path / "run" / "b").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_together(tmp_path / "run", {"cells/a": "a", "b": "b"})
    assert [path.name for path in (tmp_path / "run").rglob("*")] == ["b"]


def test_of_a_folder_that_could_not_be_filled_nothing_stays(tmp_path):
    with pytest.raises(FileNotFoundError):
        copy_together(tmp_path / "x" / "y", {"a": tmp_path / "none"})
    assert list(tmp_path.iterdir()) == []


def test_what_was_placed_can_be_taken_back_and_what_was_there_before_stays(tmp_path):
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "old").write_text("old")
    with drafts_for(tmp_path / "to") as drafts:
        (drafts / "sub").mkdir()
        for name in ("old", "sub/new"):
            (drafts / name).write_text("new")
        new = place(drafts, tmp_path / "to", ["old", "sub/new"])
    assert new == [tmp_path / "to" / "sub" / "new"]
    remove(new)
    assert [path.name for path in (tmp_path / "to").rglob("*")] == ["old"]


def test_files_are_written_from_other_threads_too(tmp_path):
    thread = threading.Thread(target=write_whole, args=(tmp_path / "a", "text"))
    thread.start()
    thread.join()
    assert (tmp_path / "a").read_text() == "text"


def test_a_link_is_pointed_again(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        point(tmp_path / "latest", name)
    assert (tmp_path / "latest").resolve() == tmp_path / "two"
    assert len(list(tmp_path.iterdir())) == 3


@dataclass(frozen=True)
class Figures:
    values: tuple[float, ...]
    by_name: dict[str, float]
    when: datetime
    params: OptimizerParams


def test_what_is_not_finite_is_null():
    when = datetime(2026, 1, 1, tzinfo=timezone.utc)
    value = Figures((1.0, math.nan, -math.inf), {"a": math.inf, "b": 2.0}, when, OptimizerParams(accuracy_loss=0.5))
    found = plain(value)
    assert found["values"] == [1.0, None, None]
    assert found["by_name"] == {"a": None, "b": 2.0}
    assert found["when"] == "2026-01-01T00:00:00Z"
    assert found["params"]["accuracy_loss"] == 0.5
    assert json.loads(json_text([value])) == [found]
