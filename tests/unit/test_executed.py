"""Which quantized operations a device executes in INT8 is read from its runtime graph."""

from dataclasses import replace

import numpy as np
import pytest

from builders import compression, model, named, parameter, pipeline, residual_model
from operation_zoo import OPERATIONS
from quantize_zoo.cell.executing import DeviceLook, executed_notes
from quantize_zoo.config import BenchmarkParams, DeviceSpec
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import (
    Executed,
    ExecutedOperation,
    available_instruction_sets,
    compile_for_latency,
    runtime_names,
)
from zoo import random_samples, with_all_instructions

F32 = DeviceSpec(device="CPU", inference_precision="f32")


def look(net, hardware=None, **params):
    """What looks at the CPU, and the base option that it looks with."""
    samples = random_samples(net, 4)
    built = pipeline(net, samples, compression(**params), target=hardware or "CPU")
    before = runtime_names(compile_for_latency(net, F32, BenchmarkParams()))
    return DeviceLook(built, net, F32, BenchmarkParams(), before), built.base, samples[0]


def executed(net, **params):
    """What the CPU executes of a model's base option, and the option."""
    device, base, _ = look(net, **params)
    return device.executed(base), base


def precisions(found):
    return {each.name: each.precision for each in found.operations}


def test_symmetric_weights_run_in_int8():
    found, _ = executed(residual_model())
    assert precisions(found).keys() == {"first", "branch", "add", "pool", "scores"}
    assert {precisions(found)[name] for name in ("first", "branch", "scores")} <= {"u8", "i8"}
    assert not found.in_floating_point


def test_asymmetric_weights_run_in_floating_point_also_under_the_name_of_their_bias():
    image = parameter()
    pooled = named(ops.reshape(image, np.array([1, -1]), special_zero=False), "flat")
    weights = np.random.default_rng(0).normal(size=(4, 192)).astype(np.float32)
    scores = named(ops.matmul(pooled, ops.constant(weights), False, True), "scores")
    net = model(named(ops.add(scores, ops.constant(np.ones((1, 4), np.float32))), "bias"), image)
    found, _ = executed(net, preset="accuracy")
    assert precisions(found) == {"scores": "f32"}


def test_a_kernel_of_its_own_counts_also_where_another_one_has_its_scale():
    """The scale of the first is fused with what is behind it, an addition and a normalization in floating point."""
    rng = np.random.default_rng(0)
    image = parameter()
    tokens = ops.reshape(image, np.array([1, 24, 8], np.int64), special_zero=False)
    embedded = named(
        ops.matmul(tokens, ops.constant(rng.normal(size=(32, 8)).astype(np.float32)), False, True), "embed"
    )
    placed = ops.add(embedded, ops.constant(rng.normal(size=(1, 24, 32)).astype(np.float32)))
    normalized = ops.mvn(placed, np.array([2], np.int64), True, 1e-5, "inside_sqrt")
    scores = named(
        ops.matmul(normalized, ops.constant(rng.normal(size=(4, 32)).astype(np.float32)), False, True), "scores"
    )
    found, _ = executed(model(scores, image))
    assert precisions(found)["embed"] in {"u8", "i8"}, found


def test_conversions_are_told_that_fp32_does_not_have():
    found, _ = executed(residual_model())
    entry = found.conversions[0]
    assert (entry.name, entry.before, entry.after) == ("first/fq_input_0", "f32", "u8")
    assert {each.kind for each in found.conversions} <= {"FakeQuantize", "Convert", "Reorder", "Subgraph", "Eltwise"}


def test_attention_runs_in_floating_point_with_avx2():
    found, _ = executed(OPERATIONS["attention_with_projections"]())
    assert found.in_floating_point == {"attention"}


@pytest.mark.skipif("AVX512_CORE_VNNI" not in available_instruction_sets(), reason="needs a CPU with AVX-512 VNNI")
def test_attention_runs_in_int8_with_vnni():
    with_all_instructions("test_executed", "attention_runs_in_int8")


def attention_runs_in_int8():
    found, _ = executed(OPERATIONS["attention_with_projections"]())
    assert not found.in_floating_point, found


@pytest.mark.parametrize(("preset", "words"), [("performance", 0), ("accuracy", 2)])
def test_asymmetric_weights_are_warned_of(preset, words):
    found, base = executed(residual_model(), preset=preset)
    notes = list(executed_notes(found, base, "CPU"))
    assert len(notes) == words
    if notes:
        assert "preset mixed" in notes[1]


def compressed():
    """What the CPU makes of the compressed weights of two convolutions and a matrix multiplication, way by way."""
    device, base, sample = look(residual_model(), "CPU-weights")
    return {str(each.way): each for each in device.compressed(base, sample)}


def test_weights_of_convolutions_are_unpacked_and_what_a_device_refuses_is_told():
    found = compressed()
    # Held to AVX2, as tests are, a CPU that has AVX-512 must not run integers.
    assert found.keys() == {
        "INT8 asymmetric perchannel",
        "INT4 symmetric perchannel",
        "INT4 asymmetric perchannel",
        "NF4 perchannel",
    }
    assert found["NF4 perchannel"].read == 1
    eight = found["INT8 asymmetric perchannel"]
    assert eight.refused or eight.unpacked == ("first", "branch")
    notes = list(executed_notes(Executed((), (), tuple(found.values())), look(residual_model())[1], "CPU"))
    refused = [way for way, each in found.items() if each.refused]
    assert len(notes) == bool(refused), "one reason is told once"
    assert all(way in notes[0] for way in refused)
    assert all(each.refused.startswith("CPU[f32]: ") for each in found.values() if each.refused)


def test_what_another_device_refuses_is_told_with_its_name():
    device, base, sample = look(residual_model(), "CPU-weights")
    asked = []

    def refusal(way, candidate):
        asked.append((str(way), candidate.get_friendly_name()))
        return "CPU[SSE41]: no kernel"

    found = {str(each.way): each for each in replace(device, refusal=refusal).compressed(base, sample)}
    assert found["NF4 perchannel"].refused == "CPU[SSE41]: no kernel"
    assert [way for way, _ in asked] == [way for way, each in found.items() if "no kernel" in each.refused]


def test_all_instructions_read_compressed_weights_of_a_matrix_multiplication():
    with_all_instructions("test_executed", "every_way_is_read")


def every_way_is_read():
    for way, found in compressed().items():
        assert (found.read, found.refused) == (1, ""), way
        assert found.unpacked == (("first", "branch") if way.startswith("INT8") else ()), way


def test_what_the_graph_does_not_show_is_not_taken_for_floating_point():
    unknown = ExecutedOperation("lost", "", "")
    assert Executed((unknown, replace(unknown, name="slow", precision="bf16")), ()).in_floating_point == {"slow"}
