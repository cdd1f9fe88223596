"""Operations of every kind: quantized where NNCF quantizes them, no worse, and in INT8; or what differs, and why.

Overflow is avoided on both sides, as CPUs without VNNI have it: what is compared are ranges and places.
"""

import nncf
import numpy as np
import openvino as ov
import pytest
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix

from builders import compression, pipeline, switched_off
from integration.test_exact_models import F32, error, outputs
from integration.test_nncf import quantized_ports
from operation_zoo import OPERATIONS, operation_samples
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.scoring.proof import require_same_outputs
from zoo import with_all_instructions, with_tensor_names

CONSTANT_STATE = "a state that is constant stays as it is: the CPU plugin runs a sequence in FP32 when it is quantized"
CELL_STATE = "the cell state is FP32 in INT8 kernels too"
LOST = "below it the convolution would run in FP32: the plugin's transformations do not go through this operation"
SLOWER = "the operation itself is slower on quantized values than in FP32"
NO_INT8 = "it runs in FP32 either way, and a FakeQuantize costs accuracy and 0 to 4 % of latency"
EXCITATION = "convolutions of squeeze-and-excitation are quantized: 0 to 12 % faster, the error 0 to 13 % larger"
SELECTED_BY = "what is selected by is not quantized, as in POT, also where weights come after"
# By model: what only NNCF quantizes, what only this toolkit does, and why.
DIFFERENCES = {
    "lstm_sequence": ({"recurrent:1", "recurrent:2"}, set(), CONSTANT_STATE),
    "gru_sequence": ({"recurrent:1"}, set(), CONSTANT_STATE),
    "lstm_sequence_both_ways": ({"recurrent:2"}, set(), CELL_STATE),
    "lstm_sequences_of_any_batch": (
        {"state:0", "shape:0"},
        {"recurrent_0:1", "recurrent_1:1"},
        "the hidden state is quantized, and not the shape that it is made of",
    ),
    "token_before_data": (set(), {"joined:0"}, "a constant beside quantized data is quantized, else all is FP32 again"),
    "adaptive_max_pool": ({"pooled:0"}, {"last:0"}, LOST),
    "gather_nd": ({"picked:0"}, {"last:0"}, LOST),
    "gather_elements": ({"picked:0"}, {"last:0"}, LOST),
    "scatter_update": ({"scattered:0"}, {"last:0"}, LOST),
    "scatter_update_of_data": ({"scattered:0", "scattered:2"}, {"last:0"}, LOST),
    "scatter_nd_update": ({"scattered:0"}, {"last:0"}, LOST),
    "scatter_elements_update": ({"scattered:0"}, {"last:0"}, LOST),
    "space_to_depth": ({"deep:0"}, {"last:0"}, LOST),
    "tile": ({"tiled:0"}, {"last:0"}, LOST),
    "space_to_batch_and_back": ({"joined:0", "split:0"}, {"dilated:0", "last:0"}, SLOWER),
    "squared_difference": ({"difference:0", "difference:1"}, set(), NO_INT8),
    "adaptive_avg_pool": ({"pooled:0"}, set(), NO_INT8),
    "reduce_l2": ({"length:0"}, set(), NO_INT8),
    "square_root": ({"root:0"}, set(), NO_INT8),
    "linear_with_batch_norm_inference": ({"normalized:0"}, set(), NO_INT8),
    "selected_features": ({"squared:0", "squared:1", "total:0", "total:1"}, set(), SELECTED_BY),
    "squeeze_and_excitation": (set(), {"down:0", "down:1", "up_:0", "up_:1"}, EXCITATION),
    "squeeze_and_excitation_hard": (set(), {"down:0", "down:1", "up_:0", "up_:1"}, EXCITATION),
}
# For other devices, which cannot be measured here, only what is known of all plugins differs from NNCF.
AS_NNCF = {
    "GPU": {"squared_difference", "adaptive_avg_pool", "reduce_l2", "linear_with_batch_norm_inference"}
    | {"space_to_batch_and_back"},
    "NPU": {"squared_difference", "adaptive_avg_pool", "reduce_l2", "linear_with_batch_norm_inference"}
    | {name for name, (_, _, reason) in DIFFERENCES.items() if reason in (LOST, SLOWER)},
}


def built(net, samples, target="CPU"):
    made = pipeline(net, samples, compression(saturation_fix="all"), target=target)
    return made.build(made.base)


def nncfs(net, samples, target="CPU"):
    return nncf.quantize(
        with_tensor_names(net.clone()),
        nncf.Dataset(samples),
        subset_size=len(samples),
        target_device=nncf.TargetDevice[target],
        advanced_parameters=AdvancedQuantizationParameters(overflow_fix=OverflowFix.ENABLE),
    )


