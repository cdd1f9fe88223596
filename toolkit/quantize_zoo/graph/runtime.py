"""OpenVINO's runtime: one for each process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino as ov


@cache
def core() -> ov.Core:
    """Return the process's Core.

    Each Core loads the CPU plugin anew, which gives the thread a stack for signals and takes away that of the one
    before: once several have come and gone, the next signal ends the process by SIGSEGV.
    """
    import openvino as ov

    return ov.Core()
