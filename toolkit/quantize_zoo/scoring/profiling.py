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
from scipy import stats

from quantize_zoo import errors

_BUDGET_SECONDS = 0.5
_FEWEST, _MOST = 5, 200  # inferences of each side
_WARM_UP = 5
_TRIMMED = 0.2

_Executed = dict[str, tuple[str, float]]  # by name: kernel, and microseconds


@dataclass(frozen=True)
class LayerTime:
    """Microseconds of one executed operation in FP32 and in the candidate; None on a side that does not execute it.

    What the plugin adds for an operation (FakeQuantize, conversions of its inputs) counts as its time; the kernel is
    that of its longest part.
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
        requests = [_request(compiled, sample) for compiled in (reference, candidate)]
        start = time.perf_counter()
        for request in requests * _WARM_UP:
            request.infer()
        seconds = (time.perf_counter() - start) / _WARM_UP
        rounds: list[list[list[Any]]] = [[], []]
        for _ in range(int(np.clip(_BUDGET_SECONDS / seconds, _FEWEST, _MOST))):
            for side, request in zip(rounds, requests, strict=True):
                request.infer()
                side.append(request.get_profiling_info())
    except RuntimeError as error:
        raise errors.inference_failed("profiling", errors.message_of(error)) from error
    first, second = (_executed(side) for side in rounds)
    return tuple(_paired(first, second))


def _request(compiled: Any, sample: Mapping[str, NDArray[Any]]) -> Any:
    request = compiled.create_infer_request()
    for name, value in sample.items():
        request.set_tensor(name, ov.Tensor(np.ascontiguousarray(value)))
    return request


def _executed(rounds: list[list[Any]]) -> _Executed:
    """Return what was executed; times have a resolution of a microsecond, so a mean tells more than a median."""
    found: _Executed = {}
    for nodes in zip(*rounds, strict=True):
        # What took less than half a microsecond in a round counts as not run in it.
        if any(node.status == ov.ProfilingInfo.Status.EXECUTED for node in nodes):
            micros = [node.real_time.total_seconds() * 1e6 for node in nodes]
            found[nodes[0].node_name] = (nodes[0].exec_type, float(stats.trim_mean(micros, _TRIMMED)))
    return found


def _paired(reference: _Executed, candidate: _Executed) -> Iterable[LayerTime]:
    parts: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for name, part in candidate.items():
        parts[_owner(name, reference)].append(part)
    for name in [*reference, *(name for name in parts if name not in reference)]:
        kernel, micros = reference.get(name, ("", None))
        own = sorted(parts.get(name, ()), key=lambda part: -part[1])
        yield LayerTime(name, micros, sum(part[1] for part in own) if own else None, kernel, own[0][0] if own else "")


def _owner(name: str, reference: _Executed) -> str:
    """Return the operation of FP32 that a name belongs to: its own, or what it was made for, ``conv/fq_input_0``."""
    start = name
    while start:
        if start in reference:
            return start
        start = start.rpartition("/")[0]
    return name
