"""Preprocessed inputs of all samples: in memory up to a budget, those beyond it in a file.

Samples may have different shapes, so each of them is kept by itself.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors

_ALIGNMENT = 64  # bytes; of the arrays in a file


@dataclass(frozen=True)
class InputBudget:
    """How many bytes of inputs stay in memory; ``folder`` takes those of a dataset that does not fit."""

    folder: Path
    memory_bytes: int


IN_MEMORY = InputBudget(Path(), sys.maxsize)


@dataclass(frozen=True)
class _Stored:
    """An array in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class InputArrays:
    """The inputs of up to ``count`` samples; the file of those on disk vanishes with this value.

    Args:
        count: how many samples there may be.
        budget: where the limit is.

    """

    def __init__(self, count: int, budget: InputBudget) -> None:
        self._count = count
        self._budget = budget
        self._bytes = 0
        self._samples: list[dict[str, NDArray[Any] | _Stored]] = []
        self._file: IO[bytes] | None = None
        self._mapped: NDArray[np.uint8] | None = None

    @property
    def on_disk(self) -> bool:
        """Whether some are in a file."""
        return self._file is not None

    def append(self, inputs: Mapping[str, NDArray[Any]]) -> int:
        """Keep the inputs of one more inference; return their position.

        Raises:
            CellError: the disk is full.

        """
        self._bytes += sum(value.nbytes for value in inputs.values())
        if self._bytes <= self._budget.memory_bytes:
            self._samples.append({name: value.copy() for name, value in inputs.items()})
            return len(self._samples) - 1
        try:
            if self._file is None:
                self._file = self._open()
            self._samples.append({name: _write(self._file, value) for name, value in inputs.items()})
        except OSError as error:
            raise errors.inputs_unwritable(self._budget.folder, error.strerror or str(error)) from error
        return len(self._samples) - 1

    def reserve(self, count: int) -> bool:
        """Count so many bytes of something else that is kept; tell whether there was memory for them."""
        fits = self._bytes + count <= self._budget.memory_bytes
        self._bytes += count if fits else 0
        return fits

    def get(self, index: int) -> dict[str, NDArray[Any]]:
        """Return the inputs at a position, without copying."""
        found = self._samples[index]
        return {name: self._read(each) if isinstance(each, _Stored) else each for name, each in found.items()}

    def have_one_shape(self) -> bool:
        """Tell whether the inputs of all samples have the same shapes."""
        return len({tuple((name, each.shape) for name, each in sample.items()) for sample in self._samples}) == 1

    def _open(self) -> IO[bytes]:
        folder = self._budget.folder
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        expected = self._bytes * max(0, self._count - len(self._samples)) // (len(self._samples) + 1)
        if expected > free:
            raise errors.inputs_do_not_fit(folder, expected, free)
        file = tempfile.NamedTemporaryFile(dir=folder, prefix="inputs-", suffix=".bin")  # noqa: SIM115  # as long as this
        weakref.finalize(self, file.close)
        return file

    def _read(self, stored: _Stored) -> NDArray[Any]:
        assert self._file is not None, "something was written"
        size = stored.dtype.itemsize * int(np.prod(stored.shape, dtype=np.int64))
        if self._mapped is None or len(self._mapped) < stored.offset + size:
            self._file.flush()
            # OpenVINO takes what can be written only. A private copy is refused where it is larger than the memory.
            self._mapped = np.memmap(self._file.name, mode="r+", dtype=np.uint8)
        return self._mapped[stored.offset : stored.offset + size].view(stored.dtype).reshape(stored.shape)


def _write(file: IO[bytes], value: NDArray[Any]) -> _Stored:
    offset = file.tell()
    file.write(np.ascontiguousarray(value).tobytes())
    file.write(bytes(-file.tell() % _ALIGNMENT or _ALIGNMENT))  # a file that is mapped is not empty
    return _Stored(offset, value.shape, value.dtype)
