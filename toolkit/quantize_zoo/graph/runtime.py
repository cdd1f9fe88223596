"""OpenVINO's runtime: one for each process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openvino as ov
    from numpy.typing import NDArray

# How many of the kernels that it made last oneDNN keeps, for all models of a process; 1,024, if nobody says more.
KERNELS_VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
_KERNELS, _MANY_SHAPES = "16384", 16


@cache
def core() -> ov.Core:
    """Return the process's Core.

    Each Core loads the CPU plugin anew, which gives the thread a stack for signals and takes away that of the one
    before: once several have come and gone, the next signal ends the process by SIGSEGV.
    """
    import openvino as ov

    return ov.Core()


def keep_kernels(inputs: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    """Let this process, and those that it starts, keep the kernels of samples of many shapes.

    Samples of 400 shapes take ten times as many in each pass as are kept by default, and candidates have most of them
    in common. Of one shape there are few, and most are a candidate's own, so there it would only take memory. oneDNN
    reads the number once, as the first model is compiled; one that the user has set stays.
    """
    if len({tuple(value.shape for value in sample.values()) for sample in inputs}) > _MANY_SHAPES:
        os.environ.setdefault(KERNELS_VARIABLE, _KERNELS)
