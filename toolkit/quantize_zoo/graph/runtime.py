"""OpenVINO's runtime: one for each process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import openvino as ov
from numpy.typing import NDArray


@cache
def core() -> ov.Core:
    """Return the process's Core.

    Each Core loads the CPU plugin anew, which gives the thread a stack for signals and takes away that of the one
    before: once several have come and gone, the next signal ends the process by SIGSEGV.
    """
    return ov.Core()


def infer_afresh(compiled: Any, samples: Iterable[Mapping[str, NDArray[Any]]]) -> Iterator[list[NDArray[Any]]]:
    """Yield the outputs of a compiled model for one sample after another; a state begins anew with each.

    Raises:
        RuntimeError: inference fails.

    """
    request = compiled.create_infer_request()
    for sample in samples:
        request.reset_state()
        yield [value.copy() for value in request.infer(dict(sample)).values()]
