"""Compressed weights are those of ``nncf.compress_weights``, bit by bit, in the same graph."""

import logging

import nncf
import numpy as np
import openvino as ov
import pytest

from builders import compressed_everywhere
from quantize_zoo.config import WeightCompression
from quantize_zoo.graph import make_canonical, nodes_by_name, read_model
from quantize_zoo.graph.constants import constant_data

MODELS = ("opinions-encoder", "reviews-transformer", "digits-vit")
MODES = nncf.CompressWeightsMode
WAYS = {
    MODES.INT8_ASYM: WeightCompression(bits=8, mode="asymmetric"),
    MODES.INT8_SYM: WeightCompression(bits=8, mode="symmetric"),
    MODES.INT4_SYM: WeightCompression(bits=4, mode="symmetric"),
    MODES.INT4_ASYM: WeightCompression(bits=4, mode="asymmetric"),
    MODES.NF4: WeightCompression(bits=4, mode="nf4"),
}
CASES = [*((mode, None) for mode in WAYS), *((mode, 32) for mode, way in WAYS.items() if way.bits == 4)]
IGNORED = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.IGNORE)


@pytest.fixture(scope="module", params=MODELS)
def net(request, zoo, tmp_path_factory):
    nncf.set_log_level(logging.ERROR)
    path = tmp_path_factory.mktemp("canonical") / "fp32.xml"
    make_canonical(zoo / "embedded" / f"{request.param}.onnx", {}, path)
    return path


def compressed_by_nncf(net, mode, group_size):
    if WAYS[mode].bits == 8:
        return nncf.compress_weights(net, mode=mode)
    groups = {"group_size": group_size or -1, "advanced_parameters": IGNORED}
    return nncf.compress_weights(net, mode=mode, all_layers=True, **groups)


def stored_weights(net):
    """Of each input that reads compressed weights: the operations that give them back, and all constants of these."""
    found = {}
    for node in nodes_by_name(net).values():
        if node.get_type_name() not in ("MatMul", "Convolution", "Gather"):
            continue
        for port in node.inputs():
            chain, constants = given_back(port.get_source_output().get_node())
            if constants and constants[-1].get_element_type() in (*INTEGERS, ov.Type.nf4):
                found[node.get_friendly_name(), port.get_index()] = chain, constants
    return found


INTEGERS = (ov.Type.i8, ov.Type.u8, ov.Type.i4, ov.Type.u4)


def given_back(node):
    chain, constants = [], []
    while node.get_type_name() in ("Convert", "Subtract", "Multiply", "Reshape"):
        chain.append((node.get_type_name(), node.get_element_type(), node.get_output_partial_shape(0)))
        if node.get_type_name() in ("Subtract", "Multiply"):
            other = node.input_value(1).get_node()
            constants.append(other.input_value(0).get_node() if other.get_type_name() == "Convert" else other)
        node = node.input_value(0).get_node()
    return chain, [*constants, node] if node.get_type_name() == "Constant" else []


@pytest.mark.parametrize(("mode", "group_size"), CASES, ids=str)
def test_weights_and_graph_are_nncfs(net, mode, group_size):
    fp32 = read_model(net)
    way = WAYS[mode].model_copy(update={"group_size": group_size})
    theirs = stored_weights(compressed_by_nncf(read_model(net), mode, group_size))
    # NNCF gives convolutions 8 bits in any mode.
    of_convolutions = WAYS[MODES.INT8_ASYM] if way.bits == 4 else way
    ours = stored_weights(compressed_everywhere(fp32, {"Convolution": of_convolutions}, way))
    assert theirs
    assert ours.keys() == theirs.keys()
    for key, (chain, constants) in ours.items():
        assert chain == theirs[key][0]
        for one, other in zip(constants, theirs[key][1], strict=True):
            assert one.get_element_type() == other.get_element_type()
            np.testing.assert_array_equal(constant_data(one), constant_data(other))
