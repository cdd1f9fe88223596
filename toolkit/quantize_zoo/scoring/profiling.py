"""Where the time of an inference goes, layer by layer, as the device plugin's own profiling tells it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.scoring.compilation import request_with

WARM_UP = 10  # inferences
CLOCK_US = 1.0  # the plugin's clock counts whole microseconds
_BUDGET_SECONDS = 0.5
_FEWEST, _MOST = 10, 200  # inferences of each side

# What the CPU plugin calls a kernel where nothing is executed: fused, a view of another tensor, a reorder in place.
_NO_KERNELS = ("undef", "unknown", "reorder")

Times = dict[str, tuple[str, float]]  # of what was executed, by name: kernel, and microseconds
Profile = Sequence[tuple[str, bool, str, float]]  # what a plugin says: name, whether executed, kernel, microseconds


@dataclass(frozen=True)
class LayerTime:
    """Microseconds of one executed operation in FP32 and in the candidate; None on a side that does not execute it.

    What the plugin adds for an operation (FakeQuantize, conversions of its inputs) counts as its time; the kernel is
    that of its longest part. What is executed in less than the microsecond that the plugin's clock resolves takes 0.0.
    """

    name: str
    reference_us: float | None
    candidate_us: float | None
    reference_kernel: str = ""
    candidate_kernel: str = ""


def profile_layers(
    reference: Any, candidate: Any, samples: Sequence[Mapping[str, NDArray[Any]]]
) -> tuple[LayerTime, ...]:
    """Profile two models in turns; return the layers in the order in which FP32 executes them, then the others.

    A device without profiling gives no layers.

    Args:
        reference: FP32 model, compiled with profiling.
        candidate: the quantized one, likewise.
        samples: the value of each input; of several samples the middle one is taken.

    Raises:
        CellError: inference fails.

    """
    sides = times_in_turns((reference, candidate), samples, _BUDGET_SECONDS)
    return tuple(_paired(*sides))


def times_in_turns(models: Sequence[Any], samples: Sequence[Mapping[str, NDArray[Any]]], seconds: float) -> list[Times]:
    """Return the layer times of models that take turns for about so many seconds.

    Args:
        models: compiled with profiling.
        samples: the value of each input; of several samples the middle one is taken.
        seconds: to infer for, all of them together.

    Raises:
        CellError: inference fails.

    """
    try:
        sample = samples[len(samples) // 2]
        requests = [request_with(compiled, sample) for compiled in models]
        _infer(requests, 1)
        first = [_profile(request) for request in requests]
        start = time.perf_counter()
        _infer(requests, WARM_UP - 1)
        taken = (time.perf_counter() - start) / (WARM_UP - 1)
        warm = [_profile(request) for request in requests]
        count = int(np.clip(seconds / taken, _FEWEST, _MOST))
        _infer(requests, count)
        return [
            executed_times((one, other, _profile(request)), count, averages=_averages(compiled))
            for compiled, one, other, request in zip(models, first, warm, requests, strict=True)
        ]
    except RuntimeError as error:
        raise errors.inference_failed("profiling", errors.message_of(error)) from error


def _infer(requests: list[Any], rounds: int) -> None:
    for request in requests * rounds:
        request.reset_state()
        request.infer()


def _averages(compiled: Any) -> bool:
    """Whether times are means over all inferences since compiling, as the CPU plugin's are; else the last one's."""
    return list(compiled.get_property("EXECUTION_DEVICES")) == ["CPU"]


def _profile(request: Any) -> Profile:
    return [
        (node.node_name, node.status.name == "EXECUTED", node.exec_type, node.real_time.total_seconds() * 1e6)
        for node in request.get_profiling_info()
    ]


def executed_times(profiles: tuple[Profile, Profile, Profile], count: int, *, averages: bool) -> Times:
    """Return the time of each layer that is executed.

    Args:
        profiles: after the first inference, after ``WARM_UP`` of them, and after ``count`` more.
        count: how many inferences were made after the warm-up.
        averages: whether the times are means over all inferences so far, and not those of the last one.

    """
    executed = {name for profile in profiles for name, is_executed, *_ in profile if is_executed}
    if averages and executed:  # without any, nothing is profiled
        executed |= {name for name, _, kernel, _ in profiles[0] if _is_kernel(kernel)}
    warm, now = ({name: (kernel, micros) for name, _, kernel, micros in profile} for profile in profiles[1:])
    times = without_warm_up(warm, WARM_UP, now, count) if averages else now
    return {
        name: (kernel, micros if micros >= CLOCK_US else 0.0)
        for name, (kernel, micros) in times.items()
        if name in executed
    }


def _is_kernel(kernel: str) -> bool:
    """Whether the CPU plugin executes a layer, also one that it says NOT_RUN of since it takes less than a microsecond.

    A few executed layers have no kernel's name (Transpose): the first inference is slow enough to give them a time.
    """
    return kernel.split("_")[0] not in _NO_KERNELS


def without_warm_up(warm: Times, warm_count: int, now: Times, count: int) -> Times:
    """Return the means of the last ``count`` inferences, of means over the first ones and means over all.

    The first inference of all is ten times as slow as the others.
    """
    total = warm_count + count
    return {
        name: (kernel, max(0.0, (total * micros - warm_count * warm.get(name, ("", 0.0))[1]) / count))
        for name, (kernel, micros) in now.items()
    }


def _paired(reference: Times, candidate: Times) -> Iterable[LayerTime]:
    parts: dict[str, Times] = defaultdict(dict)
    for name, part in candidate.items():
        parts[owner_of(name, reference)][name] = part
    for name in [*reference, *(name for name in parts if name not in reference)]:
        kernel, micros = reference.get(name, ("", None))
        # The longest part, and the operation itself where several take less than the clock tells.
        own = [part for _, part in sorted(parts[name].items(), key=lambda item: (-item[1][1], item[0] != name))]
        yield LayerTime(name, micros, sum(part[1] for part in own) if own else None, kernel, own[0][0] if own else "")


def owner_of(name: str, operations: Container[str]) -> str:
    """Return the operation that an executed layer belongs to: its own, or what it was made for, ``conv/fq_input_0``."""
    start = name
    while start:
        if start in operations:
            return start
        start = start.rpartition("/")[0]
    return name
