"""Facts about an ``openvino.Model``: what can be quantized, where FakeQuantize goes, how it is read and written."""

from quantize_zoo.graph.files import content_hash, read_model, save_model, with_batch
from quantize_zoo.graph.operations import constant_value, nodes_by_name
from quantize_zoo.graph.placement import ActivationPoint, Placement, QuantizableOperation, WeightPoint, find_placement

__all__ = [
    "ActivationPoint",
    "Placement",
    "QuantizableOperation",
    "WeightPoint",
    "constant_value",
    "content_hash",
    "find_placement",
    "nodes_by_name",
    "read_model",
    "save_model",
    "with_batch",
]
