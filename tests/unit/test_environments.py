"""Environments that a machine plays for others, and what is said where the best model does not hold in one."""

import contextlib
import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from builders import cell_record, convolution, estimate, final, latency, model, parameter, trial
from quantize_zoo.cell import elsewhere as playing
from quantize_zoo.config import BenchmarkParams, DeviceSpec
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.runtime import KERNELS_VARIABLE, keep_kernels
from quantize_zoo.report import render_cell, render_index, render_markdown
from quantize_zoo.report.json_document import json_value
from quantize_zoo.scoring import (
    Estimate,
    Side,
    accuracy_properties,
    compile_for_accuracy,
    emulation_note,
    environments,
    is_emulated,
    latency_properties,
    measure_in_process,
    playable_environments,
    precision_note,
    start_runtime,
)
from quantize_zoo.store import Elsewhere, Holdout
from unit.test_verdict import report_of

CPU = DeviceSpec(device="CPU")
F32 = DeviceSpec(device="CPU", inference_precision="f32")
OLD = ("SSE41", "AVX", "AVX2")
NEW = (*OLD, "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16")


def labels(own, precision, limit="", available=NEW):
    return [each.label for each in playable_environments(own, precision, limit, available)]


def test_members_of_a_fleet_are_no_other_environments():
    """On a CPU with BF16 its own precision is a member beside AVX2's, whichever of them leads."""
    avx2 = DeviceSpec(device="CPU", isa="AVX2", inference_precision="f32")
    members = [(avx2, "f32"), (CPU, "bf16"), (DeviceSpec(device="GPU"), "f16")]
    found = playable_environments(*members[0], "", NEW, members)
    assert [each.label for each in found] == [
        "CPU[f32]", "CPU[AVX512_CORE_VNNI]", "CPU[AVX512_CORE]", "CPU[AVX]", "CPU[SSE41]",
    ]  # fmt: skip


def test_a_new_cpu_plays_its_precisions_and_all_sets_below_its_own():
    below = ["CPU[AVX2]", "CPU[AVX512_CORE_VNNI]", "CPU[AVX512_CORE]", "CPU[AVX]", "CPU[SSE41]"]
    assert labels(CPU, "bf16") == ["CPU[f32]", *below]
    assert labels(F32, "f32") == ["CPU[bf16]", *below]


def test_a_limited_cell_is_scored_without_its_limit_too():
    assert labels(DeviceSpec(device="CPU", isa="AVX2", inference_precision="f32"), "f32") == [
        "CPU[f32]", "CPU[bf16]", "CPU[AVX512_CORE_VNNI]", "CPU[AVX512_CORE]", "CPU[AVX]", "CPU[SSE41]",
    ]  # fmt: skip


def test_avx_512_without_bf16_emulates_it():
    """OpenVINO takes the hint there, and rounds: what a model loses is known, what it takes is not."""
    assert labels(F32, "f32", available=NEW[:-1]) == [
        "CPU[bf16]",
        "CPU[AVX2]",
        "CPU[AVX512_CORE]",
        "CPU[AVX]",
        "CPU[SSE41]",
    ]
    bf16 = DeviceSpec(device="CPU", inference_precision="bf16")
    assert is_emulated(bf16, "bf16", "", NEW[:-1])
    assert is_emulated(bf16, "bf16", "AVX512_CORE", NEW)
    assert not is_emulated(bf16, "bf16", "", NEW)
    assert not is_emulated(bf16, "f32", "", OLD), "where the hint is not taken"
    assert not is_emulated(bf16, "bf16", "", [*OLD, "AVX2_VNNI"]), "where it is had without AVX-512"
    assert not is_emulated(DeviceSpec(device="GPU", inference_precision="f16"), "f16", "", OLD)


def test_a_cell_that_emulates_its_precision_says_so(monkeypatch):
    monkeypatch.setattr(environments, "available_instruction_sets", lambda: NEW[:-1])
    bf16 = DeviceSpec(device="CPU", inference_precision="bf16")
    assert emulation_note(bf16, "bf16", "") == (
        "CPU[bf16] emulates bf16, which its CPU has not: accuracy is that of bf16, latency is not"
    )
    assert not emulation_note(F32, "f32", "")
    monkeypatch.setattr(environments, "available_instruction_sets", lambda: NEW)
    assert not emulation_note(bf16, "bf16", "")


