"""The pipeline's steps: what they compute, that FP32 stays what it was, and what is computed once."""

import numpy as np
import openvino as ov
import pytest

from builders import compression, convolution, model, named, parameter, pipeline, switched_off
from quantize_zoo.config import CompressionParams, HardwareConfig
from quantize_zoo.errors import CellError
from quantize_zoo.graph import constant_value, nodes_by_name
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import Pipeline, collect_statistics, derive_space
from quantize_zoo.quantization.alignment import alignment_requests, apply_alignment, compute_alignment, find_pairs
from quantize_zoo.quantization.smooth_quant import (
    apply_smoothing,
    compute_smoothing,
    find_smoothed,
    smoothing_requests,
)
from zoo import ZOO, biased, constant, random_samples


def uneven_pair():
    """Two convolutions with biases; the first one's channels have ranges from 0.01 to 100."""
    image = parameter()
    weights = np.random.default_rng(0).normal(size=(6, 3, 1, 1)) * np.logspace(-2, 2, 6)[:, None, None, None]
    first = ops.convolution(image, ops.constant(weights.astype(np.float32)), [1, 1], [0, 0], [0, 0], [1, 1])
    first = biased(named(first, "first"), 6, "first_bias")
    return model(biased(convolution(first, 6, 4, "second"), 4, "second_bias"), image)


def fully_connected(weights=None):
    tokens = parameter((1, 5, 16), name="tokens")
    weights = constant(12, 16) if weights is None else ops.constant(weights)
    hidden = ops.add(named(ops.matmul(tokens, weights, False, True), "hidden"), constant(12, seed=3))
    gelu = named(ops.gelu(named(hidden, "hidden_bias"), "erf"), "gelu")
    out = ops.add(named(ops.matmul(gelu, constant(4, 12, seed=1), False, True), "out"), constant(4, seed=4))
    return model(named(out, "out_bias"), tokens)


def outlier_samples(net, channel=3, factor=60.0):
    samples = random_samples(net, 16)
    for sample in samples:
        for value in sample.values():
            value[..., channel] *= factor
    return samples


def infer(net, samples):
    compiled = ov.Core().compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(sample)[0] for sample in samples])


def error(net, candidate, samples):
    expected = infer(net, samples)
    return np.linalg.norm(infer(candidate, samples) - expected) / np.linalg.norm(expected)


def collected(net, requests, samples):
    return collect_statistics(net, requests, samples)


def test_alignment_does_not_change_what_the_model_computes():
    net = uneven_pair()
    samples = random_samples(net)
    pairs = find_pairs(net)
    assert [(pair.producer, pair.consumer) for pair in pairs] == [("first", "second")]
    aligned = net.clone()
    apply_alignment(aligned, compute_alignment(net, pairs, collected(net, alignment_requests(pairs), samples)))
    np.testing.assert_allclose(infer(aligned, samples), infer(net, samples), rtol=1e-4, atol=1e-3)


def test_alignment_levels_the_ranges_of_channels():
    net = uneven_pair()
    samples = random_samples(net, 32)
    pairs = find_pairs(net)
    requests = alignment_requests(pairs)
    aligned = net.clone()
    apply_alignment(aligned, compute_alignment(net, pairs, collected(net, requests, samples)))

    def spread(variant):
        values = collected(variant, requests, samples).extremes("first_bias:0", 1)
        width = np.median(values.statistic("max") - values.statistic("min"), axis=0)
        return width.max() / width.min()

    assert spread(net) > 1000
    assert spread(aligned) < 10


def test_alignment_makes_the_quantized_model_more_accurate():
    net = uneven_pair()
    samples = random_samples(net, 32)
    errors = []
    for before in ((), ("ActivationChannelAlignment",)):
        built = pipeline(net, samples, compression(before=before, saturation_fix="all"))
        errors.append(error(net, built.build(built.base), samples))
    assert errors[1] < errors[0]


@pytest.mark.parametrize("change", ["stride", "padding", "second consumer", "activation"])
def test_pairs_that_cannot_be_aligned_are_left(change):
    image = parameter()
    first = biased(convolution(image, 3, 6, "first"), 6, "first_bias")
    between = ops.relu(first) if change == "activation" else first
    stride, pad = [2, 2] if change == "stride" else [1, 1], [1, 1] if change == "padding" else [0, 0]
    second = named(ops.convolution(between, constant(4, 6, 1, 1), stride, pad, pad, [1, 1]), "second")
    results = [second, first] if change == "second consumer" else [second]
    assert find_pairs(ov.Model([ops.result(each) for each in results], [image], "net")) == []


