"""Bias correction: quantized weights shift the mean of an operation's output, and its bias takes the shift back.

``FastBiasCorrections`` is POT's FastBiasCorrection: the operation by itself, fed with the FP32 means of its input. The
new bias depends on the option of the operation's weights and on nothing else, so it is computed once for each.
``correct_sequentially`` is BiasCorrection: the quantized model as it is up to each operation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph import (
    Bias,
    Placement,
    data_path,
    find_bias,
    hardware_type,
    nodes_by_name,
    output_channel_axis,
)
from quantize_zoo.graph.operations import CONVOLUTIONS
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization.alignment import bias_value
from quantize_zoo.quantization.candidate import quantize_weights, set_biases
from quantize_zoo.quantization.options import ModelOption, TensorOption
from quantize_zoo.quantization.ranges import RangeFinder
from quantize_zoo.quantization.statistics import ActivationStatistics, ChannelMean, Samples, collect_statistics

Values = NDArray[np.float32]


def find_biases(model: ov.Model, placement: Placement) -> dict[str, Bias]:
    """Return the biases of the operations whose right operand are weights, in graph order."""
    nodes, on_data = nodes_by_name(model), data_path(model)
    names = [point.operation for point in placement.weights if point.port == 1]
    found = {name: find_bias(nodes[name], on_data) for name in names}
    return {name: bias for name, bias in found.items() if bias is not None}


def mean_requests(model: ov.Model, biases: Mapping[str, Bias]) -> list[ChannelMean]:
    """Return the FP32 means that FastBiasCorrection needs: of inputs, and of outputs after the bias."""
    nodes = nodes_by_name(model)
    requests = []
    for name, bias in biases.items():
        requests.append(ChannelMean(_input_tensor(nodes[name]), _input_axis(nodes[name])))
        requests.append(ChannelMean(f"{bias.addition}:0", bias.axis))
    return requests


class FastBiasCorrections:
    """New biases of a model's operations, each computed once for each option of its weights."""

    def __init__(
        self,
        model: ov.Model,
        placement: Placement,
        statistics: ActivationStatistics,
        ranges: RangeFinder,
        threshold: float,
    ) -> None:
        self.biases = find_biases(model, placement)
        self._model = model
        self._points = {point.operation: point for point in placement.weights if point.operation in self.biases}
        self._statistics = statistics
        self._ranges = ranges
        self._threshold = threshold
        self._found: dict[tuple[str, TensorOption, bool], Values | None] = {}

    def of(self, option: ModelOption, weights: Mapping[str, Values], rescaled: frozenset[str]) -> dict[str, Values]:
        """Return the new biases (channels,) of the option's operations; where the correction is refused there is none.

        ``weights`` and ``rescaled`` are as in ``insert_fake_quantizes``.
        """
        wanted = {
            name: (name, choice.weights, name in rescaled)
            for name in self._points
            if (choice := option.operations[name]).quantize and choice.weights is not None
        }
        missing = [key for key in wanted.values() if key not in self._found]
        if missing:
            self._compute(missing, weights)
        found = {name: self._found[key] for name, key in wanted.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _compute(self, keys: Sequence[tuple[str, TensorOption, bool]], weights: Mapping[str, Values]) -> None:
        """Run all operations at once, each fed with the constant means of its input."""
        copy = self._model.clone()
        nodes = nodes_by_name(copy)
        outputs = []
        for name, tensor, halved in keys:
            node, point = nodes[name], self._points[name]
            shape = list(node.input(0).get_shape())
            axis = _input_axis(node)
            mean = self._statistics.mean(_input_tensor(node), axis).astype(np.float32)
            fed = np.broadcast_to(mean.reshape([-1 if index == axis else 1 for index in range(len(shape))]), shape)
            # A Parameter and not a constant, which would be folded slowly when the model is compiled.
            source = ops.parameter(shape, np.float32)
            node.input(0).replace_source_output(ops.convert(source, node.input(0).get_element_type()).output(0))
            quantize_weights(nodes, point, self._ranges.weights(name, tensor), weights[name] if halved else None)
            rank, channels = len(node.output(0).get_shape()), output_channel_axis(node)
            others = np.array([index for index in range(rank) if index != channels], dtype=np.int64)
            outputs.append(
                (source, np.ascontiguousarray(fed), ops.result(ops.reduce_mean(ops.convert(node, "f32"), others)))
            )
        model = ov.Model([output for _, _, output in outputs], [source for source, _, _ in outputs], "biases")
        compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        results = compiled([fed for _, fed, _ in outputs])
        originals = nodes_by_name(self._model)
        for index, key in enumerate(keys):
            bias = self.biases[key[0]]
            biased = self._statistics.mean(f"{bias.addition}:0", bias.axis)
            old = bias_value(originals, bias, len(biased))
            new = (biased - np.ravel(results[index])).astype(np.float32)
            self._found[key] = new if is_acceptable(old, new, self._threshold) else None


def is_acceptable(old: Values, new: Values, threshold: float) -> bool:
    """Tell whether a correction is kept: no old element is 0, the largest relative change is below the threshold."""
    return bool(old.all()) and bool(np.max(np.abs((new - old) / old)) < threshold)


def correct_sequentially(
    fp32: ActivationStatistics,
    candidate: ov.Model,
    biases: Mapping[str, Bias],
    option: ModelOption,
    samples: Samples,
    threshold: float,
) -> dict[str, Values]:
    """Return new biases for the candidate, which is corrected in place, operation after operation.

    ``fp32`` has the means of the outputs. Operations that do not depend on each other are corrected in one pass.

    Raises:
        CellError: inference fails.

    """
    corrected: dict[str, Values] = {}
    for stage in _stages(candidate, [name for name in biases if option.operations[name].quantize]):
        requests = {name: ChannelMean(f"{biases[name].addition}:0", biases[name].axis) for name in stage}
        found = collect_statistics(candidate, requests.values(), samples)
        nodes = nodes_by_name(candidate)
        new = {}
        for name, request in requests.items():
            wanted = fp32.mean(request.tensor, request.channel_axis)
            old = bias_value(nodes, biases[name], len(wanted))
            value = (old + wanted - found.mean(request.tensor, request.channel_axis)).astype(np.float32)
            if is_acceptable(old, value, threshold):
                new[name] = value
        set_biases(candidate, biases, new)
        corrected.update(new)
    return corrected


def _stages(model: ov.Model, operations: list[str]) -> list[list[str]]:
    """Group the operations by how many of them lie before, along the longest way."""
    depth: dict[str, int] = {}
    stages: dict[int, list[str]] = {}
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        before = max((depth[value.get_node().get_friendly_name()] for value in node.input_values()), default=0)
        depth[name] = before
        if name in operations:
            stages.setdefault(before, []).append(name)
            depth[name] = before + 1
    return [stages[index] for index in sorted(stages)]


def _input_tensor(node: Any) -> str:
    source = node.input_value(0)
    return f"{source.get_node().get_friendly_name()}:{source.get_index()}"


def _input_axis(node: Any) -> int:
    """Return the axis of the input that counts channels."""
    if hardware_type(node) in CONVOLUTIONS:
        return 1
    attributes = node.get_attributes()
    rank = len(node.input(0).get_partial_shape())
    return rank - 2 if attributes["transpose_a"] else rank - 1
