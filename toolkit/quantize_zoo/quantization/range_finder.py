"""The ranges of a model's tensors for any option.

They are computed when an option first asks for them, and kept: a search space can reach thousands for each tensor.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.graph import Placement, WeightPoint
from quantize_zoo.quantization.options import ModelOption, TensorOption
from quantize_zoo.quantization.ranges import Range, activation_range, point_option, weights_range
from quantize_zoo.quantization.recurrent_ranges import RecurrentRanges
from quantize_zoo.quantization.statistics import ActivationStatistics


class RangeFinder:
    """Ranges of a model's activations and weights, each computed once.

    ``weights`` has the FP32 weights by operation and input.
    """

    def __init__(
        self,
        placement: Placement,
        statistics: ActivationStatistics,
        weights: Mapping[tuple[str, int], NDArray[np.float32]],
    ) -> None:
        self._points = {point.key: point for point in placement.activations}
        self._unified = {tensor: scale for scale in placement.unified for tensor in scale.tensors}
        self._statistics = statistics
        self._weights = weights
        tensors = {key: point.tensor for key, point in self._points.items()}
        self._recurrent = {
            scale.operation: RecurrentRanges(scale, tensors, statistics, weights) for scale in placement.recurrent
        }
        self._found: dict[tuple[tuple[str, ...], TensorOption], Range] = {}
        self._found_weights: dict[tuple[WeightPoint, TensorOption], Range] = {}

    def activations(self, option: ModelOption) -> dict[str, Range]:
        """Return the range of every tensor that the option quantizes, by its point's key."""
        chosen = [key for key, point in self._points.items() if point_option(point, option) is not None]
        return {key: self._activation(key, chosen, option) for key in chosen}

    def weights(self, point: WeightPoint, tensor: TensorOption) -> Range:
        """Return the range of an operation's weights, shaped to broadcast against them (one value a channel)."""
        key = point, tensor
        if key not in self._found_weights:
            recurrent = self._recurrent.get(point.operation)
            self._found_weights[key] = (
                weights_range(self._weights[point.key], point, tensor)
                if recurrent is None
                else recurrent.weights(point, tensor)
            )
        return self._found_weights[key]

    def _activation(self, key: str, chosen: list[str], option: ModelOption) -> Range:
        scale, point = self._unified.get(key), self._points[key]
        tensor = point_option(scale or point, option)
        assert tensor is not None, "the tensor is chosen"
        keys: tuple[str, ...] = (key,)
        if scale is not None and tensor.config.granularity == "pertensor":  # concatenated channels stay apart
            keys = tuple(member for member in scale.tensors if member in chosen)
        if (keys, tensor) not in self._found:
            self._found[keys, tensor] = (
                activation_range(keys, tensor, self._statistics)
                if point.owner is None
                else self._recurrent[point.owner[0]].activation(key, tensor)
            )
        return self._found[keys, tensor]
