"""POT's FastBiasCorrection: each operation by itself, fed with the FP32 means of its input.

The new bias depends on the option of the operation's weights and on nothing else. The means are over all positions, as
if every weight met all of them: where windows leave out some, or padding takes their place, the difference of that goes
into the bias, though quantization has no part in it. So it can make a layer worse. NNCF has the same formula and leaves
depthwise, grouped and transposed convolutions out. It is here for parity with POT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov

from quantize_zoo.graph import Bias, Placement, hardware_type, nodes_by_name, output_channel_axis
from quantize_zoo.graph.operations import CONVOLUTIONS
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.runtime import core
from quantize_zoo.quantization.alignment import bias_value
from quantize_zoo.quantization.bias_correction import Values, find_biases, is_acceptable, output_mean
from quantize_zoo.quantization.candidate import Weights, quantize_weights
from quantize_zoo.quantization.instrumentation import ChannelMean
from quantize_zoo.quantization.options import ModelOption, TensorOption
from quantize_zoo.quantization.range_finder import RangeFinder
from quantize_zoo.quantization.statistics import ActivationStatistics


def pot_requests(model: ov.Model, biases: Mapping[str, Bias]) -> list[ChannelMean]:
    """Return the FP32 means that POT's rule needs: of inputs, and of outputs after the bias."""
    nodes = nodes_by_name(model)
    requests = []
    for name, bias in biases.items():
        requests.append(ChannelMean(_input_tensor(nodes[name]), _input_axis(nodes[name])))
        requests.append(output_mean(bias))
    return requests


class PotBiasCorrections:
    """New biases of a model's operations, each computed once for each option of its weights.

    ``weights`` and ``rescaled`` are as in ``insert_fake_quantizes``.
    """

    def __init__(
        self,
        model: ov.Model,
        placement: Placement,
        statistics: ActivationStatistics,
        ranges: RangeFinder,
        weights: Weights,
        rescaled: frozenset[str],
        threshold: float,
    ) -> None:
        self.biases = find_biases(model, placement, as_pot=True)
        self._model = model
        self._points = {point.operation: point for point in placement.weights if point.operation in self.biases}
        self._statistics = statistics
        self._ranges = ranges
        self._weights = weights
        self._rescaled = rescaled
        self._threshold = threshold
        self._found: dict[tuple[str, TensorOption], Values | None] = {}

    def of(self, option: ModelOption) -> dict[str, Values]:
        """Return the new biases (channels,) of the option's operations; none where the old one stays."""
        wanted = {
            name: (name, choice.weights)
            for name in self._points
            if (choice := option.operations[name]).quantize and choice.weights is not None
        }
        missing = [key for key in wanted.values() if key not in self._found]
        if missing:
            self._compute(missing)
        found = {name: self._found[key] for name, key in wanted.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _compute(self, keys: Sequence[tuple[str, TensorOption]]) -> None:
        """Run all operations at once, each fed with the constant means of its input."""
        copy = self._model.clone()
        nodes = nodes_by_name(copy)
        outputs = []
        for name, tensor in keys:
            node, point = nodes[name], self._points[name]
            # A dynamic batch is that of one sample.
            shape = [1 if size.is_dynamic else size.get_length() for size in node.input(0).get_partial_shape()]
            axis = _input_axis(node)
            mean = self._statistics.mean(_input_tensor(node), axis).astype(np.float32)
            fed = np.broadcast_to(mean.reshape([-1 if index == axis else 1 for index in range(len(shape))]), shape)
            # A Parameter and not a constant, which would be folded slowly when the model is compiled.
            source = ops.parameter(shape, np.float32)
            node.input(0).replace_source_output(ops.convert(source, node.input(0).get_element_type()).output(0))
            halved = self._weights[point.key] if name in self._rescaled else None
            quantize_weights(nodes, point, self._ranges.weights(point, tensor), halved)
            rank, channels = len(node.output(0).get_partial_shape()), output_channel_axis(node)
            others = np.array([index for index in range(rank) if index != channels], dtype=np.int64)
            mean_output = ops.reduce_mean(ops.convert(node, "f32"), others)
            outputs.append((source, np.ascontiguousarray(fed), ops.result(mean_output)))
        model = ov.Model([output for _, _, output in outputs], [source for source, _, _ in outputs], "biases")
        compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        results = compiled([fed for _, fed, _ in outputs])
        originals = nodes_by_name(self._model)
        for index, key in enumerate(keys):
            bias = self.biases[key[0]]
            biased = self._statistics.mean(f"{bias.addition}:0", bias.axis)
            old = bias_value(originals, bias, len(biased))
            new = (biased - np.ravel(results[index])).astype(np.float32)
            self._found[key] = new if is_acceptable(old, new, self._threshold) else None


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
