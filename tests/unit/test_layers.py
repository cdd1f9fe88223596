"""In which layers two models differ: names that match, where a difference begins and how it grows, and times."""

import sys
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openvino as ov
import pytest

from builders import convolution, model, named, parameter, plain_int8, residual_model
from operation_zoo import OPERATIONS, operation_samples
from quantize_zoo.config import BenchmarkParams, DeviceSpec
from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.layer_outputs import layer_deviations
from quantize_zoo.gate.layer_times import compare_times, layer_times
from quantize_zoo.graph import (
    common_layers,
    in_passes,
    layers_before,
    layers_of,
    save_model,
    with_layer_results,
    with_other_rounding,
)
from quantize_zoo.graph.opset import opset13 as ops
from zoo import branches, random_samples, split_and_join, with_all_instructions

F32 = DeviceSpec(device="CPU", inference_precision="f32")


def samples_of(count=3, shape=(1, 3, 8, 8)):
    rng = np.random.default_rng(1)
    return [{"image": rng.normal(size=shape).astype(np.float32)} for _ in range(count)]


def bench(net, samples, device=F32, sequences=None):
    """What runs the models, with these samples named s0, s1, ..."""
    session = SimpleNamespace(
        sequences=sequences,
        identifiers=lambda: [f"s{index}" for index in range(len(samples))],
        inputs=lambda indices=None: samples if indices is None else [samples[index] for index in indices],
    )
    shapes = {port.get_any_name(): str(port.get_partial_shape()) for port in net.inputs}
    return Bench(session, device, BenchmarkParams(), "accuracy", "", shapes, frozenset(), measures_latency=True)


def compared(folder, before, now, samples=None, *, python=None, **known):
    """Save two models, and tell where they begin to differ on samples."""
    samples = samples_of() if samples is None else samples
    where = bench(before, samples, **known)
    paths = [folder / "before.xml", folder / "now.xml"]
    for net, path in zip((before, now), paths, strict=True):
        save_model(net, path)
    sides = where.accuracy_side(paths[0], python), where.accuracy_side(paths[1])
    return layer_deviations(where, *sides, where.accuracy.identifiers())


@pytest.fixture
def compare(tmp_path):
    return partial(compared, tmp_path)


def scaled(net, name, factor):
    """A copy in which the weights of a layer are larger."""
    copy = net.clone()
    (node,) = (each for each in copy.get_ordered_ops() if each.get_friendly_name() == name)
    source = node.input_value(1)
    if source.get_node().get_type_name() == "FakeQuantize":
        node, source = source.get_node(), source.get_node().input_value(0)
        node.input(0).replace_source_output(ops.constant(factor * source.get_node().data).output(0))
    else:
        node.input(1).replace_source_output(ops.constant(factor * source.get_node().data).output(0))
    return copy


def chain(depth=5):
    """Convolutions conv0, conv1, ... with activations between."""
    image = parameter()
    node, channels = image, 3
    for number in range(depth):
        weights = np.random.default_rng(number).normal(scale=0.3, size=(6, channels, 3, 3)).astype(np.float32)
        node = named(ops.convolution(node, ops.constant(weights), [1, 1], [1, 1], [1, 1], [1, 1]), f"conv{number}")
        node, channels = named(ops.relu(node), f"relu{number}"), 6
    return model(node, image)


# Names


def test_layers_compute_real_numbers_on_data_and_are_no_quantization():
    net = plain_int8(residual_model(), samples_of())
    found = layers_of(net)
    assert list(found) == ["first", "relu", "branch", "bias", "add", "pool", "flat", "scores"]


def test_layers_are_matched_by_name_and_type():
    before, now = chain(2), chain(3)
    named(next(node for node in now.get_ops() if node.get_friendly_name() == "relu0"), "conv1_")
    other = next(node for node in now.get_ops() if node.get_friendly_name() == "conv1")
    other.set_friendly_name("relu0")
    assert common_layers(before, now) == ("conv0", "relu1")


