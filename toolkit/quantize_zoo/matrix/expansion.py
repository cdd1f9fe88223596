"""The cells of a matrix."""

from __future__ import annotations

from collections.abc import Sequence

from quantize_zoo.cell import Cell
from quantize_zoo.config import MatrixConfig


def expand(matrix: MatrixConfig, cpus: Sequence[str] = ("",)) -> list[Cell]:
    """Return the cells, model by model; ``cpus`` are the CPU models that an engine keeps apart."""
    return [
        Cell(model, device, matrix.references, matrix.input_memory_mb, cpu=cpu)
        for model in matrix.models
        for device in matrix.devices
        if not device.models or model.name in device.models
        for cpu in cpus
    ]