@pytest.mark.parametrize("target", ["CPU", "GPU", "NPU"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_positions_are_those_of_nncf_or_the_difference_has_a_reason(name, target):
    net = OPERATIONS[name]()
    samples = operation_samples(net, 4)
    ours, theirs = (quantized_ports(made(net, samples, target)) for made in (built, nncfs))
    only_theirs, only_ours, _ = DIFFERENCES.get(name, (set(), set(), ""))
    if name in AS_NNCF.get(target, ()):
        only_theirs, only_ours = set(), set()
    assert ours
    assert theirs - ours == only_theirs
    assert ours - theirs == only_ours


@pytest.mark.parametrize("name", OPERATIONS)
def test_errors_are_no_larger_than_nncfs(name, tmp_path):
    net = OPERATIONS[name]()
    samples = operation_samples(net)
    expected = np.stack(outputs(net, samples))
    candidate = built(net, samples)
    save_model(candidate, tmp_path / "int8.xml")
    assert require_same_outputs(candidate, tmp_path / "int8.xml", F32, samples[:8])[1], "a CPU repeats itself"
    ours, theirs = (error(expected, each, samples) for each in (candidate, nncfs(net, samples)))
    assert ours <= 1.5 * theirs + 1e-6


def precisions(net):
    """Types and precisions of what runs, by name."""
    compiled = ov.Core().compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = {}
    for node in compiled.get_runtime_model().get_ordered_ops():
        about = node.get_rt_info()
        kind, precision = (about[key].astype(str) for key in ("layerType", "runtimePrecision"))
        found.setdefault(kind, []).append((node.get_friendly_name(), precision))
    return found


def runs_in_int8(found, kind, count):
    return [precision in ("u8", "i8") for _, precision in found[kind]] == [True] * count


# What of each model runs in INT8: how many operations of which type of the plugin's.
IN_INT8 = {
    "lstm_sequence": ("RNNSeq", 1), "lstm_sequence_both_ways": ("RNNSeq", 2), "gru_sequence": ("RNNSeq", 1),
    "lstm_sequences_of_any_batch": ("RNNSeq", 4), "embedding": ("Gather", 1), "embedding_and_dense": ("Gather", 2),
    "embedding_of_half_precision": ("FullyConnected", 1), "token_before_data": ("FullyConnected", 1),
    "group_normalization": ("MVN", 1), "reduce_sum": ("Reduce", 1), "linear_with_batch_norm": ("FullyConnected", 2),
    **dict.fromkeys(
        (
            "adaptive_max_pool", "gather_nd", "gather_elements", "scatter_update", "scatter_update_of_data",
            "scatter_nd_update", "scatter_elements_update", "space_to_depth", "tile", "slice_of_data", "interpolate",
            "split_before_concat", "split_into_concat", "squared_difference", "adaptive_avg_pool", "batch_norm",
        ),
        ("Convolution", 2),
    ),
    "space_to_batch_and_back": ("Convolution", 3), "split_and_two_layers": ("Convolution", 4),
    "squeeze_and_excitation": ("Convolution", 4), "depth_to_space": ("Convolution", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_INT8)
def test_what_is_quantized_runs_in_int8(name):
    net = OPERATIONS[name]()
    kind, count = IN_INT8[name]
    assert runs_in_int8(precisions(built(net, operation_samples(net, 4))), kind, count)


@pytest.mark.parametrize("name", [name for name, (_, _, reason) in DIFFERENCES.items() if reason == LOST])
def test_below_nncfs_places_a_convolution_runs_in_fp32(name):
    """When this fails the plugin has learnt something, and the hardware configuration may too."""
    net = OPERATIONS[name]()
    last = [each for each in precisions(nncfs(net, operation_samples(net, 4)))["Convolution"] if each[0] == "last"]
    assert [precision for _, precision in last] == ["f32"]


RECURRENT = [name for name in OPERATIONS if name.startswith(("lstm_seq", "gru_seq"))]


@pytest.mark.parametrize("name", RECURRENT)
def test_a_sequence_in_int8_computes_what_its_ranges_say(name):
    """With ranges of their own for W and R, or for data and states, the plugin makes errors of 0.2 to 0.8."""
    net = OPERATIONS[name]()
    samples = operation_samples(net)
    made = pipeline(net, samples, compression(range_estimator={"max": {"aggregator": "max"}}))
    others = [operation.name for operation in made.placement.operations if "recurrent" not in operation.name]
    expected = np.stack(outputs(net, samples))
    assert error(expected, made.build(switched_off(made.base, *others)), samples) < 0.06


def compare_recurrent():
    for name in RECURRENT:
        test_a_sequence_in_int8_computes_what_its_ranges_say(name)


def test_a_sequence_in_int8_computes_what_its_ranges_say_with_all_instructions_of_the_cpu():
    with_all_instructions("integration.test_operations", "compare_recurrent")


def test_file_of_a_table_holds_integers(tmp_path):
    """Not FP32 numbers that a FakeQuantize would round again."""
    net = OPERATIONS["embedding"]()
    save_model(built(net, operation_samples(net, 2)), tmp_path / "int8.xml")
    constants = [node for node in read_model(tmp_path / "int8.xml").get_ops() if node.get_type_name() == "Constant"]
    assert ov.Type.i8 in [node.get_element_type() for node in constants]
    assert not any(
        list(node.output(0).get_shape()) == [20, 16] for node in constants if node.get_element_type().is_real()
    )
