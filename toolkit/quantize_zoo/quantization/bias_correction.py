"""Bias correction: quantization shifts the mean of an operation's output, and its bias takes the shift back.

By how much an operation's output is off, d = y_int8 - y_fp32, is measured on the calibration samples, for each channel.
The mean of d is the biased part of the error (Nagel et al., Data-Free Quantization, ICCV 2019, section 4.2); a layer's
error is the mean of d^2, and no other change of its bias lowers that as much as taking the mean of d from it.

``FastBiasCorrections`` feeds every operation with FP32 tensors, so that one pass measures all of them.
``correct_sequentially`` is BiasCorrection: the quantized model as it is up to each operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph import (
    Bias,
    Placement,
    branches_by_operation,
    data_path,
    find_bias,
    find_normalized_bias,
    nodes_by_name,
    ordered_operations,
)
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization.alignment import bias_value
from quantize_zoo.quantization.candidate import Weights, feed_with_fp32, insert_fake_quantizes, set_biases
from quantize_zoo.quantization.instrumentation import ChannelMean
from quantize_zoo.quantization.options import ModelOption, TensorOption
from quantize_zoo.quantization.range_finder import RangeFinder
from quantize_zoo.quantization.ranges import Range
from quantize_zoo.quantization.statistics import ActivationStatistics, Samples, collect_statistics

Values = NDArray[np.float32]
# Operation, option of its weights, and the bytes of the ranges that its input is quantized with.
_Key = tuple[str, TensorOption | None, tuple[tuple[str, bytes, bytes, int], ...]]


def find_biases(model: ov.Model, placement: Placement, *, as_pot: bool = False) -> dict[str, Bias]:
    """Return the biases of the operations whose right operand are weights, in graph order.

    ``as_pot`` leaves out those that a batch normalization adds.
    """
    nodes, on_data = nodes_by_name(model), data_path(model)
    names = [point.operation for point in placement.weights if point.port == 1]
    find = find_bias if as_pot else find_normalized_bias
    found = {name: find(nodes[name], on_data) for name in names}
    return {name: bias for name, bias in found.items() if bias is not None}


def output_mean(bias: Bias) -> ChannelMean:
    """Return the request for the mean of an operation's output after its bias."""
    return ChannelMean(f"{bias.addition}:0", bias.axis)


def is_acceptable(old: Values, new: Values, threshold: float) -> bool:
    """Tell whether a correction is kept: no old element is 0, the largest relative change is below the threshold."""
    return bool(old.all()) and bool(np.max(np.abs((new - old) / old)) < threshold)


def lowers_error(differences: NDArray[np.floating]) -> bool:
    """Tell whether taking back the mean of the differences (samples, channels) lowers the layer's error.

    Each sample is judged with the mean of the others taken back (leave-one-out, Stone, JRSS B 1974): the mean of a few
    samples lowers the error on themselves always, if only by their noise, and would raise it on every other. What a
    bias changes in the mean of d^2 is seen in the samples' means of d alone. With one sample nothing can be told.
    """
    count = len(differences)
    if count < 2:
        return False
    own = differences.astype(np.float64)
    corrected = count / (count - 1) * (own - own.mean(axis=0))
    return bool((corrected**2).sum() < (own**2).sum())


