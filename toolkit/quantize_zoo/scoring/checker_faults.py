"""All that can be told to be wrong with an entry of the accuracy checker's configuration without model and data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from quantize_zoo import errors
from quantize_zoo.graph import memory_bytes
from quantize_zoo.scoring.checker import find_checker
from quantize_zoo.scoring.checker_failures import cannot_be_made
from quantize_zoo.scoring.checker_levels import Where
from quantize_zoo.scoring.checker_parts import Fault, Part, faults_of_parts, parts_of

_MADE_TO_SIZE = ("resize", "padding")  # steps that make pictures of the size that is written, however small theirs
_BY_THE_PICTURE = {"aspect_ratio_scale", "scale"}  # with these the size depends on theirs


def faults_of(entry: Mapping[str, Any], where: Where, *, files: bool, scored: bool = True) -> Iterator[Fault]:
    """Yield all that is wrong with an entry; its paths are absolute.

    Args:
        entry: as ``checker_entry`` returns it.
        where: tells file and line of its keys.
        files: see whether the files that it names are there.
        scored: an accuracy is asked for, which takes an annotation and metrics, and not calibration alone.

    """
    found = list(faults_of_parts(entry, where, files=files, scored=scored))
    yield from found
    if found:
        return
    for part in parts_of(entry):
        if taken := _beyond_memory(part):
            size = f"{part.kind.label} {part.name!r}: its pictures"
            error = errors.beyond_memory(size, taken, memory_bytes(), where(part.keys))
            yield Fault(errors.not_ready(error.where, error.what, error.remedy))
            return
    yield from _steps_that_cannot_be_made(entry, where)


def _beyond_memory(part: Part) -> int:
    """Return how many bytes of one channel a step makes whatever it is given, if they are more than the memory."""
    if part.name not in _MADE_TO_SIZE or part.config.keys() & _BY_THE_PICTURE:
        return 0
    both = (part.config.get("size", part.config.get(key)) for key in ("dst_height", "dst_width"))
    taken = math.prod(int(float(each or 0)) for each in both)
    return taken if taken > memory_bytes() else 0


def _steps_that_cannot_be_made(entry: Mapping[str, Any], where: Where) -> Iterator[Fault]:
    """Make each step of the preprocessing: which of its values do not go together is told by nothing else.

    Steps that name files are made with the data; so are all other parts, which take annotation or model.
    """
    path_field = find_checker().module("config").PathField
    for part in parts_of(entry):
        if part.keys[2] != "preprocessing" or any(isinstance(each, path_field) for each in part.parameters.values()):
            continue
        try:
            part.kind.base_class.provide(part.name, dict(part.config))
        except Exception as error:  # steps raise what their libraries raise
            made = cannot_be_made(error, entry, where, None)
            yield Fault(errors.not_ready(made.where, made.what, made.remedy))
