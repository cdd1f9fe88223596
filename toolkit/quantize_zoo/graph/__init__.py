"""Facts about an ``openvino.Model``: what can be quantized, where FakeQuantize goes, how it is read and written."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.graph.bodies import Branch, branches_by_operation, ordered_operations
    from quantize_zoo.graph.canonical import canonical_path, make_canonical, with_own_names
    from quantize_zoo.graph.constants import constant_of, set_constant
    from quantize_zoo.graph.files import content_hash, read_model, require_model, save_model, weights_file_bytes
    from quantize_zoo.graph.ignored import ignored_in_vain, ignored_operations
    from quantize_zoo.graph.integer_weights import has_compressed_integers, weights_bytes, with_integer_weights
    from quantize_zoo.graph.layers import (
        common_layers,
        in_passes,
        layers_before,
        layers_of,
        with_bodies,
        with_layer_results,
        with_other_rounding,
    )
    from quantize_zoo.graph.memory import memory_bytes, require_memory
    from quantize_zoo.graph.normalization import normalizes_input
    from quantize_zoo.graph.operations import (
        Bias,
        WeightPoint,
        constant_value,
        data_path,
        find_bias,
        find_normalized_bias,
        hardware_type,
        nodes_by_name,
        output_channel_axis,
    )
    from quantize_zoo.graph.opset import Node, Output
    from quantize_zoo.graph.placement import find_placement
    from quantize_zoo.graph.points import (
        ActivationPoint,
        Placement,
        QuantizableOperation,
        RecurrentScale,
        UnifiedScale,
        shared_configs,
    )
    from quantize_zoo.graph.regions import owners
    from quantize_zoo.graph.sameness import same_model
    from quantize_zoo.graph.signature import ranges_hash, structural_signature
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "ActivationPoint",
    "Bias",
    "Branch",
    "Node",
    "Output",
    "Placement",
    "QuantizableOperation",
    "RecurrentScale",
    "UnifiedScale",
    "WeightPoint",
    "branches_by_operation",
    "canonical_path",
    "common_layers",
    "constant_of",
    "constant_value",
    "content_hash",
    "data_path",
    "find_bias",
    "find_normalized_bias",
    "find_placement",
    "hardware_type",
    "has_compressed_integers",
    "ignored_in_vain",
    "ignored_operations",
    "in_passes",
    "layers_before",
    "layers_of",
    "make_canonical",
    "memory_bytes",
    "nodes_by_name",
    "normalizes_input",
    "ordered_operations",
    "output_channel_axis",
    "owners",
    "ranges_hash",
    "read_model",
    "require_memory",
    "require_model",
    "same_model",
    "save_model",
    "set_constant",
    "shared_configs",
    "structural_signature",
    "weights_bytes",
    "weights_file_bytes",
    "with_bodies",
    "with_integer_weights",
    "with_layer_results",
    "with_other_rounding",
    "with_own_names",
]
