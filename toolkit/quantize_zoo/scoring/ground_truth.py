"""Ground truth that lies in files: masks, pictures, fields of motion.

The checker's annotations read some of it anew whenever a metric asks, and keep some for good where they are asked. Here
it is read once and kept while there is memory for it, and what the dataset's annotations are stays what it was.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from quantize_zoo.scoring.inputs import InputArrays

_READ_WHEN_ASKED = ("mask", "value", "fgr")
_FOREGROUND = ("fgr", "_foreground_path")  # without a file of its own it is the mask, as postprocessing leaves that


def with_ground_truth(annotations: Iterable[Any], memory: InputArrays) -> Iterator[Any]:
    """Yield annotations that have read all of their ground truth, in copies; None once there is no memory for more."""
    fits = True
    for annotation in annotations:
        if not _reads_files(annotation):
            yield annotation
            continue
        found = own_copy(annotation)
        if not fits or not _read(found):
            yield None
            continue
        fits = memory.reserve(_added_bytes(annotation, found))
        yield found if fits else None


def own_copy(annotation: Any) -> Any:
    """Return a copy that keeps what it reads to itself, that of a container's parts too."""
    found = copy.copy(annotation)
    if isinstance(parts := _parts(annotation), dict):
        found.representations = {name: copy.copy(part) for name, part in parts.items()}
    return found


def _parts(annotation: Any) -> dict[str, Any] | None:
    found = getattr(annotation, "representations", None)
    return found if isinstance(found, dict) else None


def _single(annotation: Any) -> list[Any]:
    """Return an annotation's parts; itself if it is no container."""
    parts = _parts(annotation)
    return [annotation] if parts is None else list(parts.values())


def _missing(annotation: Any) -> list[str]:
    known: Mapping[str, Any] = getattr(annotation, "__dict__", {})
    missing = [name for name in _READ_WHEN_ASKED if known.get(f"_{name}", ...) is None]
    name, file = _FOREGROUND
    return [each for each in missing if each != name or known.get(file)]


def _reads_files(annotation: Any) -> bool:
    return any(_missing(each) for each in _single(annotation))


def _read(annotation: Any) -> bool:
    """Read what is missing; tell whether it could be: whoever scores the sample tells what is wrong with a file."""
    try:
        for each in _single(annotation):
            for name in _missing(each):
                setattr(each, f"_{name}", getattr(each, name))
    except Exception:  # readers raise whatever their libraries raise
        return False
    return True


def _added_bytes(annotation: Any, found: Any) -> int:
    return sum(
        _bytes_of(value)
        for before, after in zip(_single(annotation), _single(found), strict=True)
        for name, value in vars(after).items()
        if value is not vars(before).get(name)
    )


def _bytes_of(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, list | tuple):
        return sum(map(_bytes_of, value))
    if isinstance(value, Mapping):
        return sum(map(_bytes_of, value.values()))
    return len(value) if isinstance(value, bytes) else 0
