"""The model that an option makes: a copy of FP32 with FakeQuantize operations and compressed weights, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.config import WeightCompression
from quantize_zoo.graph import (
    ActivationPoint,
    Bias,
    Node,
    Output,
    Placement,
    WeightPoint,
    constant_of,
    constant_value,
    hardware_type,
    nodes_by_name,
    set_constant,
)
from quantize_zoo.graph.operations import CONVOLUTIONS
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization.compressed import compress, decompression
from quantize_zoo.quantization.integers import dequantized
from quantize_zoo.quantization.options import ModelOption
from quantize_zoo.quantization.range_finder import RangeFinder
from quantize_zoo.quantization.ranges import Range

Weights = Mapping[tuple[str, int], NDArray[np.float32]]  # by operation and input

# CPUs without VNNI add pairs of 8 bit products in 16 bits, which can overflow. Weights that are rescaled therefore use
# half of their levels: weights / 2 with the FakeQuantize's output range * 2. Narrower weights cannot overflow, and have
# no levels to spare: NNCF turns its overflow fix off where not all has 8 bits.
SATURATION_SCALE = np.float32(2.0)
_AS_IT_IS = np.float32(1.0)
SATURATING_LEVELS = 255


def insert_fake_quantizes(
    model: ov.Model,
    placement: Placement,
    option: ModelOption,
    ranges: RangeFinder,
    weights: Weights,
    rescaled: frozenset[str],
    activations: Mapping[str, Range] | None = None,
) -> ov.Model:
    """Return the quantized copy; the model itself is not changed.

    ``weights`` are the FP32 weights; those of ``rescaled`` operations use half of their levels. ``activations`` has
    ranges by the keys of points in place of the option's.
    """
    candidate = model.clone()
    nodes = nodes_by_name(candidate)
    activations = ranges.activations(option) if activations is None else activations
    for point in placement.activations:
        if point.key in activations:
            _quantize_activation(nodes, point, activations[point.key])
    # On these a FakeQuantize would be computed when the model is compiled (weights are split by directions first).
    integers = {each.name for each in placement.operations if each.type == "Embedding"}
    integers |= {scale.operation for scale in placement.recurrent}
    compressions: list[tuple[WeightPoint, WeightCompression]] = []
    for weight_point in placement.weights:
        choice = option.operations[weight_point.operation]
        if not choice.quantize and choice.compressed_weights is not None:
            compressions.append((weight_point, choice.compressed_weights))
        if choice.quantize and choice.weights is not None:
            found = ranges.weights(weight_point, choice.weights)
            value = weights[weight_point.key]
            if weight_point.operation in integers:
                if weight_point.operation in rescaled and found.levels >= SATURATING_LEVELS:
                    found = replace(found, low=found.low * SATURATION_SCALE, high=found.high * SATURATION_SCALE)
                _quantize_constant(nodes, weight_point, value, found)
                continue
            quantize_weights(nodes, weight_point, found, value if weight_point.operation in rescaled else None)
            _keep_bias_apart(nodes[weight_point.operation])
    _compress_weights(nodes, compressions, weights)
    candidate.validate_nodes_and_infer_types()
    return candidate


def quantize_weights(
    nodes: Mapping[str, Any], point: WeightPoint, found: Range, rescaled: NDArray[np.float32] | None
) -> None:
    """Put a FakeQuantize between an operation and its weights; ``rescaled`` are weights that use half of the levels."""
    port = nodes[point.operation].input(point.port)
    source, scale = port.get_source_output(), found.scale
    if rescaled is not None and found.levels >= SATURATING_LEVELS:
        set_constant(port, rescaled / SATURATION_SCALE)
        source, scale = port.get_source_output(), SATURATION_SCALE
    fake_quantize = _fake_quantize(source, found.low, found.high, found.levels, scale)
    fake_quantize.set_friendly_name(_weights_name(point))
    port.replace_source_output(fake_quantize.output(0))


def _quantize_constant(nodes: Mapping[str, Any], point: WeightPoint, value: NDArray[np.float32], found: Range) -> None:
    port = nodes[point.operation].input(point.port)
    constant = dequantized(value, found, port.get_element_type())
    constant.set_friendly_name(_weights_name(point))
    port.replace_source_output(constant.output(0))


def _compress_weights(
    nodes: Mapping[str, Any], chosen: Sequence[tuple[WeightPoint, WeightCompression]], weights: Weights
) -> None:
    """Store weights compressed; operations that share a constant, and compress it alike, go on sharing it."""
    made: dict[tuple[str, int, tuple[int, ...], WeightCompression], Output] = {}
    for point, compression in chosen:
        port, value = nodes[point.operation].input(point.port), weights[point.key]
        source = port.get_source_output()
        key = source.get_node().get_friendly_name(), source.get_index(), point.channel_axes, compression
        if key not in made:
            compressed, kind = compress(value, point, compression), port.get_element_type()
            made[key] = decompression(compressed, value.shape, kind, _weights_name(point)).output(0)
        port.replace_source_output(made[key])


def _weights_name(point: WeightPoint) -> str:
    return f"{point.operation}/fq_weights_{point.port}"


def feed_with_fp32(candidate: ov.Model, model: ov.Model, placement: Placement) -> None:
    """Connect the candidate's FakeQuantize operations to the FP32 model's tensors, in place.

    So each of its operations shows what quantizing itself does, and nothing of the operations before.
    From then on its operations are found among the model's, under the same names.
    """
    original, copies = nodes_by_name(model), nodes_by_name(candidate)
    for name, source in original.items():
        if source.get_type_name() in ("Parameter", "ReadValue"):
            for target in copies[name].output(0).get_target_inputs():
                target.replace_source_output(source.output(0))
    for point in placement.activations:
        consumer, port = point.consumers[0]
        source = copies[consumer].input_value(port).get_node()
        if source.get_type_name() == "FakeQuantize":
            source.input(0).replace_source_output(original[point.producer].output(point.output))


def _keep_bias_apart(node: Node) -> None:
    """Take the output of a quantized convolution in bf16 to f32 and back, which changes no value.

    On CPUs with bf16 the plugin else fuses the bias, and reads its bf16 as what it is not: outputs of 1e9, or NaN.
    """
    output = node.output(0)
    if hardware_type(node) in CONVOLUTIONS and output.get_element_type() == ov.Type.bf16:
        consumers = output.get_target_inputs()
        back = ops.convert(ops.convert(node, "f32"), "bf16")
        for consumer in consumers:
            consumer.replace_source_output(back.output(0))


def set_biases(model: ov.Model, biases: Mapping[str, Bias], values: Mapping[str, NDArray[np.float32]]) -> None:
    """Replace biases in place; values (channels,) by operation."""
    nodes = nodes_by_name(model)
    for operation, value in values.items():
        bias = biases[operation]
        addition = nodes[bias.addition]
        shape = [1] * len(addition.output(0).get_partial_shape())
        shape[bias.axis] = -1
        set_constant(addition.input(bias.port), value if _is_normalization(addition) else value.reshape(shape))


def _is_normalization(node: Node) -> bool:
    return bool(node.get_type_name() == "BatchNormInference")


def _quantize_activation(nodes: dict[str, Any], point: ActivationPoint, found: Range) -> None:
    source = nodes[point.producer].output(point.output)
    rank = source.get_partial_shape().rank
    # Channels are axis 1; a range of one value broadcasts as a scalar shape (1, 1, ...).
    shape = [1, -1, *([1] * (rank.get_length() - 2))] if rank.is_static and rank.get_length() > 1 else [-1]
    low, high = found.low.reshape(shape), found.high.reshape(shape)
    value = constant_value(source) if point.constant else None
    if value is None:
        quantized = _fake_quantize(source, low, high, found.levels, found.scale)
    else:
        quantized = dequantized(value, replace(found, low=low, high=high), source.get_element_type())
    quantized.set_friendly_name(f"{point.consumers[0][0]}/fq_input_{point.consumers[0][1]}")
    for consumer, port in point.consumers:
        nodes[consumer].input(port).replace_source_output(quantized.output(0))


def _fake_quantize(
    source: Output,
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    levels: int,
    scale: np.float32 = _AS_IT_IS,
) -> Node:
    kind = source.get_element_type()
    return ops.fake_quantize(
        source, *(constant_of(border, kind) for border in (low, high, low * scale, high * scale)), levels
    )
