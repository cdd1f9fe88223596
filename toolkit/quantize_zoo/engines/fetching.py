"""A cell's model as a file: fetched where it is named by a zoo, and made canonical, in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from quantize_zoo.cell import Cell
from quantize_zoo.cell.session import CellSession
from quantize_zoo.engines.process import start_process
from quantize_zoo.graph import canonical_path, content_hash
from quantize_zoo.zoo import fetch_model


def fetch(cell: Cell, folder: Path, log: Path) -> Cell:
    """Return the cell with its canonical FP32 model, which is made if the folder does not have it yet.

    Args:
        cell: the cell as the matrix has it.
        folder: where canonical models are kept, by content, for all runs.
        log: what a converter prints goes into this file.

    Raises:
        QuantizeZooError: the model cannot be had, read, or given the shapes that are asked for.

    """
    source = cell.model.model if cell.model.zoo_name is None else fetch_model(cell.model.zoo_name)
    # Absolute, as all other files that a model's configuration names: a worker has them in a tree of its own.
    target = canonical_path(source, cell.model.input_shapes, folder.absolute())
    if not target.is_file():
        # Converters are native code, which may crash: not in the process that runs the night.
        with start_process(cell, log, folder / ".statistics", folder / ".inputs") as process:
            process.call(CellSession.convert, source, target)
    model = cell.model.model_copy(update={"model": target})
    return replace(cell, model=model, content=content_hash(source)[:12])
