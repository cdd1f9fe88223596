"""The model that an option makes: a copy of the FP32 model with FakeQuantize operations, built in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph import ActivationPoint, Placement, WeightPoint, constant_value, nodes_by_name
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization.options import EstimatorPreset, ModelOption
from quantize_zoo.quantization.ranges import Range, RangeTable

# CPUs without VNNI add pairs of 8 bit products in 16 bits, which can overflow. The weights of the first convolutions
# therefore use half of their levels: weights / 2 with the FakeQuantize's output range * 2.
SATURATION_SCALE = np.float32(2.0)


def build_candidate(model: ov.Model, placement: Placement, option: ModelOption, ranges: RangeTable) -> ov.Model:
    """Return the quantized copy; the model itself is not changed."""
    candidate = model.clone()
    nodes = nodes_by_name(candidate)
    for activation in placement.activations:
        preset = _activation_preset(activation, option)
        if preset is not None:
            _quantize_activation(nodes, activation, ranges.activations[activation.key, preset])
    for weights in placement.weights:
        choice = option[weights.operation]
        if choice.quantize and choice.weights is not None:
            value_range = ranges.weights[weights.operation, choice.weights.range_estimator]
            halve = weights.operation in placement.first_convolutions
            _quantize_weights(nodes, weights, value_range, halve=halve)
    candidate.validate_nodes_and_infer_types()
    return candidate


def _activation_preset(point: ActivationPoint, option: ModelOption) -> EstimatorPreset | None:
    """Return the range estimator of the first quantized operation that the point serves; None if it serves none."""
    for operation in point.operations:
        if option[operation].quantize:
            return option[operation].activations.range_estimator
    return None


def _quantize_activation(nodes: dict[str, Any], point: ActivationPoint, value_range: Range) -> None:
    source = nodes[point.producer].output(point.output)
    rank = source.get_partial_shape().rank.get_length()
    # Channels are axis 1; a range of one value broadcasts as a scalar shape (1, 1, ...).
    shape = [1, -1, *([1] * (rank - 2))] if rank > 1 else [-1]
    low, high = value_range.low.reshape(shape), value_range.high.reshape(shape)
    fake_quantize = ops.fake_quantize(source, low, high, low, high, value_range.levels)
    fake_quantize.set_friendly_name(f"{point.consumers[0][0]}/fq_input_{point.consumers[0][1]}")
    for consumer, port in point.consumers:
        nodes[consumer].input(port).replace_source_output(fake_quantize.output(0))


def _quantize_weights(nodes: dict[str, Any], point: WeightPoint, value_range: Range, *, halve: bool) -> None:
    port = nodes[point.operation].input(point.port)
    source = port.get_source_output()
    scale = np.float32(1.0)
    if halve:
        value: NDArray[np.float32] | None = constant_value(source.get_node())
        assert value is not None, "find_placement only makes points of constants"
        source = ops.constant(value / SATURATION_SCALE).output(0)
        scale = SATURATION_SCALE
    low, high = value_range.low, value_range.high
    fake_quantize = ops.fake_quantize(source, low, high, low * scale, high * scale, value_range.levels)
    fake_quantize.set_friendly_name(f"{point.operation}/fq_weights_{point.port}")
    port.replace_source_output(fake_quantize.output(0))
