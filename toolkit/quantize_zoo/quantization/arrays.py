"""Files of named arrays (``.npz``): written whole, read without pickle, so never as code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.text.files import drafts_for, place

Write = Callable[..., None]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], write: Write = np.savez) -> None:
    """Write arrays by name, ``write`` says how; the file appears whole, or not at all.

    Raises:
        OSError: it cannot be written.

    """
    with drafts_for(path.parent) as drafts:
        write(drafts / path.name, **arrays)
        place(drafts, path.parent, [path.name])


@contextmanager
def arrays_of(path: Path) -> Iterator[NpzFile]:
    """Open a file of arrays, which are read one by one within the context.

    Raises:
        ValueError: it is not there, or it or an array that is read is damaged.

    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            if not isinstance(stored, NpzFile):
                raise ValueError("it is no file of named arrays")
            yield stored
    except Exception as error:  # NumPy, zipfile and zlib raise whatever a damaged file brings about
        raise ValueError(errors.described(error)) from error
