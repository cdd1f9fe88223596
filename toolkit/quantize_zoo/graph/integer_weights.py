"""Weights behind a symmetric FakeQuantize as the integers that it makes of them: a file of a quarter of the size.

OpenVINO computes the same from either. Asymmetric weights are left alone: their zero point need not be an integer, and
is made one on the way.
"""

from __future__ import annotations

import math

import openvino as ov
from openvino._offline_transformations import compress_quantize_weights_transformation

from quantize_zoo.graph.bodies import ordered_operations
from quantize_zoo.graph.constants import constant_data
from quantize_zoo.graph.opset import Node
from quantize_zoo.graph.opset import opset13 as ops

_CONSTANT = "Constant"
_DATA, _LOW, _HIGH = 0, 1, 2  # inputs of a FakeQuantize
_COMPRESSED = (ov.Type.i8, ov.Type.u8, ov.Type.i4, ov.Type.u4)
_FOUR_BITS = 16  # levels


def with_integer_weights(model: ov.Model) -> ov.Model:
    """Return a copy that has integers in place of constants that are quantized symmetrically."""
    copy = model.clone()
    left = [node for node in copy.get_ordered_ops() if _quantizes_constant(node) and not _becomes_integers(node)]
    shields = []
    for node in left:  # from OpenVINO's transformation, which looks for constants
        source = node.input_value(_DATA)
        shield = ops.parameter(source.get_partial_shape(), source.get_element_type())
        copy.add_parameters([shield])
        node.input(_DATA).replace_source_output(shield.output(0))
        shields.append((node, shield, source))
    compress_quantize_weights_transformation(copy)
    for node, shield, source in shields:
        node.input(_DATA).replace_source_output(source)
        copy.remove_parameter(shield)
    copy.validate_nodes_and_infer_types()
    return copy


def weights_bytes(model: ov.Model) -> int:
    """Return the bytes of a model's constants, of those as integers that ``with_integer_weights`` makes integers of."""
    operations = ordered_operations(model)
    counted = {
        node.get_friendly_name(): node.get_byte_size() for node in operations if node.get_type_name() == _CONSTANT
    }
    for node in operations:
        if _becomes_integers(node):
            data, *borders = (value.get_node() for value in node.input_values())
            bits = 4 if node.get_attributes()["levels"] <= _FOUR_BITS else 8
            counted[data.get_friendly_name()] = math.ceil(math.prod(data.get_output_shape(0)) * bits / 8)
            for border in borders[:-1]:  # one scale is left of these
                counted.pop(border.get_friendly_name(), None)
    return sum(counted.values())


def has_compressed_integers(model: ov.Model) -> bool:
    """Tell whether weights are stored as integers and given back in f16, which no quantized operation's are."""
    return any(
        node.get_type_name() == "Convert"
        and node.get_element_type() == ov.Type.f16
        and node.input_value(0).get_node().get_type_name() == _CONSTANT
        and node.input(0).get_element_type() in _COMPRESSED
        for node in ordered_operations(model)
    )


def _quantizes_constant(node: Node) -> bool:
    return bool(
        node.get_type_name() == "FakeQuantize" and node.input_value(_DATA).get_node().get_type_name() == _CONSTANT
    )


def _becomes_integers(node: Node) -> bool:
    if not _quantizes_constant(node) or node.get_element_type() != ov.Type.f32:
        return False
    low, high = (constant_data(node.input_value(port).get_node()) for port in (_LOW, _HIGH))
    return bool((low == -high).all())