def test_smoothing_does_not_change_what_the_model_computes():
    net = fully_connected()
    samples = outlier_samples(net)
    tensors = find_smoothed(net)
    assert [each.consumers for each in tensors] == [("hidden",), ("out",)]
    smoothed = net.clone()
    statistics = collected(net, smoothing_requests(tensors), samples)
    apply_smoothing(smoothed, compute_smoothing(net, tensors, statistics, 0.5))
    np.testing.assert_allclose(infer(smoothed, samples), infer(net, samples), rtol=1e-3, atol=1e-3)


def test_smoothing_makes_outlier_channels_harmless():
    # One channel of activations is 60 times as large as the others, and its weights are as much smaller.
    weights = np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32)
    weights[:, 3] /= 60
    net = fully_connected(weights)
    samples = outlier_samples(net)
    errors = []
    for before in ((), ("SmoothQuant",)):
        built = pipeline(net, samples, compression(before=before, saturation_fix="all"))
        errors.append(error(net, built.build(built.base), samples))
    assert errors[1] < 0.7 * errors[0]


def with_threshold(threshold, **params):
    plain = compression(**params).model_dump()
    if params["after"]:
        plain["algorithms"][-1]["params"]["threshold"] = threshold
    return CompressionParams.model_validate(plain)


def mean_shift(net, candidate, samples):
    """The largest shift of the output's channel means, the channels being the last axis or the second one."""
    axis = (0, 1) if infer(net, samples[:1]).ndim == 3 else (0, 2, 3)
    return np.abs(infer(candidate, samples).mean(axis=axis) - infer(net, samples).mean(axis=axis)).max()


@pytest.mark.parametrize("correction", ["FastBiasCorrection", "BiasCorrection"])
@pytest.mark.parametrize("make", [uneven_pair, fully_connected])
def test_bias_correction_takes_back_the_shift_of_the_mean(correction, make):
    net = make()
    samples = random_samples(net, 32)
    for sample in samples:
        for value in sample.values():
            value += 2.0  # so that errors of weights have a mean
    plain, corrected = (
        pipeline(net, samples, with_threshold(1e9, after=after, weights={"bits": 4}), target="NPU")
        for after in ((), (correction,))
    )
    shifts = [mean_shift(net, built.build(built.base), samples) for built in (plain, corrected)]
    assert shifts[1] < 0.5 * shifts[0]


def test_sequential_correction_sees_the_operations_before():
    """A chain whose every operation shifts: alone each is right, together only in sequence."""
    net = fully_connected()
    samples = random_samples(net, 32)
    shifts = []
    for after in ("FastBiasCorrection", "BiasCorrection"):
        params = with_threshold(1e9, after=[after], weights={"bits": 2}, activations={"bits": 4})
        built = pipeline(net, samples, params, target="NPU")
        shifts.append(mean_shift(net, built.build(built.base), samples))
    assert shifts[1] < shifts[0]


def test_correction_beyond_the_threshold_is_not_applied():
    net = fully_connected()
    samples = random_samples(net)
    built = pipeline(net, samples, with_threshold(1e-9, after=["FastBiasCorrection"]))
    nodes, originals = nodes_by_name(built.build(built.base)), nodes_by_name(net)
    for name in ("hidden_bias", "out_bias"):
        found, old = (constant_value(each[name].input_value(1)) for each in (nodes, originals))
        np.testing.assert_array_equal(found.ravel(), old.ravel())


def test_bias_of_an_option_is_computed_once(monkeypatch):
    net = fully_connected()
    built = pipeline(net, random_samples(net), compression(after=["FastBiasCorrection"], tuning_scope=["layer"]))
    built.build(built.base)
    compiled = []
    monkeypatch.setattr(ov.Core, "compile_model", lambda *arguments: compiled.append(arguments))
    built.build(built.base)
    built.build(switched_off(built.base, "out"))
    assert compiled == []


def counting_pipeline(net, samples, params):
    passes = []

    def collect(variant, requests, size, name):
        requests = list(requests)
        passes.append(name)
        return collect_statistics(variant, requests, samples[:size])

    hardware = HardwareConfig.model_validate(HARDWARE)
    return Pipeline(net, "net", hardware, params, collect, lambda size: samples[:size]), passes


