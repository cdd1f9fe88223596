"""Where commands read and write: the matrix, the folder for reports, the store, a stored run's cells."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from quantize_zoo import errors
from quantize_zoo.terms import default_store
from quantize_zoo.text.files import made
from quantize_zoo.text.paths import is_file, why_no_folder

if TYPE_CHECKING:
    from quantize_zoo.config import MatrixConfig
    from quantize_zoo.store import CellRecord, RunRecord, Store

Found = TypeVar("Found")


def matrix_at(
    path: Path | None,
    models: list[str],
    devices: list[str],
    changes: dict[str, Any],
    definitions: Path | None = None,
) -> MatrixConfig:
    """Load a matrix, apply the command line's choices, and validate the checker's configurations."""
    from quantize_zoo.config import default_matrix_path, load_matrix
    from quantize_zoo.scoring import require_properties
    from quantize_zoo.zoo import complete_matrix

    if definitions is not None and not is_file(definitions):
        raise errors.file_missing(definitions, "--definitions", beside=False)
    matrix = load_matrix(path or default_matrix_path())
    require_properties(matrix)
    matrix = matrix.select(models, devices)
    if definitions is not None:
        matrix = matrix.with_definitions(definitions)
    matrix = complete_matrix(matrix)
    if "nncf" in matrix.references:
        from quantize_zoo.cell.nncf import require_nncf

        require_nncf()
    return matrix.with_optimizer(changes)


def looked_at(matrix: MatrixConfig) -> MatrixConfig:
    """Return a matrix whose models a command goes on with: one of them has to be right to read, and a model."""
    from quantize_zoo.cell.inspection import require_entries, require_models

    require_entries(matrix.models)
    if len(matrix.models) == 1:
        require_models(matrix.models)
    return matrix


@contextmanager
def writable(folder: Path, option: str = "--reports") -> Iterator[None]:
    """Make a folder for reports or models, and see that it can be written; what is refused meanwhile leaves none.

    The option names another folder.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(made(folder))
        except (OSError, ValueError) as error:
            raise errors.reports_unwritable(folder, errors.message_of(error), option) from error
        if not os.access(folder, os.W_OK):
            raise errors.reports_unwritable(folder, "permission denied", option)
        yield


def new_or_existing_store(store: str | None, reports: Path) -> Store:
    """Open the store, which is made where there is none, and the folder for reports with it."""
    from quantize_zoo.store import Store

    with writable(reports):
        return Store(default_store(reports) if store is None else store)


def existing_store(store: str | None, reports: Path) -> Store:
    """Open the store of earlier runs."""
    from quantize_zoo.store import Store

    if store is None and why_no_folder(reports):
        raise errors.no_reports(reports)
    return Store(default_store(reports) if store is None else store, new=False)


def cell_of(run: RunRecord, name: str, where: str) -> CellRecord:
    """Return a stored run's cell by its name; ``where`` is the option or argument that says it."""
    return _known_cell({cell.name: cell for cell in run.cells}, name, where)


def chosen_cells(known: Mapping[str, Found], names: list[str]) -> list[Found]:
    """Return those of a stored run's cells, by name, that ``--cells`` names; all of them where it names none."""
    return [_known_cell(known, name, "--cells") for name in names] or list(known.values())


def _known_cell(known: Mapping[str, Found], name: str, where: str) -> Found:
    if name not in known:
        raise errors.unknown_cell(name, known, where)
    return known[name]
