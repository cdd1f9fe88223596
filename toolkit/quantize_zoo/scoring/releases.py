"""OpenVINO's releases: which ones there are, and an interpreter for each, one at hand or made by pip into a cache.

An environment of the cache has the release, the NumPy of this environment where the release takes it, and nothing else:
the process that runs models needs no more.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.scoring.pip import pip_cause, run_pip
from quantize_zoo.scoring.runtimes import start_runtime

CACHE_VARIABLE = "QUANTIZE_ZOO_OPENVINO_CACHE"
_PACKAGE = "openvino"
_PYTHON = Path("bin", "python")


class Release(NamedTuple):
    """A release, 2025.0.1."""

    year: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return ".".join(map(str, self))

    @classmethod
    def find(cls, text: str) -> Release | None:
        """Return the release that a text such as ``2026.4.1-22020-1a2b3c4-releases/2026/4`` begins with."""
        found = re.match(r"(\d{4})\.(\d+)\.(\d+)(?![\d.])", text)
        return None if found is None else cls(*map(int, found.groups()))


def this_release() -> Release | None:
    """Return the release of this interpreter; None of one that was built by hand."""
    return Release.find(ov.get_version())


class Interpreters:
    """An interpreter for each release; ``index_problem`` tells why only those at hand are known, if that is so.

    Args:
        runtimes: interpreters that are taken where they have the wanted release, before any other.

    """

    def __init__(self, runtimes: Iterable[Path] = ()) -> None:
        self._at_hand: dict[Release, Path] = {}
        self.index_problem = ""
        for python in runtimes:
            with start_runtime(python) as process:
                found = Release.find(process.openvino)
            if found is not None:
                self._at_hand.setdefault(found, python)
        if (here := this_release()) is not None:
            self._at_hand.setdefault(here, Path(sys.executable))
        for python in sorted(_cache().glob(f"*-{sys.implementation.cache_tag}/{_PYTHON}")):
            found = Release.find(python.parents[1].name.partition("-")[0])
            if found is not None:
                self._at_hand.setdefault(found, python)

    def between(self, first: str, last: str) -> list[Release]:
        """Return the releases from the first one to the last, the oldest first.

        ``2025.0`` as the first is the oldest of 2025.0, as the last the newest. Where pip does not tell which ones
        there are, they are those at hand, if both ends are among them.

        Raises:
            ConfigurationError: an end is no release or not there, the first is not older, or pip does not tell.

        """
        ends = [("--from", first), ("--to", last)]
        for option, text in ends:
            if not re.fullmatch(r"\d{4}\.\d+(\.\d+)?", text):
                raise errors.not_a_release(option, text)
        try:
            known = {*_listed(), *self._at_hand}
        except ConfigurationError as error:
            known = set(self._at_hand)
            if not all(_of(text, known) for _, text in ends):
                raise
            self.index_problem = error.what
        for option, text in ends:
            if not _of(text, known):
                raise errors.unknown_release(option, text, map(str, sorted(known)))
        oldest, newest = min(_of(first, known)), max(_of(last, known))
        if oldest == newest:
            raise errors.same_ends(first, last)
        if oldest > newest:
            raise errors.from_newer_than_to(first, last)
        return sorted(each for each in known if oldest <= each <= newest)

    def python(self, release: Release) -> Path:
        """Return the interpreter of a release; one that is not at hand is made.

        Raises:
            CellError: it cannot be made.

        """
        if release not in self._at_hand:
            self._at_hand[release] = _make(release)
        return self._at_hand[release]


def _of(text: str, known: Iterable[Release]) -> list[Release]:
    """Return the releases that a text names, all patches of it if it names none."""
    return [each for each in known if str(each) == text or str(each).rpartition(".")[0] == text]


def _cache() -> Path:
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "quantize-zoo" / "openvino")


def _listed() -> list[Release]:
    """Return the releases that pip finds for this Python on this machine.

    Raises:
        ConfigurationError: it finds none, or there is no pip.

    """
    done = run_pip("index", "versions", _PACKAGE)
    told = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or told is None:
        raise errors.index_silent(pip_cause(done))
    return [found for text in told[1].split(",") if (found := Release.find(text.strip())) is not None]


def _make(release: Release) -> Path:
    """Make an environment in the cache; it appears there whole, or not at all."""
    target = _cache() / f"{release}-{sys.implementation.cache_tag}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as name:
            draft = Path(name) / target.name
            venv.EnvBuilder(symlinks=True).create(draft)
            _install(release, draft / _PYTHON)
            draft.replace(target)
    except (OSError, subprocess.CalledProcessError) as error:
        if not target.is_dir():  # else another process has made it meanwhile
            raise errors.environment_failed(str(release), str(error)) from error
    return target / _PYTHON


def _install(release: Release, python: Path) -> None:
    # Of the two that are installed only OpenVINO is to differ; but the oldest releases take no NumPy 2.
    for packages in ([f"numpy=={version('numpy')}"], []):
        done = run_pip(
            "--python", str(python), "install", "--quiet", "--only-binary", ":all:", f"{_PACKAGE}=={release}", *packages
        )
        if done.returncode == 0:
            return
    raise errors.environment_failed(str(release), pip_cause(done))