HARDWARE = {
    "target": "TEST",
    "operations": [
        {
            "types": ["MatMul", "Convolution"],
            "activations": [{"bits": 8, "mode": "symmetric", "granularity": "pertensor"}],
            "weights": [{"bits": 8, "mode": "symmetric", "granularity": "perchannel"}],
        }
    ],
}


def test_everything_is_collected_in_one_pass():
    net = fully_connected()
    params = compression(
        after=["FastBiasCorrection"],
        tuning_scope=["layer", "range_estimator"],
        estimator_tuning_scope=["preset", "type", "aggregator", "outlier_prob"],
    )
    built, passes = counting_pipeline(net, random_samples(net), params)
    built.prepare(built.base)
    built.build(built.base)
    built.build(switched_off(built.base, "out"))
    assert passes == [""]


def test_whether_a_step_is_applied_can_be_tuned():
    net = fully_connected()
    params = with_threshold(
        1e9, before=["SmoothQuant"], after=["FastBiasCorrection"], tuning_scope=["layer", "pipeline"]
    )
    samples = outlier_samples(net)
    for sample in samples:
        sample["tokens"] += 2.0  # so that errors of weights have a mean
    built, passes = counting_pipeline(net, samples, params)
    space = derive_space(built.placement, built.base, params)
    assert [variable.name for variable in space.steps] == ["SmoothQuant", "FastBiasCorrection"]
    assert built.base.steps == ("SmoothQuant", "FastBiasCorrection")
    candidates = [
        built.build(type(built.base)(built.base.operations, steps))
        for steps in ((), ("SmoothQuant",), ("FastBiasCorrection",), built.base.steps)
    ]
    outputs = [infer(candidate, samples[:2]) for candidate in candidates]
    for index, one in enumerate(outputs):
        assert not any(np.array_equal(one, other) for other in outputs[index + 1 :])
    assert sorted(passes) == ["", "", "SmoothQuant"]  # plain, for the scales, and of the smoothed model


@pytest.mark.parametrize("name", ["residual_model", "attention", "compressed"])
def test_a_dynamic_batch_stays_and_computes_the_same(name):
    net = ZOO[name]()
    samples = random_samples(net)
    params = compression(before=["ActivationChannelAlignment", "SmoothQuant"], after=["FastBiasCorrection"])
    dynamic = net.clone()
    dynamic.reshape({port: [-1, *list(port.get_shape())[1:]] for port in dynamic.inputs})
    candidates = [built.build(built.base) for built in (pipeline(each, samples, params) for each in (net, dynamic))]
    assert candidates[1].inputs[0].get_partial_shape()[0].is_dynamic
    expected, found = (infer(candidate, samples[:1]) for candidate in candidates)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_weights_that_are_not_finite_name_their_operation():
    image = parameter()
    weights = np.full((4, 3, 1, 1), np.nan, np.float32)
    net = model(named(ops.convolution(image, ops.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1]), "conv"), image)
    with pytest.raises(CellError, match="weights of operation 'conv' have NaN"):
        pipeline(net, random_samples(net))


def test_four_bits_on_a_cpu_are_refused():
    with pytest.raises(CellError, match="activations: bits 4 is not in the hardware configuration CPU"):
        pipeline(uneven_pair(), [], compression(activations={"bits": 4}))


@pytest.mark.parametrize(
    ("preset", "activations", "weights"),
    [
        ("performance", "symmetric", "symmetric"),
        ("mixed", "asymmetric", "symmetric"),
        ("accuracy", "asymmetric", "asymmetric"),
    ],
)
def test_preset_decides_the_modes(preset, activations, weights):
    for choice in pipeline(uneven_pair(), [], compression(preset=preset)).base.operations.values():
        assert (choice.activations.config.mode, choice.weights.config.mode) == (activations, weights)


def test_bits_are_tuned_where_the_hardware_has_them():
    params = compression(tuning_scope=["bits"])
    for target, widths in (("CPU", {8}), ("NPU", {4, 8})):
        built = pipeline(uneven_pair(), [], params, target=target)
        variable = derive_space(built.placement, built.base, params).operations["second"]
        weights = variable.branches[0].below[1]
        assert {branch.value.bits for branch in weights.branches} == widths