class FastBiasCorrections:
    """New biases of a model's operations, each computed once for each option of its weights and range of its input.

    A pass always measures all operations, quantized also where the option leaves one out: so what it compiles has the
    same structure, and a bias the same bits, whatever was asked for before.

    Args:
        model: the FP32 model.
        placement: of the model.
        ranges: of the model.
        weights: as in ``insert_fake_quantizes``.
        rescaled: as in ``insert_fake_quantizes``.
        threshold: the largest relative change of a bias that is applied.
        samples: gives the calibration samples.

    """

    def __init__(
        self,
        model: ov.Model,
        placement: Placement,
        ranges: RangeFinder,
        weights: Weights,
        rescaled: frozenset[str],
        threshold: float,
        samples: Callable[[], Samples],
    ) -> None:
        self.biases = find_biases(model, placement)
        self._model = model
        self._placement = placement
        self._ranges = ranges
        self._weights = weights
        self._rescaled = rescaled
        self._threshold = threshold
        self._samples = samples
        self._found: dict[_Key, Values | None] = {}

    def of(self, option: ModelOption) -> dict[str, Values]:
        """Return the new biases (channels,) of the option's operations; none where the old one stays.

        Raises:
            CellError: see ``collect_statistics``.

        """
        everywhere = replace(
            option, operations={name: replace(each, quantize=True) for name, each in option.operations.items()}
        )
        activations = {**self._ranges.activations(everywhere), **self._ranges.activations(option)}
        keys = {name: self._key(name, everywhere, activations) for name in self.biases}
        wanted = {name: key for name, key in keys.items() if option.operations[name].quantize}
        if any(key not in self._found for key in wanted.values()):
            measured = self._measure(everywhere, activations)
            self._found = {**{key: measured[name] for name, key in keys.items()}, **self._found}
        found = {name: self._found[key] for name, key in wanted.items()}
        return {name: value for name, value in found.items() if value is not None}

    def _key(self, name: str, option: ModelOption, activations: Mapping[str, Range]) -> _Key:
        keys = [point.key for point in self._placement.activations if name in point.operations]
        ranges = ((key, activations[key]) for key in keys if key in activations)
        values = tuple((key, each.low.tobytes(), each.high.tobytes(), each.levels) for key, each in ranges)
        return name, option.operations[name].weights, values

    def _measure(self, option: ModelOption, activations: Mapping[str, Range]) -> dict[str, Values | None]:
        quantized = insert_fake_quantizes(
            self._model, self._placement, option, self._ranges, self._weights, self._rescaled, activations
        )
        reference = self._model.clone()
        original, copies = nodes_by_name(reference), nodes_by_name(quantized)  # while they are two models
        feed_with_fp32(quantized, reference, self._placement)
        requests, inside = {}, branches_by_operation(reference)
        for name, bias in self.biases.items():
            difference = ops.subtract(*(ops.convert(nodes[bias.addition], "f32") for nodes in (copies, original)))
            difference.set_friendly_name(f"{name}/off_by")
            (inside[name].body if name in inside else reference).add_results([ops.result(difference)])
            requests[name] = ChannelMean(f"{name}/off_by:0", bias.axis)
        found = collect_statistics(reference, requests.values(), self._samples())
        corrected, nodes = {}, nodes_by_name(self._model)
        for name, request in requests.items():
            off_by = found.sample_means(request.tensor, request.channel_axis)
            old = bias_value(nodes, self.biases[name], off_by.shape[1])
            corrected[name] = corrected_bias(old, off_by, self._threshold)
        return corrected


def corrected_bias(
    old: Values, differences: NDArray[np.floating], threshold: float, *, as_pot: bool = False
) -> Values | None:
    """Return the bias less the mean of the differences (samples, channels); None where the old one stays.

    It stays where the correction does not lower the layer's error; ``as_pot`` does not ask for that.
    """
    differences = differences[np.isfinite(differences).all(axis=1)]  # not samples that take the other branch of an If
    if not len(differences):
        return None
    new = (old - differences.mean(axis=0)).astype(np.float32)
    kept = is_acceptable(old, new, threshold) and (as_pot or lowers_error(differences))
    return new if kept else None


def correct_sequentially(
    fp32: ActivationStatistics,
    candidate: ov.Model,
    biases: Mapping[str, Bias],
    option: ModelOption,
    samples: Samples,
    threshold: float,
    *,
    as_pot: bool = False,
) -> dict[str, Values]:
    """Return new biases for the candidate, which is corrected in place, operation after operation.

    ``fp32`` has the means of the outputs. Operations that do not depend on each other are corrected in one pass.

    Raises:
        CellError: inference fails.

    """
    corrected: dict[str, Values] = {}
    for stage in _stages(candidate, [name for name in biases if option.operations[name].quantize]):
        requests = {name: output_mean(biases[name]) for name in stage}
        found = collect_statistics(candidate, requests.values(), samples)
        nodes = nodes_by_name(candidate)
        new = {}
        for name, request in requests.items():
            wanted, is_now = (each.sample_means(request.tensor, request.channel_axis) for each in (fp32, found))
            old = bias_value(nodes, biases[name], wanted.shape[1])
            value = corrected_bias(old, is_now - wanted, threshold, as_pot=as_pot)
            if value is not None:
                new[name] = value
        set_biases(candidate, biases, new)
        corrected.update(new)
    return corrected


def _stages(model: ov.Model, operations: list[str]) -> list[list[str]]:
    """Group the operations by how many of them lie before, along the longest way."""
    depth: dict[str, int] = {}
    stages: dict[int, list[str]] = {}
    inside = branches_by_operation(model)
    for node in ordered_operations(model):
        name, kind = node.get_friendly_name(), node.get_type_name()
        sources = [value.get_node() for value in node.input_values()]
        if kind == "Parameter" and name in inside:
            sources = [value.get_node() for value in inside[name].node.input_values()]
        elif kind == "If":
            sources += [result for index in (0, 1) for result in node.get_function(index).get_results()]
        before = max((depth[source.get_friendly_name()] for source in sources), default=0)
        depth[name] = before
        if name in operations:
            stages.setdefault(before, []).append(name)
            depth[name] = before + 1
    return [stages[index] for index in sorted(stages)]
