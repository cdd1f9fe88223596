"""Times of single layers: what is executed, what belongs together, and that it adds up."""

import time

import numpy as np
import openvino as ov
import pytest

from builders import plain_int8, residual_model
from quantize_zoo.errors import CellError
from quantize_zoo.scoring import profile_layers

PROPERTIES = {"PERF_COUNT": True, "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
SAMPLE = {"image": np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)}


def compiled(model, **changes):
    return ov.Core().compile_model(model, "CPU", {**PROPERTIES, **changes})


def test_layers_of_both_sides_stand_beside_each_other():
    model = residual_model()
    layers = profile_layers(compiled(model), compiled(plain_int8(model, [SAMPLE] * 4)), SAMPLE)
    found = {layer.name: layer for layer in layers}
    for name in ("first", "branch"):
        layer = found[name]
        assert layer.reference_us > 0
        assert layer.candidate_us > 0
        assert "f32" in layer.reference_kernel.lower()
        assert "i8" in layer.candidate_kernel.lower()
    assert not any("fq_input" in name and name.startswith("first") for name in found), "it belongs to the convolution"


def test_a_model_against_itself_takes_the_same_layers():
    model = residual_model()
    layers = profile_layers(compiled(model), compiled(model), SAMPLE)
    # What takes a microsecond may be executed on one side and take no time on the other.
    longer = [layer for layer in layers if (layer.reference_us or 0) > 1 and layer.candidate_us]
    assert "branch" in {layer.name for layer in longer}
    assert all(layer.reference_kernel == layer.candidate_kernel for layer in longer)
    times = np.array([(layer.reference_us, layer.candidate_us) for layer in longer]).sum(axis=0)
    assert times[0] / times[1] == pytest.approx(1, rel=0.5)


def test_the_warm_up_does_not_count():
    """The first inference of a model takes ten times as long; the sum of the layers must be that of the others."""
    model = residual_model()
    both = [compiled(model) for _ in range(2)]
    layers = profile_layers(*both, SAMPLE)
    request = both[0].create_infer_request()
    seconds = []
    for _ in range(200):
        start = time.perf_counter()
        request.infer(SAMPLE)
        seconds.append(time.perf_counter() - start)
    assert sum(layer.reference_us or 0 for layer in layers) < 1e6 * np.median(seconds)


def test_models_that_are_not_profiled_have_no_layers():
    model = residual_model()
    assert profile_layers(compiled(model, PERF_COUNT=False), compiled(model, PERF_COUNT=False), SAMPLE) == ()


def test_a_failing_inference_is_one_error():
    model = compiled(residual_model())
    with pytest.raises(CellError, match="profiling"):
        profile_layers(model, model, {"image": np.ones((1, 3, 9, 9), np.float32)})
