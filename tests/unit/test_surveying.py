"""Where a model's time goes, operation by operation: in FP32, quantized, and where the two meet."""

from types import SimpleNamespace

import numpy as np
import pytest

from builders import compression, convolution, model, named, parameter, pipeline, residual_model
from quantize_zoo.cell import surveying
from quantize_zoo.cell.surveying import only, place_here, survey
from quantize_zoo.config import BenchmarkParams, DeviceSpec
from quantize_zoo.graph import owners
from quantize_zoo.graph.opset import opset13 as ops

SHAPE = (1, 3, 48, 48)
SAMPLES = [{"image": np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)} for seed in range(4)]


def wide():
    """Three convolutions of 64 channels in a row, and a Relu behind each: long enough for the plugin's clock."""
    image = parameter(SHAPE)
    first = named(ops.relu(convolution(image, 3, 64, "first")), "first_relu")
    second = named(ops.relu(convolution(first, 64, 64, "second", kernel=3)), "second_relu")
    return model(named(ops.relu(convolution(second, 64, 64, "third", kernel=3)), "third_relu"), image)


def bench(*, measures_latency=True):
    return SimpleNamespace(
        measures_latency=measures_latency,
        device=DeviceSpec(device="CPU", inference_precision="f32"),
        benchmark=BenchmarkParams(),
        timed_samples=lambda: SAMPLES[:1],
    )


@pytest.fixture(scope="module")
def surveyed():
    pipe = pipeline(wide(), SAMPLES, compression())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surveying, "_SECONDS", 1e9)  # however busy the machine is, all rounds are made, which are short
        patch.setattr(surveying, "SECONDS_A_ROUND", 0.05)
        return survey(pipe, pipe._model, pipe.base, place_here(bench()), evaluated=100)


def test_operations_are_surveyed_in_graph_order_with_what_comes_before(surveyed):
    assert [(each.name, each.before) for each in surveyed.operations] == [
        ("first", ()),
        ("second", ("first",)),
        ("third", ("second",)),
    ]


def test_times_and_changes_are_those_of_the_operations(surveyed):
    """A convolution of 64 by 64 channels and 3 by 3 takes 192 times what one of 3 by 64 does."""
    first, second, third = surveyed.operations
    assert min(second.fp32_us, third.fp32_us) > 2 * first.fp32_us > 0
    assert all(each.change > 0 for each in surveyed.operations)
    assert second.saved_us.low <= second.saved_us.value <= second.saved_us.high


def test_bytes_are_those_of_the_weights(surveyed):
    """From 32 bits to 8; of 3, 64 and 64 channels to 64, the last two of 3 by 3."""
    counts = [3 * 64, 64 * 64 * 9, 64 * 64 * 9]
    assert [each.saved_bytes for each in surveyed.operations] == [3 * count for count in counts]
    assert surveyed.fp32_bytes >= 4 * sum(counts)


def test_weights_that_stay_in_floating_point_become_no_smaller():
    pipe = pipeline(wide(), SAMPLES, compression(preset="accuracy"))
    assert pipe.saved_bytes(pipe.base) == {}


def test_the_best_choice_is_predicted_with_an_interval(surveyed):
    assert surveyed.speedup.low <= surveyed.speedup.value <= surveyed.speedup.high
    assert surveyed.seconds > 0


@pytest.mark.parametrize("rounds", [2, 3, 6])
def test_what_few_rounds_tell_has_an_interval_that_is_the_wider_the_fewer_they_are(rounds):
    found = surveying._located(np.array([9.0, 11.0, 10.0, 10.5, 9.5, 10.2])[:rounds], "us")
    assert found.low < found.value < found.high
    assert (found.high - found.low > 20) == (rounds == 2)


def test_without_the_device_each_operation_counts_the_same():
    pipe = pipeline(wide(), SAMPLES, compression())
    found = survey(pipe, pipe._model, pipe.base, place_here(bench(measures_latency=False)), evaluated=100)
    assert found.speedup is None
    assert {(each.fp32_us, each.int8_us) for each in found.operations} == {(1.0, 0.0)}
    assert all(each.change > 0 for each in found.operations)


def test_only_what_is_named_is_quantized():
    pipe = pipeline(wide(), SAMPLES, compression())
    chosen = only(pipe.base, {"second"})
    assert [name for name, each in chosen.operations.items() if each.quantize] == ["second"]


def test_what_is_computed_up_to_the_next_operation_belongs_to_the_one_before():
    found = owners(residual_model(), {"first", "branch", "add", "scores"})
    assert found["relu"] == "first"
    assert found["bias"] == "branch"
    assert found["pool"] == found["flat"] == "add"
    assert "image" not in found


@pytest.mark.parametrize(
    ("layer", "owner"),
    [
        ("first", "first"),
        ("second/fq_input_0", "second"),
        ("first_relu_f32_abcd_u8_acdb_second", "second"),
        ("third_relu_u8_f32_result", "third"),
        ("image_f32_abcd_acdb_first", "first"),
        ("somewhere", ""),
    ],
)
def test_layers_of_the_plugin_belong_to_what_they_were_made_for(layer, owner):
    regions = owners(wide(), {"first", "second", "third"})
    times = surveying._by_operation({layer: ("kernel", 7.0)}, ["first", "second", "third"], regions)
    assert times == [7.0 if name == owner else 0.0 for name in ("first", "second", "third")]
