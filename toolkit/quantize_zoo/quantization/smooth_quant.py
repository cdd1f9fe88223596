"""SmoothQuant (Xiao et al., 2022): move the range of activations' outlier channels into the weights.

For matrix multiplications, whose activations can be quantized per tensor only: each channel is divided by
s = max|x|^alpha / max|w|^(1 - alpha), and the weights' rows are multiplied by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph import (
    constant_of,
    constant_value,
    data_path,
    hardware_type,
    nodes_by_name,
    ordered_operations,
    set_constant,
)
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization.instrumentation import Extremes
from quantize_zoo.quantization.statistics import ActivationStatistics


@dataclass(frozen=True)
class SmoothedTensor:
    """A tensor of ``rank`` dimensions, channels last, and the matrix multiplications that read it (port 0)."""

    tensor: str
    rank: int
    consumers: tuple[str, ...]


Smoothing = Mapping[SmoothedTensor, NDArray[np.float64]]  # the scales s (channels,)


def find_smoothed(model: ov.Model) -> list[SmoothedTensor]:
    """Return the tensors that matrix multiplications with constant weights read as their left operand."""
    on_data = data_path(model)
    consumers: dict[tuple[str, int], list[str]] = {}
    for node in ordered_operations(model):
        if hardware_type(node) != "MatMul" or node.get_attributes()["transpose_a"]:
            continue
        source, weights = node.input_value(0), node.input_value(1)
        if source.get_node().get_friendly_name() not in on_data or weights.get_node().get_friendly_name() in on_data:
            continue
        if len(weights.get_partial_shape()) == 2:
            rank = len(source.get_partial_shape())
            key = (f"{source.get_node().get_friendly_name()}:{source.get_index()}", rank)
            consumers.setdefault(key, []).append(node.get_friendly_name())
    return [SmoothedTensor(tensor, rank, tuple(names)) for (tensor, rank), names in consumers.items()]


def smoothing_requests(tensors: list[SmoothedTensor]) -> list[Extremes]:
    """Return the statistics that the scales are computed from."""
    return [Extremes(each.tensor, each.rank - 1, 0.0) for each in tensors]


def compute_smoothing(
    model: ov.Model, tensors: list[SmoothedTensor], statistics: ActivationStatistics, alpha: float
) -> Smoothing:
    """Return the scales; a channel that is always zero on either side keeps scale 1."""
    nodes = nodes_by_name(model)
    scales = {}
    for each in tensors:
        activations = statistics.extremes(each.tensor, each.rank - 1).statistic("abs_max").max(axis=0)
        weights = np.max([np.abs(_rows(nodes[name])).max(axis=1) for name in each.consumers], axis=0)
        usable = (activations > 0) & (weights > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = activations**alpha / weights ** (1 - alpha)
        scales[each] = np.where(usable, scale, 1.0)
    return scales


def apply_smoothing(model: ov.Model, smoothing: Smoothing) -> None:
    """Divide the tensors and multiply the weights, in place."""
    nodes = nodes_by_name(model)
    for each, scale in smoothing.items():
        name, _, port = each.tensor.rpartition(":")
        source = nodes[name].output(int(port))
        divided = ops.multiply(source, constant_of(1 / scale, source.get_element_type()))
        divided.set_friendly_name(f"{name}/smoothed_{port}")
        for consumer in each.consumers:
            node = nodes[consumer]
            rows = _rows(node) * scale[:, None]
            value = rows.T if node.get_attributes()["transpose_b"] else rows
            node.input(0).replace_source_output(divided.output(0))
            set_constant(node.input(1), value)


def _rows(node: ov.Node) -> NDArray[np.float32]:
    """Return the weights as (input channels, output channels)."""
    value = constant_value(node.input_value(1))
    assert value is not None, "find_smoothed takes constant weights only"
    return value.T if node.get_attributes()["transpose_b"] else value
