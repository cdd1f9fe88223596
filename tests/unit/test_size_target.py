"""Size as a target beside accuracy and latency: what is best, what misses it, and what is counted."""

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest
from test_gate_and_report import run_record

from builders import cell_record, compression, final, option, pipeline, residual_model, switched_off, trial
from quantize_zoo.config import OptimizerParams
from quantize_zoo.gate import judge
from quantize_zoo.graph import ordered_operations, save_model, weights_bytes, with_integer_weights
from quantize_zoo.search import Score, best_trial, is_allowed, loss
from quantize_zoo.store import Figures
from zoo import random_samples

SMALL = OptimizerParams(accuracy_loss=1.0, latency_reduce=1.2, size_reduce=3.0)
BASE = Score(0.01, 1.5, 1.0, 3.9)


def of_size(number, ratio, size):
    made = trial(number, 0.0, ratio, option(number % 4))
    return replace(made, score=replace(made.score, size_ratio=size))


@pytest.mark.parametrize(
    ("accuracy_loss", "size", "allowed"), [(0.0, 3.5, True), (0.0, 2.9, False), (0.02, 3.5, False), (0.0, None, False)]
)
def test_what_is_too_large_is_not_allowed(accuracy_loss, size, allowed):
    assert is_allowed(Score(accuracy_loss, 2.0, 1.0, size), SMALL) == allowed
    assert is_allowed(Score(accuracy_loss, 2.0, 1.0, size), SMALL.model_copy(update={"size_reduce": None})) == (
        accuracy_loss < 0.01
    )


def test_the_fastest_that_is_small_enough_is_the_best():
    trials = [of_size(0, 1.3, 3.5), of_size(1, 2.0, 1.0), of_size(2, 1.5, 4.0)]
    assert best_trial(trials, SMALL).number == 2
    assert best_trial(trials, SMALL.model_copy(update={"size_reduce": None})).number == 1


def test_the_loss_grows_with_what_is_lacking_in_size():
    losses = [loss(Score(0.0, 1.5, 1.0, size), BASE, SMALL) for size in (4.0, 3.0, 2.9, 2.0, 1.0)]
    assert losses[0] == losses[1], "smaller than wanted is no better"
    assert losses == sorted(losses)
    assert losses[2] - losses[1] > 40, "worse than a target of latency that is missed"
    inaccurate = loss(Score(0.02, 1.5, 1.0, 4.0), BASE, SMALL)
    assert inaccurate > losses[-1]


def test_what_is_too_large_is_no_better_for_being_faster():
    slow, base = Score(0.0, 0.73, 0.0, 5.5), Score(0.0, 0.85, 1.0, 2.9)
    assert loss(Score(0.0, 1.03, 0.0, 1.0), base, SMALL) > loss(slow, base, SMALL)


def test_without_a_latency_size_counts_as_well():
    small, large = (loss(Score(0.0, None, 0.5, size), BASE, SMALL) for size in (4.0, 1.0))
    assert large > small + 40


@pytest.mark.parametrize(("size_bytes", "status"), [(250, "met"), (500, "missed")])
def test_the_verdict_is_that_of_the_files(size_bytes, status):
    measured = replace(final(0, 1.9), figures=Figures(size_bytes, 0.1, 1), fp32_figures=Figures(1000, 0.1, 1))
    cell = cell_record([of_size(0, 1.9, 3.5)], measured, params=SMALL)
    verdict = judge(cell, run_record(cell))
    assert {check.name: check.status for check in verdict.targets}["size"] == status
    assert verdict.status == status


def test_without_a_target_nothing_is_said_of_size():
    cell = cell_record([of_size(0, 1.9, 1.0)], final(0, 1.9))
    assert "size" not in {check.name for check in judge(cell, run_record(cell)).targets}


def built(**params):
    net = residual_model()
    made = pipeline(net, random_samples(net, 4), compression(**params))
    return net, made, made.build(made.base)


def fake_quantized_constants(model):
    return {
        node.get_friendly_name()
        for node in ordered_operations(model)
        if node.get_type_name() == "FakeQuantize" and node.input_value(0).get_node().get_type_name() == "Constant"
    }


@pytest.mark.parametrize("saturation_fix", ["all", "no"])
def test_symmetric_weights_are_written_as_integers_that_compute_the_same(tmp_path, saturation_fix):
    net, _, candidate = built(saturation_fix=saturation_fix)
    small = with_integer_weights(candidate)
    assert len(fake_quantized_constants(candidate)) == 3
    assert not fake_quantized_constants(small)
    save_model(small, tmp_path / "small.xml")
    for sample in random_samples(net, 3):
        expected, found = (
            ov.Core().compile_model(each, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(sample)[0]
            for each in (candidate, tmp_path / "small.xml")
        )
        np.testing.assert_array_equal(found, expected)
    assert weights_bytes(candidate) == weights_bytes(small)
    # A file shares equal constants, such as scalars.
    assert 0.9 * weights_bytes(small) <= (tmp_path / "small.bin").stat().st_size <= weights_bytes(small)


def test_asymmetric_weights_stay_what_they_are():
    _, _, candidate = built(preset="accuracy")
    small = with_integer_weights(candidate)
    assert fake_quantized_constants(small) == fake_quantized_constants(candidate)
    assert [port.get_any_name() for port in small.inputs] == ["image"]
    assert weights_bytes(small) == weights_bytes(candidate)


def test_what_is_quantized_takes_a_quarter():
    net, made, candidate = built()
    assert weights_bytes(candidate) < 0.45 * weights_bytes(net), "of a model this small borders count"
    assert weights_bytes(made.build(switched_off(made.base, "branch"))) > weights_bytes(candidate) + 1500
