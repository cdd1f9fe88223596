"""OpenVINO's runtime: one for each process."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino as ov

# oneDNN keeps the kernels that it made last, for all models of a process: 1,024, if nobody says more. Samples of 400
# shapes take ten times as many in each pass of a model, and candidates have most of them in common.
KERNELS_VARIABLE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
_KERNELS = "16384"


@cache
def core() -> ov.Core:
    """Return the process's Core.

    Each Core loads the CPU plugin anew, which gives the thread a stack for signals and takes away that of the one
    before: once several have come and gone, the next signal ends the process by SIGSEGV.
    """
    import openvino as ov

    os.environ.setdefault(KERNELS_VARIABLE, _KERNELS)  # read once, as the first model is compiled
    return ov.Core()
