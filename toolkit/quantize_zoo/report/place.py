"""Where a run is stored, as the commands that a page offers have to say it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from quantize_zoo.config import default_matrix_path, takes_waivers
from quantize_zoo.terms import DEFAULT_REPORTS, default_store


@dataclass(frozen=True)
class Place:
    """Matrix, folder of reports and store of a run; each is empty where it is the command's default.

    ``waivable`` tells whether waivers can stand in the matrix: not in one model's YAML.
    """

    matrix: str = ""
    reports: str = ""
    store: str = ""
    waivable: bool = True

    @property
    def stored(self) -> str:
        """The options of a command that reads the store, each with a space before it."""
        return _option("--reports", self.reports) + _option("--store", self.store)

    @property
    def planned(self) -> str:
        """The option of a command that reads the matrix, with a space before it."""
        return _option("--matrix", self.matrix)


def find_place(matrix: str, reports: Path, store: str) -> Place:
    """Return where a run is, as seen from the working directory.

    Args:
        matrix: the file, as the run has it.
        reports: the folder for reports.
        store: URL of the store, without its password.

    """
    path = Path(matrix)
    return Place(
        "" if path == default_matrix_path() else _from_here(path),
        "" if reports == DEFAULT_REPORTS else str(reports),
        "" if store == default_store(reports) else store,
        takes_waivers(path),
    )


def _from_here(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _option(name: str, value: str) -> str:
    return f" {name} {shlex.quote(value)}" if value else ""
