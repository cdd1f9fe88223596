"""Where the accuracy checker is installed, and what is said where it cannot be."""

import os
import site
import subprocess
from pathlib import Path

import pytest

from quantize_zoo.errors import ConfigurationError
from quantize_zoo.scoring import checker
from quantize_zoo.scoring.pip import pip_cause

FAILED = """ERROR: Exception:
Traceback (most recent call last):
  File "pip/_internal/cli/base_command.py", line 180, in exc_logging_wrapper
PermissionError: [Errno 13] Permission denied: '/opt/python/share'
"""


def done(status, told=""):
    return subprocess.CompletedProcess(["pip"], status, "", told)


@pytest.fixture
def prefixes(tmp_path, monkeypatch):
    """The environment's folder and the user's; pip's calls are kept and succeed."""
    monkeypatch.setattr(checker, "OVERLAY_FOLDER", tmp_path / "prefix" / "share" / "overlay")
    monkeypatch.setattr(site, "getuserbase", lambda: str(tmp_path / "home" / ".local"))
    calls = []
    monkeypatch.setattr(checker, "run_pip", lambda *arguments: calls.append(arguments) or done(0))
    return calls


def closed(monkeypatch, *folders):
    """Root may write everywhere: the operating system's answer is what is replaced here."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in map(str, folders) and access(path, mode))


def test_the_environment_comes_first(prefixes, tmp_path):
    assert checker.install_overlay() == tmp_path / "prefix" / "share" / "overlay"
    assert str(tmp_path / "prefix" / "share" / "overlay") in prefixes[0]


def test_in_another_user_s_environment_it_goes_to_the_user_s_own_folder(prefixes, tmp_path, monkeypatch):
    (tmp_path / "prefix").mkdir()
    closed(monkeypatch, tmp_path / "prefix")
    assert checker.install_overlay().is_relative_to(tmp_path / "home" / ".local")


def test_where_neither_can_be_written_both_are_named(prefixes, tmp_path, monkeypatch):
    closed(monkeypatch, tmp_path)
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/prefix.* and {tmp_path}/home.* cannot be written"):
        checker.install_overlay()
    assert prefixes == []


def test_of_a_failure_the_folder_and_the_cause_are_told(prefixes, tmp_path, monkeypatch):
    monkeypatch.setattr(checker, "run_pip", lambda *_: done(2, FAILED))
    with pytest.raises(ConfigurationError) as error:
        checker.install_overlay()
    assert f"into {tmp_path}/prefix/share/overlay failed: PermissionError: [Errno 13]" in error.value.what
    assert "/opt/python/share" in error.value.what


@pytest.mark.parametrize("folder", ["prefix/share/overlay", "home/.local"])
def test_it_is_found_in_either_place(prefixes, tmp_path, folder):
    assert checker.find_overlay() is None
    root = tmp_path / folder if folder.startswith("prefix") else tmp_path / folder / checker._SHARE
    (root / "openvino" / "tools" / "accuracy_checker").mkdir(parents=True)
    assert checker.find_overlay() == root


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (FAILED, "PermissionError: [Errno 13] Permission denied: '/opt/python/share'"),
        ("WARNING: retrying\nERROR: no matching distribution\nERROR: see above", "no matching distribution"),
        ("it stopped", "it stopped"),
        ("", "pip exited 1"),
    ],
)
def test_pip_s_cause_is_one_line(told, cause):
    assert pip_cause(done(1, told)) == cause


def test_the_places_differ(monkeypatch):
    monkeypatch.setattr(site, "getuserbase", lambda: str(Path(checker.sys.prefix)))
    assert checker.overlay_folders() == [checker.OVERLAY_FOLDER]
