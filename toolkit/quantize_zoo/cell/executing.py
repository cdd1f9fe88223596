"""What the cell's device executes of a quantized model, and what that means for the search."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import openvino as ov

from quantize_zoo.config import BenchmarkParams, DeviceSpec
from quantize_zoo.graph import data_path, find_bias, nodes_by_name
from quantize_zoo.quantization import ModelOption, Pipeline
from quantize_zoo.scoring import Executed, compile_for_latency, read_executed


def executed_of(
    pipeline: Pipeline,
    fp32: ov.Model,
    option: ModelOption,
    device: DeviceSpec,
    benchmark: BenchmarkParams,
    before: Collection[str],
) -> Executed:
    """Compile an option's model, and read from the device what it executes of it.

    Args:
        pipeline: what builds the option's model.
        fp32: the model that it is built of.
        option: the configuration.
        device: where it is to run.
        benchmark: how its latency is measured.
        before: the names of what FP32 executes.

    Raises:
        CellError: the model cannot be built, or the device refuses it.

    """
    nodes, on_data = nodes_by_name(fp32), data_path(fp32)
    additions = {}
    for name, choice in option.operations.items():
        if choice.quantize:
            bias = find_bias(nodes[name], on_data)
            additions[name] = "" if bias is None else bias.addition
    return read_executed(compile_for_latency(pipeline.build(option), device, benchmark), additions, before)


def executed_notes(executed: Executed, option: ModelOption, device: str) -> Iterator[str]:
    """Yield what a user should know of it: above all what the asymmetric weights of preset accuracy cost."""
    idle = executed.in_floating_point
    if not idle:
        return
    yield f"{device} runs {len(idle)} of {len(executed.operations)} quantized operations in floating point"
    asymmetric = [
        name
        for name in idle
        if (weights := option.operations[name].weights) is not None and weights.config.mode == "asymmetric"
    ]
    if asymmetric:
        yield (
            f"{len(asymmetric)} of these have asymmetric weights, which {device} does not multiply in INT8: "
            "preset mixed, or weights: {mode: symmetric}, keeps activations asymmetric and runs in INT8"
        )
