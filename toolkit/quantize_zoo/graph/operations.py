"""Single operations of a model: names, types as hardware configurations call them, constants, the data path."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

Node = Any  # openvino.Node; its Python class has moved between releases


def nodes_by_name(model: ov.Model) -> dict[str, Node]:
    """Return the operations by friendly name, in topological order."""
    return {node.get_friendly_name(): node for node in model.get_ordered_ops()}


def hardware_type(node: Node) -> str:
    """Return the type as hardware configurations name it.

    A GroupConvolution with one channel a group (weights G, 1, 1, ...) is a ``DepthWiseConvolution``.
    """
    name: str = node.get_type_name()
    if name == "GroupConvolution" and list(node.input(1).get_partial_shape().to_shape())[1:3] == [1, 1]:
        return "DepthWiseConvolution"
    return name


def constant_value(node: Node) -> NDArray[np.float32] | None:
    """Return the value of a constant, also behind the Convert of a compressed one; None if the node is no constant."""
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        return None
    return np.asarray(node.data, dtype=np.float32)


def data_path(model: ov.Model) -> set[str]:
    """Return the operations that compute on data: they depend on an input of the model other than through its shape."""
    names: set[str] = set()
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Parameter" or (
            kind != "ShapeOf" and any(value.get_node().get_friendly_name() in names for value in node.input_values())
        ):
            names.add(node.get_friendly_name())
    return names
