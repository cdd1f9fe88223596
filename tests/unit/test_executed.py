"""Which quantized operations a device executes in INT8 is read from its runtime graph."""

from dataclasses import replace

import numpy as np
import pytest

from builders import compression, model, named, parameter, pipeline, residual_model
from operation_zoo import OPERATIONS
from quantize_zoo.cell.executing import executed_notes, executed_of
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


def executed(net, **params):
    """What the CPU executes of a model's base option, and the option."""
    built = pipeline(net, random_samples(net, 4), compression(**params))
    before = runtime_names(compile_for_latency(net, F32, BenchmarkParams()))
    return executed_of(built, net, built.base, F32, BenchmarkParams(), before), built.base


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


def test_conversions_are_told_that_fp32_does_not_have():
    found, _ = executed(residual_model())
    entry = found.conversions[0]
    assert (entry.name, entry.before, entry.after) == ("first/fq_input_0", "f32", "u8")


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


def test_what_the_graph_does_not_show_is_not_taken_for_floating_point():
    unknown = ExecutedOperation("lost", "", "")
    assert Executed((unknown, replace(unknown, name="slow", precision="bf16")), ()).in_floating_point == {"slow"}
