"""Statistics of cells on a worker's machine: its other workers read what one of them collected or was sent."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from quantize_zoo.quantization import ModelOption
from quantize_zoo.text.files import write_together


@dataclass(frozen=True)
class Calibrated:
    """The option that a search starts from, and the statistics that were collected for it, by file name."""

    base: ModelOption
    statistics: Mapping[str, bytes]

    @property
    def told(self) -> Told:
        """The same without the contents."""
        return Told(self.base, {name: _hash_of(content) for name, content in self.statistics.items()})


@dataclass(frozen=True)
class Told:
    """What a worker is told of a cell's statistics: the option, and hashes of the files' contents by name."""

    base: ModelOption
    hashes: Mapping[str, str]


class MachineStatistics:
    """Files of cells in the machine's folder for temporary files, where only its user may look.

    Args:
        own: the worker's own folder, which is taken where that cannot be used.

    """

    def __init__(self, own: Path) -> None:
        shared = Path(tempfile.gettempdir()) / f"quantize-zoo-statistics-{os.getuid()}"
        self._folder = shared if _is_private(shared) else own

    def keep(self, key: str, contents: Mapping[str, bytes]) -> None:
        """Add files of a cell; where there is no room for them, their readers collect them anew."""
        with suppress(OSError):
            write_together(self._folder / key, contents)

    def has(self, key: str, told: Told) -> bool:
        """Tell whether all files of a cell are here, with the contents that they should have."""
        try:
            return all(
                _hash_of((self._folder / key / name).read_bytes()) == digest for name, digest in told.hashes.items()
            )
        except OSError:
            return False

    def place(self, key: str, told: Told, folder: Path) -> None:
        """Copy a cell's files into a folder, those that are here."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in told.hashes:
            with suppress(FileNotFoundError):
                shutil.copyfile(self._folder / key / name, folder / name)

    def release(self, key: str) -> None:
        """Remove a cell's files."""
        shutil.rmtree(self._folder / key, ignore_errors=True)


def _is_private(folder: Path) -> bool:
    """Make a folder that nobody else can write or read; tell whether it is one, and not somebody else's."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def _hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
