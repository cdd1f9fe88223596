"""A cell's key: what makes it another cell than any other, and all names that follow from that.

Nothing else puts names of cells together: tables, files, the store and the baselines take them from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from quantize_zoo.text.slugs import slug

_CPU_MARK = "@"


@dataclass(frozen=True)
class CellKey:
    """A model on a device, in a way: plugin properties (as text, by name), instruction set, precision, CPU model.

    ``cpu`` is empty where cells are not split by CPU model.
    """

    model: str
    device: str
    properties: tuple[tuple[str, str], ...] = ()
    isa: str | None = None
    precision: str | None = None
    cpu: str = ""

    @property
    def device_label(self) -> str:
        """The device in tables and in the store: ``CPU``, ``CPU[AVX2]``, ``CPU[f32,NUM_STREAMS=2]@AMD-EPYC``."""
        asked = [self.isa or self.precision, *(f"{name}={value}" for name, value in self.properties)]
        told = ",".join(each for each in asked if each)
        label = f"{self.device}[{told}]" if told else self.device
        cpu = re.sub(r"[^A-Za-z0-9.]+", "-", self.cpu).strip("-")
        return f"{label}{_CPU_MARK}{cpu}" if cpu else label

    @property
    def label(self) -> str:
        """The cell's name for people, for ``--cells``, and for what belongs together over the nights."""
        return cell_label(self.model, self.device_label)

    @property
    def slug(self) -> str:
        """The cell's name for files."""
        return slug(self.label)


def cell_label(model: str, device_label: str) -> str:
    """Return a cell's name of what the store has of its key."""
    return f"{model}-{device_label}"


def is_on(device_label: str, planned: str) -> bool:
    """Tell whether a stored cell's device is one that a matrix plans, on whichever CPU model it ran."""
    return device_label == planned or device_label.startswith(f"{planned}{_CPU_MARK}")


def planned_names(label: str) -> list[str]:
    """Return what a stored cell or device may be called in a matrix: see ``is_on``."""
    return [label, *(label[: found.start()] for found in re.finditer(_CPU_MARK, label))]


def without_cpu(label: str) -> str:
    """Return what a matrix calls a cell, or a device, on whichever CPU model it ran."""
    return label.rpartition(_CPU_MARK)[0] or label


def first_twins(keys: Iterable[CellKey]) -> tuple[int, int] | None:
    """Return the positions of the first two keys with one name; None if all differ."""
    seen: dict[str, int] = {}
    for position, key in enumerate(keys):
        if key.label in seen:
            return seen[key.label], position
        seen[key.label] = position
    return None
