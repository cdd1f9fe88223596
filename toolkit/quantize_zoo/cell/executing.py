"""What the cell's device executes of quantized models and of compressed weights, found out by compiling them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import BenchmarkParams, DeviceSpec, WeightCompression
from quantize_zoo.errors import CellError
from quantize_zoo.graph import data_path, find_bias, nodes_by_name
from quantize_zoo.quantization import ModelOption, Pipeline, without_quantization
from quantize_zoo.scoring import (
    Executed,
    ExecutedCompression,
    compile_for_latency,
    executed_operations,
    integer_weights_problem,
    read_executed,
    request_with,
)


@dataclass(frozen=True)
class DeviceLook:
    """Looks at what a device executes of a pipeline's models.

    Args:
        pipeline: what builds them.
        fp32: the model that they are built of.
        device: where they are to run.
        benchmark: how latency is measured.
        before: the names of what FP32 executes.
        refusal: tells why another device, which has to run the same models, does not run one whose weights are
            compressed in one way; empty where all do.

    """

    pipeline: Pipeline
    fp32: ov.Model
    device: DeviceSpec
    benchmark: BenchmarkParams
    before: Collection[str]
    refusal: Callable[[WeightCompression, ov.Model], str] = lambda _way, _model: ""

    def executed(self, base: ModelOption) -> Executed:
        """Return what the device executes of an option's model.

        Raises:
            CellError: the model cannot be built, or the device refuses it.

        """
        quantized = [name for name, choice in base.operations.items() if choice.quantize]
        return read_executed(self._compiled(base), self._names(quantized), self.before)

    def compressed(self, base: ModelOption, sample: Mapping[str, NDArray[Any]]) -> tuple[ExecutedCompression, ...]:
        """Return what the device executes of each way to compress weights that an operation is offered.

        A device may refuse a kernel as late as in the first inference: the ``sample`` is one's.
        """
        offered = {each.name: each.compressed_weights for each in self.pipeline.placement.operations}
        ways = dict.fromkeys(way for each in offered.values() for way in each)
        return tuple(self._way(base, way, [name for name in offered if way in offered[name]], sample) for way in ways)

    def _way(
        self, base: ModelOption, way: WeightCompression, names: list[str], sample: Mapping[str, NDArray[Any]]
    ) -> ExecutedCompression:
        if problem := weights_problem(way, self.device):
            return self._refused(way, problem)
        compressed = {
            name: without_quantization(choice, way if name in names else None)
            for name, choice in base.operations.items()
        }
        try:
            model = self.pipeline.build(replace(base, operations=compressed))
            compiled = compile_for_latency(model, self.device, self.benchmark)
            request_with(compiled, sample).infer()
        except (CellError, RuntimeError) as error:
            return self._refused(way, error.what if isinstance(error, CellError) else errors.message_of(error))
        if why := self.refusal(way, model):
            return ExecutedCompression(way, 0, (), why)
        executed = executed_operations(compiled, self._names(names))
        unpacked = tuple(each.name for each in executed if each.in_floating_point)
        return ExecutedCompression(way, len(names) - len(unpacked), unpacked)

    def _refused(self, way: WeightCompression, why: str) -> ExecutedCompression:
        return ExecutedCompression(way, 0, (), f"{self.device.label}: {why}")

    def _compiled(self, option: ModelOption) -> Any:
        return compile_for_latency(self.pipeline.build(option), self.device, self.benchmark)

    def _names(self, operations: Collection[str]) -> dict[str, str]:
        """Return the operations, each with the addition of its bias, by whose name the plugin may call both."""
        nodes, on_data = nodes_by_name(self.fp32), data_path(self.fp32)
        biases = {name: find_bias(nodes[name], on_data) for name in operations}
        return {name: "" if bias is None else bias.addition for name, bias in biases.items()}


def weights_problem(way: WeightCompression, device: DeviceSpec, held_to: str | None = None) -> str:
    """Tell why a device must not be tried with weights that are compressed in one way; empty where it can be."""
    return "" if way.mode == "nf4" else integer_weights_problem(device, held_to)


def executed_notes(executed: Executed, option: ModelOption, device: str) -> Iterator[str]:
    """Yield what a user should know of it: above all what the asymmetric weights of preset accuracy cost."""
    idle = executed.in_floating_point
    if idle:
        count = len(executed.operations)
        yield f"{device} tells of no INT8 kernel for {len(idle)} of {count} quantized operations"
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
    refused: dict[str, list[str]] = {}
    for each in executed.compressed:
        if each.refused:
            refused.setdefault(each.refused, []).append(str(each.way))
    for why, ways in refused.items():
        yield f"weights in {', '.join(ways)} are not offered, since they do not run on {why}"
