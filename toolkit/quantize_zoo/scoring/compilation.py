"""Compile a model for scoring, and tell which precision and instruction set it really runs in."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import BenchmarkParams, DeviceSpec
from quantize_zoo.graph.runtime import core
from quantize_zoo.scoring.environment import ISA_VARIABLE, SETS_OF_F32
from quantize_zoo.scoring.precisions import precision_name
from quantize_zoo.scoring.runtime_graph import runtime_operations

if TYPE_CHECKING:
    import openvino as ov

_INSTRUCTION_SET = re.compile(r"avx10|avx512|avx2|avx|sse|amx")


@dataclass(frozen=True)
class Execution:
    """What a compiled model runs in: the plugin's floating point precision, and the kernels' precisions and sets.

    ``kernels`` counts the executed operations by instruction set, ``precisions`` by precision; operations that the
    plugin does not describe are left out.
    """

    inference_precision: str
    kernels: dict[str, int]
    precisions: dict[str, int]


def compile_for_accuracy(model: ov.Model, device: DeviceSpec) -> Any:
    """Compile for throughput, with all cores.

    Raises:
        CellError: the device refuses the model.

    """
    return _compile(model, device.device, accuracy_properties(device))


def compile_for_latency(
    model: ov.Model, device: DeviceSpec, benchmark: BenchmarkParams, *, profiled: bool = False
) -> Any:
    """Compile with the benchmark's threads and streams; ``profiled`` for the plugin's times of single layers.

    One compilation with a stream for each core could serve accuracy as well, but a synchronous request then hops
    between threads: measured, that triples the latency of a 0.1 ms model and makes its interval seven times as wide.
    What it exports can, see ``compile_from_accuracy``.

    Raises:
        CellError: the device refuses the model.

    """
    return _compile(model, device.device, _timed(device, benchmark, profiled=profiled))


def compile_again(
    compiled: Any, model: ov.Model, device: DeviceSpec, benchmark: BenchmarkParams, execution: Execution | None = None
) -> Callable[[], Any]:
    """Return what gives one compilation after another of a model for latency: the given one, then new ones.

    It reads back what the plugin exports, as OpenVINO's model cache does, in a quarter of the time; where the plugin
    exports nothing, or executes something else then, it compiles the model anew. What it returns raises RuntimeError if
    an export cannot be read back, and CellError if the device refuses the model. ``execution`` is that of the given
    one, where it was read before: reading it takes a twentieth of compiling.
    """
    return _after([compiled], compiled, model, device, _timed(device, benchmark), execution)


def serves_latency(device: DeviceSpec) -> bool:
    """Tell whether what a device exports of a model that was compiled for accuracy is read back for latency.

    Virtual devices keep the properties of the devices below them in what they export.
    """
    return device.device == "CPU"


def compile_from(
    compiled: Any,
    model: ov.Model,
    device: DeviceSpec,
    benchmark: BenchmarkParams,
    execution: Execution | None = None,
    *,
    profiled: bool = False,
) -> Callable[[], Any]:
    """Return the same without the given one, which may have been compiled for accuracy; see ``serves_latency``.

    The properties of accuracy and latency differ in streams and threads only, which the plugin looks at after what it
    exports is made. ``profiled`` as in ``compile_for_latency``.
    """
    return _after([], compiled, model, device, _timed(device, benchmark, profiled=profiled), execution)


def _timed(device: DeviceSpec, benchmark: BenchmarkParams, *, profiled: bool = False) -> dict[str, Any]:
    return {**latency_properties(device, benchmark), **({"PERF_COUNT": True} if profiled else {})}


def _after(
    made: list[Any],
    compiled: Any,
    model: ov.Model,
    device: DeviceSpec,
    properties: dict[str, Any],
    execution: Execution | None,
) -> Callable[[], Any]:
    """Return what gives the compilations that were made, then others."""
    make = partial(_compile, model, device.device, properties)
    try:
        exported = compiled.export_model().getvalue()
        read_back = partial(core().import_model, exported, device.device, properties)
        again = read_back()
        if describe_execution(again) == (execution or describe_execution(compiled)):
            made.append(again)
            make = read_back
    except RuntimeError:  # operations or devices that cannot be exported
        pass
    return lambda: made.pop(0) if made else make()


def accuracy_properties(device: DeviceSpec, limit: str | None = None) -> dict[str, Any]:
    """Return the plugin properties with which accuracy is scored.

    ``limit`` is the instruction set that oneDNN is limited to where the model runs; by default this process's.
    """
    return {"PERFORMANCE_HINT": "THROUGHPUT", **_asked(device, limit)}


def latency_properties(device: DeviceSpec, benchmark: BenchmarkParams, limit: str | None = None) -> dict[str, Any]:
    """Return the plugin properties with which latency is measured; ``limit`` as in ``accuracy_properties``."""
    pinned: dict[str, Any] = {}
    threads = {"NUM_STREAMS": str(benchmark.nstreams), "INFERENCE_NUM_THREADS": benchmark.nthreads}
    virtual, _, listed = device.device.partition(":")
    if device.device == "CPU":
        pinned = threads
    elif "CPU" in listed.split(","):
        pinned = {"DEVICE_PROPERTIES": {"CPU": threads}}
    if virtual == "AUTO":
        pinned["PERFORMANCE_HINT"] = "LATENCY"
    return {**pinned, **_asked(device, limit)}


def _asked(device: DeviceSpec, limit: str | None) -> dict[str, Any]:
    wanted, limit = device.inference_precision, os.environ.get(ISA_VARIABLE) if limit is None else limit
    if wanted is None and device.device == "CPU" and limit in SETS_OF_F32:
        wanted = "f32"  # on a CPU with BF16 OpenVINO chooses that, and then finds no kernel
    precision = {"INFERENCE_PRECISION_HINT": wanted} if wanted else {}
    return {**precision, **device.device_config}


def request_with(compiled: Any, sample: Mapping[str, NDArray[Any]]) -> Any:
    """Return an inference request of a compiled model whose inputs are set."""
    import openvino as ov

    request = compiled.create_infer_request()
    for name, value in sample.items():
        request.set_tensor(name, ov.Tensor(np.ascontiguousarray(value)))
    return request


def describe_execution(compiled: Any) -> Execution:
    """Read the precision and the kernels of a compiled model from the device plugin."""
    kernels: Counter[str] = Counter()
    precisions: Counter[str] = Counter()
    for operation in runtime_operations(compiled):
        precisions[operation.precision] += 1
        found = _INSTRUCTION_SET.search(operation.kernel)
        if found:
            kernels[found.group()] += 1
    try:
        precision = compiled.get_property("INFERENCE_PRECISION_HINT")
    except RuntimeError:
        return Execution("unknown", dict(kernels), dict(precisions))
    told = precision.get_type_name() if hasattr(precision, "get_type_name") else str(precision)
    return Execution(precision_name(told), dict(kernels), dict(precisions))


def _compile(model: ov.Model, device: str, properties: dict[str, Any]) -> Any:
    try:
        return core().compile_model(model, device, properties)
    except RuntimeError as error:
        raise errors.inference_failed(f"compiling for {device}", errors.message_of(error)) from error
