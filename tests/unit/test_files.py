"""Files appear whole or not at all, and values are plain ones that JSON knows."""

import json
import math
import os
import signal
import threading
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest

from quantize_zoo.config import OptimizerParams
from quantize_zoo.text import files
from quantize_zoo.text.files import point, signals_held, write_together, write_whole
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
    written = files._write_through

    def interrupted(path, content):
        if path.name == "b":
            signal.raise_signal(signal.SIGINT)
        written(path, content)

    monkeypatch.setattr(files, "_write_through", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_together(folder, {"a": "new", "b": "new"})
    found = {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else None
    assert found == ({"a": "old", "b": "old"} if existed else None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_files_are_renamed_comes_after_the_last_one(tmp_path, monkeypatch, number):
    """Also with another thread, to which the system may deliver what this one would not take."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    rename = files.Path.replace

    def signalled(self, to):
        os.kill(os.getpid(), number)
        return rename(self, to)

    monkeypatch.setattr(files.Path, "replace", signalled)
    try:
        with pytest.raises(KeyboardInterrupt):
            write_together(tmp_path, {"a": "a", "b": "b"})
    finally:
        waiting.set()
        thread.join()
        signal.signal(signal.SIGTERM, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_handlers_are_as_before_after_signals_were_held():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with signals_held():
        assert signal.getsignal(signal.SIGINT) not in before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


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
    value = Figures(
        (1.0, math.nan, -math.inf), {"a": math.inf, "b": 2.0}, when, OptimizerParams(accuracy_loss=math.inf)
    )
    found = plain(value)
    assert found["values"] == [1.0, None, None]
    assert found["by_name"] == {"a": None, "b": 2.0}
    assert found["when"] == "2026-01-01T00:00:00Z"
    assert found["params"]["accuracy_loss"] is None
    assert json.loads(json_text([value])) == [found]