@pytest.mark.parametrize(("limit", "available"), [("", OLD), ("AVX2", NEW)])
def test_what_is_above_the_machine_cannot_be_played(limit, available):
    assert labels(CPU, "f32", limit, available) == ["CPU[AVX]", "CPU[SSE41]"]


def test_only_a_cpu_is_played():
    assert labels(DeviceSpec(device="GPU"), "f16") == []


def test_properties_go_with_it_but_for_the_precision():
    own = DeviceSpec(device="CPU", device_config={"INFERENCE_PRECISION_HINT": "bf16", "ENABLE_CPU_PINNING": False})
    found = playable_environments(own, "bf16", "", NEW)
    assert {tuple(each.device_config.items()) for each in found} == {(("ENABLE_CPU_PINNING", False),)}


# A process that plays one


@pytest.fixture
def file(tmp_path):
    image = parameter((1, 3, 8, 8))
    save_model(model(ops.relu(convolution(image, 3, 4, "conv", 3)), image), tmp_path / "net.xml")
    return tmp_path / "net.xml"


def samples(*sizes):
    rng = np.random.default_rng(0)
    return [{"image": rng.normal(size=(1, 3, size, size)).astype(np.float32)} for size in sizes]


def test_many_samples_at_once_come_back_in_their_order(file):
    given = samples(*[8] * 70)
    compiled = compile_for_accuracy(read_model(file), F32)
    with start_runtime() as process:
        process.load(Side(file, "CPU", accuracy_properties(F32)))
        found = list(process.infer(given))
    assert len(found) == len(given)
    for sample, outputs in zip(given, found, strict=True):
        (value,) = outputs.values()
        np.testing.assert_array_equal(value, compiled(sample)[0])


