"""Where the time of an inference goes, layer by layer, as the device plugin's own profiling tells it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.scoring.compilation import request_with

_BUDGET_SECONDS = 0.5
_FEWEST, _MOST = 10, 200  # inferences of each side
_WARM_UP = 10

_Times = dict[str, tuple[str, float]]  # of what was executed, by name: kernel, and microseconds


@dataclass(frozen=True)
class LayerTime:
    """Microseconds of one executed operation in FP32 and in the candidate; None on a side that does not execute it.

    What the plugin adds for an operation (FakeQuantize, conversions of its inputs) counts as its time; the kernel is
    that of its longest part. The plugin's clock has a resolution of a microsecond.
    """

    name: str
    reference_us: float | None
    candidate_us: float | None
    reference_kernel: str = ""
    candidate_kernel: str = ""


def profile_layers(reference: Any, candidate: Any, sample: Mapping[str, NDArray[Any]]) -> tuple[LayerTime, ...]:
    """Profile two models in turns; return the layers in the order in which FP32 executes them, then the others.

    A device without profiling gives no layers.

    Args:
        reference: FP32 model, compiled with profiling.
        candidate: the quantized one, likewise.
        sample: the value of each input.

    Raises:
        CellError: inference fails.

    """
    try:
        requests = [request_with(compiled, sample) for compiled in (reference, candidate)]
        start = time.perf_counter()
        _infer(requests, _WARM_UP)
        seconds = (time.perf_counter() - start) / _WARM_UP
        warm = [_times(request) for request in requests]
        count = int(np.clip(_BUDGET_SECONDS / seconds, _FEWEST, _MOST))
        _infer(requests, count)
        first, second = (
            _since(before, _times(request), count) if _averages(compiled) else _times(request)
            for before, request, compiled in zip(warm, requests, (reference, candidate), strict=True)
        )
    except RuntimeError as error:
        raise errors.inference_failed("profiling", errors.message_of(error)) from error
    return tuple(_paired(first, second))


def _infer(requests: list[Any], rounds: int) -> None:
    for request in requests * rounds:
        request.infer()


def _averages(compiled: Any) -> bool:
    """Whether times are means over all inferences since compiling, as the CPU plugin's are; else the last one's."""
    return list(compiled.get_property("EXECUTION_DEVICES")) == ["CPU"]


def _times(request: Any) -> _Times:
    return {
        node.node_name: (node.exec_type, node.real_time.total_seconds() * 1e6)
        for node in request.get_profiling_info()
        if node.status == ov.ProfilingInfo.Status.EXECUTED
    }


def _since(warm: _Times, now: _Times, count: int) -> _Times:
    """Return the means without the inferences of the warm-up, of which the first is ten times as slow as the others."""
    total = _WARM_UP + count
    return {
        name: (kernel, max(0.0, (total * micros - _WARM_UP * warm.get(name, ("", 0.0))[1]) / count))
        for name, (kernel, micros) in now.items()
    }


def _paired(reference: _Times, candidate: _Times) -> Iterable[LayerTime]:
    parts: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for name, part in candidate.items():
        parts[_owner(name, reference)].append(part)
    for name in [*reference, *(name for name in parts if name not in reference)]:
        kernel, micros = reference.get(name, ("", None))
        own = sorted(parts.get(name, ()), key=lambda part: -part[1])
        yield LayerTime(name, micros, sum(part[1] for part in own) if own else None, kernel, own[0][0] if own else "")


def _owner(name: str, reference: _Times) -> str:
    """Return the operation of FP32 that a name belongs to: its own, or what it was made for, ``conv/fq_input_0``."""
    start = name
    while start:
        if start in reference:
            return start
        start = start.rpartition("/")[0]
    return name
