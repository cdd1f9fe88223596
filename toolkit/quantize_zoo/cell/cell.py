"""A cell is one model on one device."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quantize_zoo.config import DeviceSpec, ModelConfig

CPU = DeviceSpec(device="CPU")


@dataclass(frozen=True)
class Cell:
    """One model on one device.

    ``references`` name the tools whose models are scored beside it. With ``scored_on_cpu`` the model is quantized for
    the device, which is not there, and its accuracy is the CPU's. ``cpu`` is the CPU model of the machines that it runs
    on, where these differ.
    """

    model: ModelConfig
    device: DeviceSpec
    references: tuple[str, ...] = ()
    input_memory_mb: int = 2048
    scored_on_cpu: bool = False
    cpu: str = ""

    @property
    def name(self) -> str:
        """Name for tables, files and progress."""
        return f"{self.model.name}-{self.device_label}"

    @property
    def device_label(self) -> str:
        """The device in tables and in the store, with the CPU model where machines differ: ``CPU@AMD-EPYC``."""
        cpu = re.sub(r"[^A-Za-z0-9.]+", "-", self.cpu).strip("-")
        return f"{self.device.label}@{cpu}" if cpu else self.device.label

    @property
    def scoring_device(self) -> DeviceSpec:
        """The device that models run on."""
        return CPU if self.scored_on_cpu else self.device
