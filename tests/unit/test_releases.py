"""OpenVINO's releases and their interpreters, without a network: pip is one that plays its part."""

import subprocess
import sys
from pathlib import Path

import openvino as ov
import pytest

from quantize_zoo.errors import CellError, ConfigurationError
from quantize_zoo.scoring import Interpreters, Release, releases, this_release

LISTED = "2026.4.1, 2026.4.0, 2025.4.1, 2025.4.0, 2025.0.0, 2023.3.0"


class Pip:
    """Answers as pip does."""

    def __init__(self):
        self.index = (0, f"openvino (2026.4.1)\nAvailable versions: {LISTED}\n", "")
        self.refused = {}
        self.calls = []

    def __call__(self, *arguments):
        self.calls.append(arguments)
        if arguments[0] == "index":
            status, out, err = self.index
        else:
            status, out, err = next((answer for what, answer in self.refused.items() if what in arguments), (0, "", ""))
        return subprocess.CompletedProcess(arguments, status, out, err)


@pytest.fixture
def pip(monkeypatch, tmp_path):
    played = Pip()
    monkeypatch.setattr(releases, "run_pip", played)
    monkeypatch.setenv(releases.CACHE_VARIABLE, str(tmp_path / "cache"))
    return played


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026.4.1-22020-1a2b3c4-releases/2026/4", Release(2026, 4, 1)),
        ("2023.3.0-13775-ceeafaf64f3-releases/2023/3", Release(2023, 3, 0)),
        ("2025.0.0", Release(2025, 0, 0)),
        ("2025.0.0.dev20250101", None),
        ("custom_build", None),
        ("unknown", None),
    ],
)
def test_release_of_what_openvino_says_of_itself(text, found):
    assert Release.find(text) == found


def test_this_interpreters_release_is_that_of_its_openvino():
    assert ov.get_version().startswith(str(this_release()))


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        ("2025.0", "2026.4", ["2025.0.0", "2025.4.0", "2025.4.1", "2026.4.0", "2026.4.1"]),
        ("2025.4", "2026.4.0", ["2025.4.0", "2025.4.1", "2026.4.0"]),
        ("2023.3.0", "2025.0.0", ["2023.3.0", "2025.0.0"]),
        ("2025.4.0", "2025.4", ["2025.4.0", "2025.4.1"]),
    ],
)
def test_releases_between_two_ends(pip, first, last, found):
    assert list(map(str, Interpreters().between(first, last))) == found


@pytest.mark.parametrize(
    ("first", "last", "where", "told"),
    [
        ("2024.0", "2026.4", "--from", r"OpenVINO 2024\.0 does not exist, or has no wheel for Python"),
        ("2025.0", "2031.1", "--to", r"OpenVINO 2031\.1 does not exist"),
        ("newest", "2026.4", "--from", "'newest' is no release of OpenVINO"),
        ("2025", "2026.4", "--from", "'2025' is no release"),
        ("2026.4", "2025.0", "--from, --to", r"2026\.4 is newer than 2025\.0"),
        ("2025.0", "2025.0.0", "--from, --to", "are the same"),
    ],
)
def test_ends_that_are_none_are_refused(pip, first, last, where, told):
    with pytest.raises(ConfigurationError, match=told) as raised:
        Interpreters().between(first, last)
    assert raised.value.where == where


def test_without_an_index_releases_are_those_at_hand(pip, tmp_path):
    pip.index = (1, "", "WARNING: Retrying\nERROR: No matching distribution found for openvino\n")
    python = tmp_path / "cache" / f"2023.3.0-{sys.implementation.cache_tag}" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    here = str(this_release())
    interpreters = Interpreters()
    assert list(map(str, interpreters.between("2023.3", here))) == ["2023.3.0", here]
    assert "pip does not tell" in interpreters.index_problem
    with pytest.raises(ConfigurationError, match=r"pip does not tell .*: No matching distribution found for openvino"):
        Interpreters().between("2025.0", here)


def test_environment_is_made_once_with_this_environments_numpy(pip, tmp_path):
    release = Release(2025, 0, 0)
    python = Interpreters().python(release)
    assert python == tmp_path / "cache" / f"2025.0.0-{sys.implementation.cache_tag}" / "bin" / "python"
    assert subprocess.run([python, "-c", ""], check=False).returncode == 0
    (made,) = pip.calls
    assert "openvino==2025.0.0" in made
    assert f"numpy=={sys.modules['numpy'].__version__}" in made
    assert Interpreters().python(release) == python
    assert len(pip.calls) == 1
    assert [each.name for each in (tmp_path / "cache").iterdir()] == [python.parents[1].name]


def test_release_that_takes_no_numpy_of_today_has_its_own(pip):
    pip.refused = {f"numpy=={sys.modules['numpy'].__version__}": (1, "", "ERROR: ResolutionImpossible\n")}
    Interpreters().python(Release(2023, 3, 0))
    assert [len(call) for call in pip.calls] == [8, 7]


def test_environment_that_cannot_be_made_leaves_nothing(pip, tmp_path):
    pip.refused = {"install": (1, "", "ERROR: No space left on device\n")}
    with pytest.raises(CellError, match=r"no environment with OpenVINO 2025\.0\.0 could be made: No space left"):
        Interpreters().python(Release(2025, 0, 0))
    assert list((tmp_path / "cache").iterdir()) == []


def test_cache_that_cannot_be_written_is_told(pip, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(CellError, match=r"no environment with OpenVINO 2025\.0\.0"):
        Interpreters().python(Release(2025, 0, 0))


def test_interpreter_of_the_matrix_comes_before_any_other(pip, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert Interpreters().python(this_release()) == Path(sys.executable)
    assert Interpreters([python]).python(this_release()) == python
