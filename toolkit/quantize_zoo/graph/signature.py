"""What two candidates of a model have in common: their structure, which decides latency, and their ranges."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph.bodies import ordered_operations
from quantize_zoo.graph.constants import constant_data, integers_behind
from quantize_zoo.graph.opset import Node

_RANGE_PORTS = (1, 2, 3, 4)
_CLOSE, _RELATIVELY_CLOSE = 1e-8, 0.02  # the smaller one is NumPy's
_BYTES = (ov.Type.i8, ov.Type.u8)


def structural_signature(model: ov.Model) -> str:
    """Return a hash that is equal for models that run through the same kernels in the same precisions.

    It covers the operations in order, and of each FakeQuantize its place, levels, granularity, and whether its range is
    signed and symmetric, of constants as integers their place, type and granularity; not the ranges themselves, which
    kernels take as values.
    """
    parts: list[object] = []
    for node in ordered_operations(model):
        kind = node.get_type_name()
        if kind == "FakeQuantize":
            low, high = _range(node, 1), _range(node, 2)
            signed, symmetric = bool((low < 0).any()), _are_close(-low, high)
            levels = node.get_attributes()["levels"]
            parts.append([node.get_friendly_name(), levels, low.shape, signed, symmetric])
        elif (integers := integers_behind(node)) is not None:
            kind = integers.get_element_type().get_type_name()
            parts.append([node.get_friendly_name(), kind, list(node.input(1).get_shape())])
        elif kind != "Constant":
            parts.append(kind)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def ranges_hash(model: ov.Model, steps: tuple[str, ...]) -> str:
    """Return a hash that is equal for candidates of one model that compute the same.

    ``steps`` are the applied steps of the pipeline, from which and from the ranges all weights and biases follow.
    """
    digest = hashlib.sha256(json.dumps(steps).encode())
    for name, values in _ranges(model):
        digest.update(name.encode())
        for value in values:
            digest.update(np.ascontiguousarray(value).data)
    return digest.hexdigest()


def _ranges(model: ov.Model) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    for node in ordered_operations(model):
        name = node.get_friendly_name()
        if node.get_type_name() == "FakeQuantize":
            yield f"{name} {node.get_attributes()['levels']}", [_range(node, port) for port in _RANGE_PORTS]
        elif (integers := integers_behind(node)) is not None:
            source = node.input_value(0).get_node()
            zeros = [_range(source, 1)] if source.get_type_name() == "Subtract" else []
            kind = integers.get_element_type()
            yield f"{name} {'integers' if kind in _BYTES else kind.get_type_name()}", [_range(node, 1), *zeros]


def _are_close(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """As NumPy's ``allclose`` of finite values with a relative tolerance of 2 %, in a tenth of its time."""
    return bool((np.abs(one - other) <= _CLOSE + _RELATIVELY_CLOSE * np.abs(other)).all())


def _range(node: Node, port: int) -> NDArray[Any]:
    source = node.input_value(port).get_node()
    return constant_data(source.input_value(0).get_node() if source.get_type_name() == "Convert" else source)
