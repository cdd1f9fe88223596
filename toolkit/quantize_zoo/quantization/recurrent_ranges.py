"""Ranges of a recurrent sequence whose kernels have one scale for data and hidden states, and one for both weights.

Measured on the CPU plugin of OpenVINO 2026.4 and read in its ``ConvertFqRnnToQuantizedRnn`` and ``rnn.cpp``: it takes
the scale of the data for the hidden states, that of W for R, and those of a LSTM's first two gates the one for the
other. With ranges of their own, as NNCF writes them, outputs are off by 20 to 80 %. What shares a scale therefore
shares a range here. So that this costs neither side its levels, data are multiplied and W is divided by a power of two,
which the FakeQuantize operations do in their output ranges: the model computes the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.graph import RecurrentScale, WeightPoint
from quantize_zoo.quantization.options import TensorOption
from quantize_zoo.quantization.ranges import Range, activation_range, weights_range
from quantize_zoo.quantization.statistics import ActivationStatistics

_SWAPPED_GATES = 2  # of a LSTM, the first ones
_LSTM_GATES = 4


class RecurrentRanges:
    """The ranges of one sequence.

    Args:
        scale: what shares a scale.
        tensors: the tensors of its points, by their keys.
        statistics: of these, and of the hidden states.
        weights: the FP32 weights by operation and input.

    """

    def __init__(
        self,
        scale: RecurrentScale,
        tensors: Mapping[str, str],
        statistics: ActivationStatistics,
        weights: Mapping[tuple[str, int], NDArray[np.float32]],
    ) -> None:
        self._scale = scale
        self._data = {tensors[key] for key in scale.data}
        self._hidden = {scale.output, *(tensors[key] for key in scale.states)}
        self._statistics = statistics
        self._input_weights, self._hidden_weights = (weights[scale.operation, port] for port in scale.weights)

    def activation(self, key: str, tensor: TensorOption) -> Range:
        """Return the range of the data, or of a state."""
        factors = {**dict.fromkeys(self._hidden, 1.0), **dict.fromkeys(self._data, self._factor)}
        common = activation_range(list(factors), tensor, self._statistics, factors)
        return _scaled(common, self._factor) if key in self._scale.data else common

    def weights(self, point: WeightPoint, tensor: TensorOption) -> Range:
        """Return the range of W or R."""
        both = np.concatenate([self._input_weights / np.float32(self._factor), self._hidden_weights], axis=-1)
        common = weights_range(both, point, tensor)
        if self._scale.gates == _LSTM_GATES:
            common = replace(common, low=-_alike(-common.low), high=_alike(common.high))
        return _scaled(common, 1 / self._factor) if point.port == self._scale.weights[0] else common

    @cached_property
    def _factor(self) -> float:
        """By how much data are multiplied: then hidden states lose as many levels to data as R does to W."""
        data, hidden = (max(map(self._magnitude, tensors)) for tensors in (self._data, self._hidden))
        by_data, by_hidden = (float(np.abs(each).max()) for each in (self._input_weights, self._hidden_weights))
        if not min(data, hidden, by_data, by_hidden) > 0:
            return 1.0
        return float(2.0 ** round(np.log2(hidden / data * by_data / by_hidden) / 2))

    def _magnitude(self, tensor: str) -> float:
        return float(self._statistics.extremes(tensor, None).statistic("abs_max").max())


def _scaled(found: Range, factor: float) -> Range:
    """Return the range of values that are multiplied by the factor once they are quantized."""
    by = np.float32(factor)
    return Range(found.low / by, found.high / by, found.levels, by)


def _alike(high: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return upper borders (directions, gates * hidden, 1) with the larger ones for both of the swapped gates."""
    gates = high.reshape(high.shape[0], _LSTM_GATES, -1).copy()
    gates[:, :_SWAPPED_GATES] = gates[:, :_SWAPPED_GATES].max(axis=1, keepdims=True)
    return np.asarray(gates.reshape(high.shape))