def test_the_layers_before_are_found_through_what_lies_between():
    before = layers_before(residual_model(), ("first", "branch", "add", "scores"))
    assert before == {"first": (), "branch": ("first",), "add": ("first", "branch"), "scores": ("add",)}


def test_every_real_output_of_a_layer_leaves_the_copy_and_the_model_stays():
    net = split_and_join()
    layers = tuple(layers_of(net))
    read, tensors = with_layer_results(net, layers)
    assert [port.get_any_name() for port in read.outputs] == list(tensors)
    assert {layer for layer, _ in tensors.values()} == set(layers)
    assert len(tensors) > len(layers), "a split has several outputs"
    assert len(net.outputs) == len(split_and_join().outputs)


def test_passes_keep_the_order_and_the_limit():
    image = parameter(ov.PartialShape([-1, 3, 8, 8]))
    net = model(named(ops.relu(convolution(image, 3, 4, "conv")), "relu"), image)
    each = 4 * 2 * 4 * 8 * 8
    assert list(in_passes(net, ("conv", "relu"), {"image": (2, 3, 8, 8)}, 2 * each)) == [("conv", "relu")]
    assert list(in_passes(net, ("conv", "relu"), {"image": (2, 3, 8, 8)}, each)) == [("conv",), ("relu",)]
    assert list(in_passes(net, ("conv", "relu"), {"image": (2, 3, 8, 8)}, 1)) == [("conv",), ("relu",)]


def node_of(net, name):
    return next(node for node in net.get_ordered_ops() if node.get_friendly_name() == name)


def test_other_roundings_move_each_weight_by_a_share_of_its_own():
    net = residual_model()
    one, other = (
        node_of(each, "branch").input_value(1).get_node().data
        for each in (net, with_other_rounding(net, 1e-3, np.random.default_rng(0)))
    )
    shares = other / one - 1
    assert 5e-4 < np.abs(shares).max() <= 1.001e-3
    assert shares.std() > 1e-4


def test_other_roundings_move_the_borders_of_a_fake_quantize_together():
    net = plain_int8(residual_model(), samples_of())
    one, other = (
        np.concatenate(
            [node_of(each, "first/fq_input_0").input_value(port).get_node().data.ravel() for port in range(1, 5)]
        )
        for each in (net, with_other_rounding(net, 1e-3, np.random.default_rng(0)))
    )
    shares = other / one - 1
    assert shares == pytest.approx(np.full(4, shares[0]), abs=1e-6)
    assert 0 < abs(shares[0]) <= 1.001e-3


# Where a difference begins


@pytest.mark.parametrize("name", ["conv0", "conv2", "conv4"])
@pytest.mark.parametrize("quantized", [False, True], ids=["FP32", "INT8"])
def test_the_layer_whose_weights_were_scaled_is_the_first(compare, name, quantized):
    net = plain_int8(chain(), samples_of()) if quantized else chain()
    (trace,) = compare(net, scaled(net, name, 1.1)).traces
    assert trace.precision == "f32"
    assert trace.first.name == name
    assert trace.first.deviation == pytest.approx(0.1, rel=0.2)
    assert not trace.first.inputs, "what comes before is as it was"


def test_a_difference_goes_along_the_graph_and_no_other_way(compare):
    net = residual_model()
    (trace,) = compare(net, scaled(net, "branch", 1.2)).traces
    assert [layer.name for layer in trace.layers if layer.is_beyond] == [
        "branch", "bias", "add", "pool", "flat", "scores",
    ]  # fmt: skip
    found = {layer.name: layer for layer in trace.layers}
    assert (found["first"].deviation, found["relu"].deviation) == (0, 0)
    assert found["branch"].deviation == pytest.approx(0.2 / 1.2, rel=1e-3), "of the larger side"
    assert found["add"].inputs == found["bias"].deviation
    assert trace.outputs.deviation == pytest.approx(found["scores"].deviation, rel=1e-3)


def test_the_largest_step_is_told_beside_the_first(compare):
    net = chain()
    found = compare(net, scaled(scaled(net, "conv0", 1.001), "conv3", 1.5))
    (trace,) = found.traces
    assert (trace.first.name, trace.steepest.name) == ("conv0", "conv3")
    assert "the first layer that differs beyond rounding is conv0 (by 0.1 %" in found.text
    assert "the largest step is conv3 (0.1 % to 33 %)" in found.text


