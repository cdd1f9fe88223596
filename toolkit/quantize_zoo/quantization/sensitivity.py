"""How much quantizing each operation by itself changes what it computes: a guess of which ones cost accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.graph import Node, Placement, branches_by_operation, nodes_by_name
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.runtime import core
from quantize_zoo.graph.states import infer_in_order
from quantize_zoo.quantization.candidate import feed_with_fp32
from quantize_zoo.quantization.observed import ObservedTensor, leaving
from quantize_zoo.quantization.statistics import Samples


def operation_errors(model: ov.Model, candidate: ov.Model, placement: Placement, samples: Samples) -> dict[str, float]:
    """Return for each operation the relative error of its output: sum((y - y_fp32)^2) / sum(y_fp32^2).

    Every operation of the candidate is fed with the FP32 model's tensors, so that it shows its own error only. One
    pass over the samples computes all of them. Operations whose error is not finite, or that do not compute floating
    point, are left out.

    Args:
        model: the FP32 model.
        candidate: the same model with FakeQuantize operations, see ``insert_fake_quantizes``.
        placement: of the model.
        samples: what to compute on; a few dozen are enough for a ranking.

    Raises:
        CellError: inference fails.

    """
    reference, quantized = model.clone(), candidate.clone()
    original, copies = nodes_by_name(reference), nodes_by_name(quantized)
    feed_with_fp32(quantized, reference, placement)
    inside = branches_by_operation(reference)
    names = [each.name for each in placement.operations if original[each.name].output(0).get_element_type().is_real()]
    outputs = []
    for name in names:
        squares = ops.concat(_squares(original[name], copies[name]), axis=0)
        nothing = np.zeros(2, np.float32)  # where the other branch is taken
        outputs.append(inside[name].carry_out(squares.output(0), nothing) if name in inside else squares.output(0))
    merged = ov.Model(leaving(outputs), reference.get_sinks(), reference.get_parameters(), "errors")
    sums = _mean_output(merged, samples).reshape(len(names), 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = sums[:, 0] / sums[:, 1]
    return {name: float(ratio) for name, ratio in zip(names, ratios, strict=True) if np.isfinite(ratio)}


def _squares(reference: Node, quantized: Node) -> list[Node]:
    # In f32: a lower precision has too few digits for a difference of like values, and none for a sum of many squares.
    wide, found = (ops.convert(node.output(0), "f32") for node in (reference, quantized))  # a sequence has several
    # No Multiply of a difference with itself: OpenVINO 2026.4 ends by SIGSEGV where it compiles one beside that of wide
    # behind a static ScaledDotProductAttention.
    return [_total(ops.squared_difference(found, wide)), _total(ops.multiply(wide, wide))]


def _total(node: Node) -> Node:
    """Return the sum of all values, as a vector of one; of the tensor as it lies in memory, see ``ObservedTensor``."""
    total = ObservedTensor(node.output(0), None, node.get_friendly_name()).reduced("sum")
    return ops.reshape(total, np.array([1], dtype=np.int64), special_zero=False)


def _mean_output(model: ov.Model, samples: Samples) -> NDArray[Any]:
    try:
        compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        ports = range(len(model.outputs))
        outputs = np.stack(
            [np.concatenate([each[port] for port in ports]) for each in infer_in_order(compiled, samples)]
        )
    except RuntimeError as error:
        raise errors.inference_failed("comparing operations with FP32", errors.message_of(error)) from error
    return np.asarray(outputs.mean(axis=0))
