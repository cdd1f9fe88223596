"""Operations that decode and select what was found: eight bits are too few for pixels and for scores to be ranked."""

from __future__ import annotations

import openvino as ov

from quantize_zoo.graph.bodies import ordered_operations
from quantize_zoo.graph.operations import hardware_type, weight_point
from quantize_zoo.graph.opset import Node
from quantize_zoo.graph.recurrent import RECURRENT

# What selects among decoded boxes or scores. DetectionOutput and Proposal decode by themselves, from quantized values.
_SELECTING = frozenset(
    {
        "ExperimentalDetectronDetectionOutput", "ExperimentalDetectronTopKROIs", "GenerateProposals", "MatrixNms",
        "MulticlassNms", "NMSRotated", "NonMaxSuppression", "TopK",
    }
)  # fmt: skip


def post_processing(model: ov.Model, on_data: frozenset[str]) -> frozenset[str]:
    """Return the operations that a selection needs, and those after it, from the last weights on.

    As in POT, what is computed for a selection anywhere in the model, back to operations with weights
    (``mark_detection_output_blocks_``); and as in NNCF, what no weights come after and a selection comes before
    (``PostprocessingNodeLocator``).
    """
    ordered = [node for node in ordered_operations(model) if not _has_weights(node, on_data)]
    before: set[str] = set()
    last: set[str] = set()
    for node in reversed(ordered):
        name, kind = node.get_friendly_name(), node.get_type_name()
        readers = _readers(node)
        if kind in _SELECTING or readers & before:
            before.add(name)
        if kind == "Result" or readers & last:
            last.add(name)
    after: set[str] = set()
    for node in ordered:
        name = node.get_friendly_name()
        sources = {value.get_node().get_friendly_name() for value in node.input_values()}
        if name in last and (node.get_type_name() in _SELECTING or sources & after):
            after.add(name)
    return frozenset(before | after)


def _has_weights(node: Node, on_data: frozenset[str]) -> bool:
    kind = hardware_type(node)
    return kind in RECURRENT or kind == "Embedding" or weight_point(node, on_data) is not None


def _readers(node: Node) -> set[str]:
    return {target.get_node().get_friendly_name() for output in node.outputs() for target in output.get_target_inputs()}
