"""ActivationChannelAlignment: level the ranges of channels between pairs of convolutions, so that one range fits all.

POT's algorithm. The model computes what it did before: what the producer's channels are shifted and divided by, the
consumer's weights and bias undo.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph import (
    Bias,
    Node,
    constant_value,
    data_path,
    find_bias,
    nodes_by_name,
    ordered_operations,
    set_constant,
)
from quantize_zoo.quantization.candidate import set_biases
from quantize_zoo.quantization.instrumentation import Extremes
from quantize_zoo.quantization.statistics import ActivationStatistics

OUTLIER_PROB = 1e-4
SCALE_LIMITS = (1e-2, 1e2)


@dataclass(frozen=True)
class AlignedPair:
    """Two convolutions, and the biases of both where both have one (then channels are shifted too)."""

    producer: str
    consumer: str
    tensor: str
    biases: tuple[Bias, Bias] | None


@dataclass(frozen=True)
class Alignment:
    """New weights and biases by operation; ``consumers`` are the operations whose weights grew."""

    weights: Mapping[str, NDArray[np.float32]]
    bias_points: Mapping[str, Bias]
    biases: Mapping[str, NDArray[np.float32]]
    consumers: frozenset[str]


def find_pairs(model: ov.Model) -> list[AlignedPair]:
    """Return the pairs: the consumer, ungrouped, of stride and dilation 1 and without padding, is the only one."""
    on_data = data_path(model)
    pairs = []
    for producer in ordered_operations(model):
        if producer.get_type_name() != "Convolution":
            continue
        bias = find_bias(producer, on_data)
        last = producer if bias is None else next(iter(producer.output(0).get_target_inputs())).get_node()
        targets = list(last.output(0).get_target_inputs())
        if len(targets) != 1 or targets[0].get_index() != 0 or not _takes_shifts(targets[0].get_node()):
            continue
        consumer = targets[0].get_node()
        consumer_bias = find_bias(consumer, on_data)
        biases = None if bias is None or consumer_bias is None else (bias, consumer_bias)
        tensor = f"{last.get_friendly_name()}:0"
        pairs.append(AlignedPair(producer.get_friendly_name(), consumer.get_friendly_name(), tensor, biases))
    return pairs


def alignment_requests(pairs: Iterable[AlignedPair]) -> list[Extremes]:
    """Return the statistics that the alignment is computed from."""
    return [Extremes(pair.tensor, 1, OUTLIER_PROB) for pair in pairs]


def compute_alignment(model: ov.Model, pairs: Iterable[AlignedPair], statistics: ActivationStatistics) -> Alignment:
    """Compute the new weights and biases from per-channel quantiles of the producers' outputs, median over samples."""
    nodes = nodes_by_name(model)
    weights: dict[str, NDArray[np.float32]] = {}
    bias_points: dict[str, Bias] = {}
    biases: dict[str, NDArray[np.float32]] = {}
    consumers = set()
    for pair in pairs:
        values = statistics.extremes(pair.tensor, 1)
        low = np.median(values.statistic("quantile", OUTLIER_PROB, lower=True), axis=0)
        high = np.median(values.statistic("quantile", OUTLIER_PROB), axis=0)
        spread = high - low
        middle = np.median(spread)
        scale = np.clip(spread / middle, *SCALE_LIMITS) if middle > 0 else np.ones_like(spread)
        for name in (pair.producer, pair.consumer):
            if name not in weights:
                value = constant_value(nodes[name].input_value(1))
                assert value is not None, "convolutions of the data path have constant weights"
                weights[name] = value
        if pair.biases is not None:
            for bias in pair.biases:
                bias_points[bias.operation] = bias
                biases.setdefault(bias.operation, bias_value(nodes, bias, len(weights[bias.operation])))
            shift = (low + high) / 2
            moved = np.tensordot(weights[pair.consumer].sum(axis=(2, 3), dtype=np.float64), shift, axes=1)
            biases[pair.consumer] = (biases[pair.consumer] + moved).astype(np.float32)
            biases[pair.producer] = ((biases[pair.producer] - shift) / scale).astype(np.float32)
        elif pair.tensor != f"{pair.producer}:0":
            continue  # a bias that is not divided as well would change the model
        weights[pair.producer] = (weights[pair.producer] / scale[:, None, None, None]).astype(np.float32)
        weights[pair.consumer] = (weights[pair.consumer] * scale[None, :, None, None]).astype(np.float32)
        consumers.add(pair.consumer)
    return Alignment(weights, bias_points, biases, frozenset(consumers))


def apply_alignment(model: ov.Model, alignment: Alignment) -> None:
    """Put the new weights and biases into the model."""
    nodes = nodes_by_name(model)
    for name, value in alignment.weights.items():
        set_constant(nodes[name].input(1), value)
    set_biases(model, alignment.bias_points, alignment.biases)


def bias_value(nodes: Mapping[str, Node], bias: Bias, channels: int) -> NDArray[np.float32]:
    """Return a bias (channels,)."""
    value = constant_value(nodes[bias.addition].input_value(bias.port))
    assert value is not None, "find_bias returns constants only"
    return np.broadcast_to(value.ravel(), (channels,)).astype(np.float32)


def _takes_shifts(node: Node) -> bool:
    if node.get_type_name() != "Convolution" or len(node.output(0).get_partial_shape()) != 4:
        return False
    attributes = node.get_attributes()
    ones = [*attributes["strides"], *attributes["dilations"]]
    padding = [*attributes["pads_begin"], *attributes["pads_end"]]
    explicit = str(attributes["auto_pad"]).lower() in ("explicit", "valid")
    return all(value == 1 for value in ones) and not any(padding) and explicit