@pytest.mark.parametrize("batch", [32, 31, 24, 1])
@pytest.mark.parametrize(("times", "ends"), [(1.01, False), (0.9, True), (0.3, True), (0.0, True)])
def test_a_pass_that_cannot_end_in_time_ends_once_that_is_clear(times, ends, batch, monkeypatch):
    """A batch comes at once, as fast as the one before; with a third of the time that is clear after a few of them."""
    count, now = 320, [0.0]
    monkeypatch.setattr(playing, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def outputs():
        for index in range(count):
            now[0] += min(batch, count - index) if index % batch == 0 else 0
            yield index

    found = []
    with contextlib.suppress(playing._TimeIsOverError):
        found.extend(playing._until(times * count, outputs(), count))
    assert (len(found) < count) is ends
    assert len(found) < 0.25 * count or times > 0.3


def test_samples_of_different_shapes_come_back_as_they_are(tmp_path):
    image = parameter((1, 3, -1, -1))
    save_model(model(ops.relu(convolution(image, 3, 4, "conv", 3)), image), tmp_path / "net.xml")
    with start_runtime() as process:
        process.load(Side(tmp_path / "net.xml", "CPU", accuracy_properties(F32)))
        found = [next(iter(each.values())).shape for each in process.infer(samples(8, 5, 8))]
    assert found == [(1, 4, 8, 8), (1, 4, 5, 5), (1, 4, 8, 8)]


def test_a_limit_is_the_processs_own(file):
    """The model runs in the set that its process is limited to, whatever this one's limit is."""
    with start_runtime(isa="SSE41") as process:
        process.load(Side(file, "CPU", {**accuracy_properties(F32), "PERF_COUNT": True}))
        process.feed(samples(8))
        process.run(0, 1)
        kernels = {kernel for _, _, kernel, _ in process.profile(0)[0]}
        assert process.precision() == "f32"
    assert not any("avx" in kernel for kernel in kernels), kernels


def test_latency_in_a_process_is_that_of_several_compilations_in_turns(file):
    benchmark = BenchmarkParams(duration_seconds=0.2)
    side = Side(file, "CPU", latency_properties(F32, benchmark))
    with start_runtime() as process:
        found = measure_in_process(process, (side, side), samples(8), benchmark)
    assert len(found.compilations) >= 4
    assert found.ratio.low < 1.5
    assert found.ratio.high > 0.67
    assert found.reference_us.value > 0


def test_a_precision_that_a_machine_does_not_have_is_told():
    f16 = DeviceSpec(device="CPU", inference_precision="f16")
    assert precision_note(f16, "bf16") == "CPU[f16] runs in bf16: its machine has no f16"
    assert [precision_note(*each) for each in ((f16, "f16"), (f16, "unknown"), (CPU, "bf16"))] == ["", "", ""]


def test_throughput_in_a_process_is_that_of_several_inferences_at_once(file):
    """All streams work for a turn; one after another, as many inferences would take as many times as long."""
    benchmark = BenchmarkParams(duration_seconds=0.2, api_type="async", nstreams=2, nthreads=2)
    side = Side(file, "CPU", latency_properties(F32, benchmark))
    fed = []
    with start_runtime() as process:
        feed = process.feed
        process.feed = lambda *arguments: (fed.append(arguments[2]), feed(*arguments))
        found = measure_in_process(process, (side, side), samples(8), benchmark)
        process.load(side)
        feed(samples(8), 0, 2)
        once = process.turns((0,), 3)
        feed(8 * samples(8), 0, 2)
        assert process.turns((0,), 3).min() > 2 * once.min(), "the seconds are those of all inputs"
    assert set(fed) == {2}
    assert found.ratio.low < 1.5
    assert found.ratio.high > 0.67


# What is said of it


def elsewhere(lost, half=0.001, holdout=None, **changes):
    found = Elsewhere(
        "CPU[AVX2]", "f32", estimate(0.9), estimate(0.9 - lost), estimate(lost, half, ""),
        holdout and Holdout(estimate(0.9), estimate(0.9 - holdout), estimate(holdout, half, "")), latency(1.5),
    )  # fmt: skip
    return replace(found, **changes)


def reported(*found):
    cell = cell_record([trial(0, 0.0, 1.5)], replace(final(0, 1.5), portability=found))
    return report_of(cell)


def test_a_loss_that_is_surely_beyond_the_target_elsewhere_is_a_warning_everywhere_and_no_alarm():
    report = reported(elsewhere(0.04))
    verdict = report.cells[0].verdict
    assert (verdict.status, verdict.alarms, report.exit_status) == ("met", (), 0)
    assert verdict.warnings == (
        "not portable to CPU[AVX2]: there the best loses at least 3.90 % of FP32 on the samples of the search, "
        "1 % are allowed",
    )
    for text in (render_index(report), render_cell(report, report.cells[0]), render_markdown(report)):
        assert "not portable to CPU" in text
    document = json_value(report)["cells"][0]
    assert document["verdict"]["warnings"] == list(verdict.warnings)
    assert document["final"]["portability"][0]["accuracy_loss_share"]["value"] == 0.04


def test_what_is_lost_on_the_cells_own_device_is_no_matter_of_another_environment():
    lost = replace(final(0, 1.5), portability=(elsewhere(0.04),), loss=estimate(0.5, 0.01, ""))
    assert report_of(cell_record([trial(0, 0.5, 1.5)], lost)).cells[0].verdict.warnings == ()


def test_the_holdout_decides_where_it_is_sure():
    (warning,) = reported(elsewhere(0.04, holdout=0.05)).cells[0].verdict.warnings
    assert "4.90 % of FP32 on samples that the search never saw" in warning


@pytest.mark.parametrize(
    "found",
    [
        elsewhere(0.011, half=0.005),
        elsewhere(0.04, accuracy_loss=Estimate(0.04, None, None, "", 9)),
        Elsewhere("CPU[AVX2]", skipped="not played"),
    ],
    ids=["not sure", "no interval", "not played"],
)
def test_what_is_not_sure_is_no_warning(found):
    report = reported(found)
    assert report.cells[0].verdict.warnings == ()
    assert "CPU[AVX2]" in render_cell(report, report.cells[0])


def test_what_was_not_timed_is_no_figure():
    report = reported(elsewhere(0.0, latency=None))
    assert "<td>not measured</td>" in render_cell(report, report.cells[0])


@pytest.mark.parametrize(
    ("shapes", "before", "after"),
    [(17, {}, {KERNELS_VARIABLE: "16384"}), (16, {}, {}), (17, {KERNELS_VARIABLE: "2"}, {KERNELS_VARIABLE: "2"})],
)
def test_kernels_of_many_shapes_are_kept_unless_the_user_says_how_many(shapes, before, after, monkeypatch):
    variables = dict(before)
    monkeypatch.setattr(os, "environ", variables)
    keep_kernels(samples(*range(1, shapes + 1), 1, 1))
    assert variables == after
