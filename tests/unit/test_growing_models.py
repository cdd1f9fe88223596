"""Costs that follow the size of a model: ratios and counts of one run, no seconds."""

import time
from collections import Counter

import numpy as np
import openvino as ov
import pytest

from builders import pipeline
from large_models import many_convolutions, text_detector
from quantize_zoo.quantization import Extremes, collect_statistics
from quantize_zoo.quantization.instrumentation import ChannelMean, instrumented, sizes_of

IMAGES = [{"image": np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)}]


def extremes(model, tail):
    return [Extremes(point.tensor, None, tail) for point in pipeline(model, []).placement.activations]


def executed(model):
    """How many operations of each type the plugin executes, and its time to compile them."""
    started = time.process_time()
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    seconds = time.process_time() - started
    found = compiled.get_runtime_model().get_ops()
    return Counter(node.get_rt_info()["layerType"].astype(str) for node in found), seconds


def observing(model, tail):
    shapes = {port.get_any_name(): port.get_partial_shape() for port in model.inputs}
    return instrumented(model, extremes(model, tail), shapes)[0]


def test_minimum_and_maximum_convert_no_tensor_to_another_layout():
    detector = text_detector(128)
    plain, _ = executed(detector)
    found, _ = executed(observing(detector, 0.0))
    assert found["Reduce"] > 100
    assert found["Reorder"] <= plain["Reorder"] + 5


@pytest.mark.parametrize("axis", [None, 1])
def test_statistics_of_a_tensor_that_lies_channels_last_are_numpys(axis):
    """A convolution's tensors, behind additions, an enlargement and a concatenation."""
    detector = text_detector(64)
    tensors = [request.tensor for request in extremes(detector, 0.0)]
    requests = [Extremes(tensor, axis, 0.01) for tensor in tensors] + [ChannelMean(tensor, 1) for tensor in tensors]
    found = collect_statistics(detector, requests, IMAGES)
    for tensor, value in values_of(detector, tensors).items():
        rows = value.reshape(1, -1) if axis is None else value[0].reshape(value.shape[1], -1)
        extreme = found.extremes(tensor, axis)
        count = extreme.smallest.shape[-1]
        ordered = np.sort(rows, axis=-1)
        np.testing.assert_array_equal(extreme.smallest[0], ordered[:, :count])
        np.testing.assert_array_equal(extreme.largest[0], ordered[:, ::-1][:, :count])
        np.testing.assert_allclose(found.mean(tensor, 1), value[0].mean(axis=(1, 2)), rtol=1e-3, atol=1e-4)


def values_of(model, tensors):
    """The tensors themselves, in the model that observes them, since other outputs change what is fused."""
    copy = model.clone()
    nodes = {node.get_friendly_name(): node for node in copy.get_ops()}
    ports = [nodes[tensor.rpartition(":")[0]].output(int(tensor.rpartition(":")[2])) for tensor in tensors]
    copy.add_outputs(ports)
    compiled = ov.Core().compile_model(copy, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    values = list(compiled(IMAGES[0]).values())[-len(tensors) :]
    return dict(zip(tensors, values, strict=True))


def test_compiling_what_collects_statistics_grows_with_the_model():
    """In a single output those of 120 convolutions take 3.5 times as long as those of 60, in groups twice."""
    small, large = (
        min(executed(observing(many_convolutions(count, 64), 0.0))[1] for _ in range(2)) for count in (60, 120)
    )
    assert large < 3 * small


def test_what_an_inference_looks_at_is_known_before():
    detector = text_detector(64)
    tensors = [request.tensor for request in extremes(detector, 0.0)]
    sizes = sizes_of(detector, tensors, {"image": ov.PartialShape([1, 3, 64, 64])})
    assert sizes == {tensor: value.size for tensor, value in values_of(detector, tensors).items()}
