"""The cells of a matrix."""

from __future__ import annotations

from collections.abc import Sequence

from quantize_zoo import errors
from quantize_zoo.cell import Cell
from quantize_zoo.config import FleetSpec, MatrixConfig, devices_of, first_twins


def expand(matrix: MatrixConfig, cpus: Sequence[str] = ("",)) -> list[Cell]:
    """Return the cells, model by model; ``cpus`` are the CPU models that an engine keeps apart.

    Raises:
        ConfigurationError: two cells would have one name, as names of devices on a command line can make it.

    """
    cells = [
        Cell(
            model,
            devices_of(target)[0],
            matrix.references,
            matrix.input_memory_mb,
            cpu=cpu,
            hang_seconds=60 * matrix.hang_minutes,
            fleet=target if isinstance(target, FleetSpec) else None,
            absent_on_cpu=isinstance(target, FleetSpec) and matrix.on_missing_device == "score_on_cpu",
        )
        for model in matrix.models
        for target in matrix.devices
        if not target.models or model.name in target.models
        for cpu in cpus
    ]
    twins = first_twins(cell.key for cell in cells)
    if twins is not None:
        first, second = (cells[position] for position in twins)
        raise errors.same_cell(first.target.label, second.target.label, second.key.label)
    return cells
