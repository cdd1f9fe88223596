"""Times of single layers: what is executed, what belongs together, and that it adds up."""

import time

import numpy as np
import openvino as ov
import pytest

from builders import convolution, model, parameter, plain_int8, residual_model
from quantize_zoo.errors import CellError
from quantize_zoo.scoring import profile_layers
from quantize_zoo.scoring.profiling import without_warm_up

PROPERTIES = {"PERF_COUNT": True, "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
SAMPLE = {"image": np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)}


def compiled(network, **changes):
    return ov.Core().compile_model(network, "CPU", {**PROPERTIES, **changes})


def test_layers_of_both_sides_stand_beside_each_other():
    net = residual_model()
    layers = profile_layers(compiled(net), compiled(plain_int8(net, [SAMPLE] * 4)), [SAMPLE])
    found = {layer.name: layer for layer in layers}
    for name in ("first", "branch"):
        assert "f32" in found[name].reference_kernel.lower()
        assert found[name].candidate_us is not None
    assert "i8" in found["branch"].candidate_kernel.lower()
    assert not any("fq_input" in name and name.startswith("first") for name in found), "it belongs to the convolution"


def test_a_layer_shorter_than_the_plugins_clock_is_executed_all_the_same():
    """On a fast CPU no layer of this model takes a microsecond, and the plugin says NOT_RUN of all of them."""
    net = residual_model()
    found = {layer.name: layer for layer in profile_layers(compiled(net), compiled(net), [SAMPLE])}
    assert {"first", "branch", "add", "pool", "scores"} <= set(found)
    for layer in found.values():
        assert all(micros == 0 or micros >= 1 for micros in (layer.reference_us, layer.candidate_us)), layer


def test_what_is_fused_into_another_layer_is_not_executed():
    net = residual_model()
    found = {layer.name for layer in profile_layers(compiled(net), compiled(net), [SAMPLE])}
    assert not found & {"image", "relu", "bias", "flat"}


def test_a_model_against_itself_has_the_same_layers_and_kernels():
    net = residual_model()
    for layer in profile_layers(compiled(net), compiled(net), [SAMPLE]):
        assert layer.reference_us is not None
        assert layer.candidate_us is not None
        assert layer.reference_kernel == layer.candidate_kernel


def test_layers_take_no_longer_than_the_inferences_that_they_are_part_of():
    image = parameter((1, 3, 128, 128))
    large = model(convolution(image, 3, 32, "large", kernel=3), image)  # no CPU computes it within a microsecond
    both = [compiled(large) for _ in range(2)]
    start = time.perf_counter()
    layers = profile_layers(*both, [{"image": np.zeros((1, 3, 128, 128), np.float32)}])
    microseconds = 1e6 * (time.perf_counter() - start)
    for taken in (layer.reference_us for layer in layers), (layer.candidate_us for layer in layers):
        assert 0 < sum(taken) < microseconds / 10, "each side is inferred ten times at least"


def test_the_warm_up_does_not_count():
    """Of 210 inferences that take 30 us on average, the first 10 took 100 us each."""
    times = without_warm_up({"conv": ("jit", 100.0)}, 10, {"conv": ("jit", 30.0), "new": ("ref", 20.0)}, 200)
    assert times == {"conv": ("jit", pytest.approx(26.5)), "new": ("ref", pytest.approx(21.0))}


def test_a_warm_up_longer_than_what_the_clock_counted_leaves_no_negative_time():
    assert without_warm_up({"conv": ("jit", 100.0)}, 10, {"conv": ("jit", 1.0)}, 200) == {"conv": ("jit", 0.0)}


def test_models_that_are_not_profiled_have_no_layers():
    net = residual_model()
    assert profile_layers(compiled(net, PERF_COUNT=False), compiled(net, PERF_COUNT=False), [SAMPLE]) == ()


def test_a_failing_inference_is_one_error():
    net = compiled(residual_model())
    with pytest.raises(CellError, match="profiling"):
        profile_layers(net, net, [{"image": np.ones((1, 3, 9, 9), np.float32)}])
