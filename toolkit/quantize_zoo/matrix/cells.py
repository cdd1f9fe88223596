"""A cell is one model on one device."""

from __future__ import annotations

from dataclasses import dataclass

from quantize_zoo.config import DeviceSpec, MatrixConfig, ModelConfig


@dataclass(frozen=True)
class Cell:
    """One model on one device; ``references`` name the tools whose models are scored beside it."""

    model: ModelConfig
    device: DeviceSpec
    references: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name for tables, files and progress."""
        return f"{self.model.name}-{self.device.label}"


def expand(matrix: MatrixConfig) -> list[Cell]:
    """Return the cells, model by model."""
    return [Cell(model, device, matrix.references) for model in matrix.models for device in matrix.devices]
