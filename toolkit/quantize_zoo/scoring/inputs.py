"""Preprocessed inputs of all samples: in memory up to a budget, beyond it in memory-mapped files.

All samples of a model have the same shapes, so each of its inputs is one array, samples first.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors


@dataclass(frozen=True)
class InputBudget:
    """How many bytes of inputs stay in memory; ``folder`` takes those of a dataset that does not fit."""

    folder: Path
    memory_bytes: int


IN_MEMORY = InputBudget(Path(), sys.maxsize)


class InputArrays:
    """Room for the inputs of ``count`` samples; the files of those on disk vanish with this value.

    Args:
        shapes: of each input of one sample.
        dtypes: of each input.
        count: how many samples there may be.
        budget: where the limit is.

    Raises:
        CellError: the disk is full.

    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, Any], count: int, budget: InputBudget
    ) -> None:
        wanted = {name: (count, *shape) for name, shape in shapes.items()}
        size = sum(int(np.prod(shape)) * np.dtype(dtypes[name]).itemsize for name, shape in wanted.items())
        self.on_disk = size > budget.memory_bytes
        if not self.on_disk:
            self._arrays = {name: np.empty(shape, dtypes[name]) for name, shape in wanted.items()}
            return
        try:
            budget.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(budget.folder).free
            if size > free:  # a mapped file that the disk has no room for ends the process with SIGBUS
                raise errors.inputs_do_not_fit(budget.folder, size, free)
            folder = tempfile.mkdtemp(dir=budget.folder, prefix="inputs-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self._arrays = {
                name: np.memmap(Path(folder) / f"{number}.bin", mode="w+", dtype=np.dtype(dtypes[name]), shape=shape)
                for number, (name, shape) in enumerate(wanted.items())
            }
        except OSError as error:
            raise errors.inputs_unwritable(budget.folder, str(error)) from error

    def put(self, index: int, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Keep one sample's inputs."""
        for name, array in self._arrays.items():
            array[index] = inputs[name]

    def get(self, index: int) -> dict[str, NDArray[Any]]:
        """Return one sample's inputs as they were put, without copying."""
        # With the dots also what is a single number stays an array.
        return {name: array[index, ...] for name, array in self._arrays.items()}