def test_a_configuration_that_quantizes_one_layer_less_differs_from_there(compare):
    net, samples = chain(), samples_of()
    (trace,) = compare(plain_int8(net, samples), net, samples).traces
    assert trace.first.name == "conv0"
    assert trace.first.deviation < 0.05


# Rounding


def limited_to(folder, instructions):
    """An interpreter whose oneDNN has these instructions at most: other kernels, which sum up in another order."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\nexport ONEDNN_MAX_CPU_ISA={instructions}\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["lstm_sequence", "attention_with_projections", "interpolate", "split_and_join"])
def test_other_kernels_of_the_same_model_are_within_rounding(compare, tmp_path, name):
    net = {**OPERATIONS, "split_and_join": split_and_join}[name]()
    found = compare(net, net, random_samples(net, 3), python=limited_to(tmp_path, "AVX"))
    (trace,) = found.traces
    assert [layer for layer in trace.layers if layer.is_beyond] == []
    assert found.text.startswith("no layer differs beyond rounding, the outputs differ by ")
    assert trace.outputs.deviation > 0, "the kernels are others"


def test_other_kernels_of_an_int8_model_are_within_rounding(compare, tmp_path):
    """Values at the border of two levels may go either way."""
    samples = samples_of(8)
    net = plain_int8(chain(), samples)
    (trace,) = compare(net, net, samples, python=limited_to(tmp_path, "AVX512_CORE")).traces
    assert [layer for layer in trace.layers if layer.is_beyond] == []


def test_a_plugin_that_computes_something_else_once_layers_are_read_is_told(compare, tmp_path):
    """Held to AVX, the CPU plugin loses the scale of an INT8 convolution whose Relu is read."""
    net = OPERATIONS["split_and_two_layers"]()
    samples = operation_samples(net, 4)
    net = plain_int8(net, samples)
    (trace,) = compare(net, net, samples, python=limited_to(tmp_path, "AVX")).traces
    assert trace.notes == ("reading the layers of the baseline moves its outputs by 100 %, beyond rounding",)


def test_a_precision_of_fewer_digits_is_told_beside_f32():
    with_all_instructions("test_layers", "compare_in_bf16")


def compare_in_bf16():
    net = chain()
    device = DeviceSpec(device="CPU", inference_precision="bf16")
    with tempfile.TemporaryDirectory() as folder:
        traces = compared(Path(folder), net, scaled(net, "conv2", 1.3), device=device).traces
    compiled = ov.Core().compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    there = compiled.get_property("INFERENCE_PRECISION_HINT") == ov.Type.bf16  # AVX-512 without it emulates it
    expected = ["bf16", "f32"] if there else ["f32"]
    assert [trace.precision for trace in traces] == expected, "bf16 is there or not"
    assert {trace.first.name for trace in traces} == {"conv2"}
    assert traces[0].first.rounding > 1e3 * traces[-1].first.rounding or len(traces) == 1


# What cannot be compared


def test_models_without_a_common_name_are_skipped(compare):
    net = chain()
    for node in (other := chain()).get_ops():
        node.set_friendly_name(f"{node.get_friendly_name()}_")
    found = compare(net, other)
    assert (found.traces, found.skipped) == ((), "no layer of one model has the name and type of one of the other's")


def test_layers_of_one_side_are_told(compare):
    found = compare(chain(3), chain(5))
    assert found.notes == ("only the candidate has 4 layers: conv3, relu3, conv4, ...",)
    assert found.traces[0].first is None


def test_sequences_are_skipped(compare):
    assert "states" in compare(chain(), chain(), sequences=["a"] * 3).skipped


def test_bodies_are_told_and_the_rest_is_compared(compare):
    net = branches()
    found = compare(net, net, random_samples(net, 2))
    assert [note for note in found.notes if "body" in note] == [
        f"the operations in the body of {name} are not looked into"
        for name in (node.get_friendly_name() for node in net.get_ordered_ops() if node.get_type_name() == "If")
    ]
    assert len(found.traces[0].layers) > 1


def test_dynamic_shapes_are_computed_sample_by_sample(compare):
    image = parameter(ov.PartialShape([-1, 3, -1, -1]))
    net = model(named(ops.relu(convolution(image, 3, 4, "conv", kernel=3)), "relu"), image)
    samples = [samples_of(1, (1, 3, size, 9))[0] for size in (8, 11)]
    (trace,) = compare(net, scaled(net, "conv", 1.1), samples).traces
    assert trace.first.name == "conv"


def test_an_interpreter_that_does_not_run_is_a_reason_and_no_error(compare, tmp_path):
    found = compare(chain(), chain(), python=tmp_path / "nothing")
    assert found.traces == ()
    assert "nothing" in found.skipped


# Times


def times(**layers):
    return {name: ("kernel", micros) for name, micros in layers.items()}


def test_the_layer_that_got_slowest_comes_first_and_its_parts_count_as_it():
    rounds = [
        (times(conv=10.0 + tick, fc=5.0, gone=4.0), {**times(conv=10.0 + tick, fc=25.0), "fc/fq_input_0": ("q", 2.0)})
        for tick in range(8)
    ]
    found = compare_times(rounds, {"conv", "fc", "gone", "fused"}, {"conv", "fc", "fused"})
    assert [layer.name for layer in found.layers] == ["fc", "conv", "gone"]
    worst = found.layers[0]
    assert (worst.baseline_us, worst.candidate_us, worst.difference_us.value) == (5.0, 27.0, 22.0)
    assert (worst.difference_us.low, worst.difference_us.high) == (21.0, 23.0), "a tick of the clock either side"
    assert found.layers[2].note == "the candidate has no such layer"
    assert found.text == "most of it in fc: +22.0 us [21.0, 23.0], all layers +18.0 us"


def test_a_layer_that_is_fused_on_one_side_says_so():
    rounds = [(times(conv=10.0), times(conv=10.0, relu=6.0))] * 8
    found = compare_times(rounds, {"conv", "relu"}, {"conv", "relu"})
    assert found.layers[0].name == "relu"
    assert found.layers[0].baseline_us is None
    assert found.layers[0].note == "in the baseline it is part of another layer, or not executed"


def test_differences_within_the_clock_are_none():
    found = compare_times([(times(conv=10.0), times(conv=10.9))] * 8, {"conv"}, {"conv"})
    assert found.text == "no single layer is measurably slower"


def test_a_plugin_that_tells_no_times_is_a_reason():
    assert compare_times([({}, {})] * 8, {"conv"}, {"conv"}).skipped.startswith("the device's plugin does not tell")


@pytest.mark.parametrize("elsewhere", [False, True], ids=["one process", "two interpreters"])
def test_an_expensive_layer_that_was_added_is_the_first(tmp_path, elsewhere):
    samples = samples_of(1, (1, 3, 32, 32))
    image = parameter((1, 3, 32, 32))
    first = convolution(image, 3, 16, "first", kernel=3)
    before = model(named(convolution(first, 16, 16, "last", kernel=3), "last"), image)
    again = parameter((1, 3, 32, 32))
    first = convolution(again, 3, 16, "first", kernel=3)
    added = convolution(convolution(first, 16, 128, "added", kernel=7), 128, 16, "narrow")
    now = model(named(convolution(added, 16, 16, "last", kernel=3), "last"), again)
    where = bench(before, samples)
    where.__dict__["timed_indices"] = (0,)
    paths = [tmp_path / "before.xml", tmp_path / "now.xml"]
    for net, path in zip((before, now), paths, strict=True):
        save_model(net, path)
    other = tmp_path / "python"
    other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    found = layer_times(where, where.side(paths[0], other if elsewhere else None), where.side(paths[1]))
    assert found.skipped == ""
    assert found.layers[0].name == "added"
    assert found.layers[0].note == "the baseline has no such layer"
    assert found.layers[0].is_slower
    assert found.text.startswith("most of it in added: +")
