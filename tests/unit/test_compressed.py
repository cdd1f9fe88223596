"""Compressed weights: what is stored, and what comes back."""

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from builders import compressed_everywhere, model, parameter, plain_int8, residual_model
from quantize_zoo.config import OperationRule, WeightCompression
from quantize_zoo.graph import WeightPoint, has_compressed_integers, with_integer_weights
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization.compressed import compress, decompression
from zoo import random_samples, with_all_instructions

OF_ROWS = WeightPoint("scores", 1, (0,))
INTEGERS = [
    WeightCompression(bits=8, mode="symmetric"),
    WeightCompression(bits=8, mode="asymmetric"),
    WeightCompression(bits=4, mode="symmetric"),
    WeightCompression(bits=4, mode="asymmetric"),
    WeightCompression(bits=4, mode="symmetric", group_size=32),
    WeightCompression(bits=4, mode="asymmetric", group_size=64),
]
NF4 = WeightCompression(bits=4, mode="nf4", group_size=32)


def given_back(value, compression):
    stored = compress(value, OF_ROWS, compression)
    node = decompression(stored, value.shape, ov.Type.f32, "weights")
    return ov.Core().compile_model(ov.Model([ops.result(node)], []), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([])[0]


@pytest.mark.parametrize("compression", INTEGERS, ids=str)
def test_error_is_half_a_step_at_most(compression):
    value = np.random.default_rng(0).normal(size=(6, 128)).astype(np.float32)
    stored = compress(value, OF_ROWS, compression)
    groups = value.reshape(stored.levels.shape)
    # What is clipped is the positive end of symmetric levels, which is one step short; the scale is rounded to f16.
    allowed = np.abs(stored.scale) * (1.0 if compression.mode == "symmetric" else 0.501) + 1e-3 * np.abs(groups)
    error = np.abs(given_back(value, compression).reshape(stored.levels.shape) - groups)
    assert (error <= allowed).all()
    assert error.max() > 0.2 * np.abs(stored.scale).min()


def test_layer_errs_as_numpy_computes():
    # Held to AVX2, as tests are, a CPU that has AVX-512 must not run integers.
    with_all_instructions("test_compressed", "layer_errs_as_numpy_computes")


def layer_errs_as_numpy_computes():
    rng = np.random.default_rng(1)
    value = rng.normal(size=(8, 64)).astype(np.float32)
    compression = WeightCompression(bits=4, mode="symmetric", group_size=32)
    groups = value.reshape(8, 2, 32)
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=2, keepdims=True), axis=2)
    scale = -largest / 8
    expected = (np.clip(np.round(groups / scale), -8, 7) * scale.astype(np.float16)).astype(np.float16).reshape(8, 64)
    data = rng.normal(size=(3, 64)).astype(np.float32)
    image = ops.parameter([3, 64], np.float32)
    weights = decompression(compress(value, OF_ROWS, compression), value.shape, ov.Type.f32, "weights")
    net = ov.Model([ops.result(ops.matmul(image, weights, False, True))], [image])
    # By itself the CPU plugin quantizes the activations of such a layer as they come, by groups of 32.
    exact = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    found, by_default = (ov.Core().compile_model(net, "CPU", each)(data)[0] for each in (exact, {}))
    np.testing.assert_allclose(found, data @ expected.T.astype(np.float32), rtol=1e-3, atol=1e-2)
    assert np.linalg.norm(by_default - found) < 0.02 * np.linalg.norm(found)
    assert np.linalg.norm(found - data @ value.T) < 0.2 * np.linalg.norm(data @ value.T)


def test_nf4_keeps_its_sixteen_values():
    value = np.random.default_rng(2).normal(size=(2, 64)).astype(np.float32)
    scale = np.abs(value).reshape(2, 2, 32).max(axis=2, keepdims=True)
    found = given_back(value, NF4).reshape(2, 2, 32) / scale.astype(np.float16)
    assert len(np.unique(np.round(found, 3))) <= 16
    assert np.abs(found - value.reshape(2, 2, 32) / scale).max() < 0.17


@pytest.mark.parametrize("compression", [*INTEGERS, NF4], ids=str)
@pytest.mark.parametrize("value", [0.0, 1e-30, -3.0, 7.0])
def test_constant_weights_come_back(compression, value):
    weights = np.full((2, 128), value, np.float32)
    np.testing.assert_allclose(given_back(weights, compression), weights, rtol=2e-3 if value < 0 else 0.13, atol=1e-6)


@given(arrays(np.float32, (2, 128), elements=st.floats(-1e3, 1e3, width=32)), st.sampled_from([*INTEGERS, NF4]))
def test_nothing_that_is_stored_is_out_of_its_levels(value, compression):
    stored = compress(value, OF_ROWS, compression)
    assert np.isfinite(stored.scale).all()
    low, high = {"nf4": (-1, 1), "asymmetric": (0, 2**compression.bits - 1)}.get(
        compression.mode, (-(2 ** (compression.bits - 1)), 2 ** (compression.bits - 1) - 1)
    )
    assert low <= stored.levels.min() <= stored.levels.max() <= high


@pytest.mark.parametrize("wrong", [{"bits": 8, "mode": "nf4"}, {"bits": 8, "mode": "symmetric", "group_size": 32}])
def test_eight_bits_have_neither_groups_nor_nf4(wrong):
    with pytest.raises(ValueError, match="nf4 and groups have 4 bits"):
        WeightCompression.model_validate(wrong)


def test_a_way_stands_in_a_list_once():
    config = {"bits": 8, "mode": "symmetric", "granularity": "pertensor"}
    way = {"bits": 4, "mode": "symmetric", "group_size": 32}
    with pytest.raises(ValueError, match="compressed_weights has INT4 symmetric by groups of 32 twice"):
        OperationRule.model_validate({"types": ["MatMul"], "activations": [config], "compressed_weights": [way, way]})


@pytest.mark.parametrize("wrong", [{"bits": 4.0}, {"bits": "4"}, {"bits": 2}, {"bits": 4, "group_size": 32.0}])
def test_widths_and_groups_are_whole_numbers_of_a_list(wrong):
    with pytest.raises(ValueError, match=r"whole number|Input should be 4 or 8"):
        WeightCompression.model_validate({"mode": "symmetric", **wrong})


@pytest.mark.parametrize("compression", [*INTEGERS, NF4], ids=str)
def test_a_model_tells_whether_it_has_compressed_integers(compression):
    net = residual_model()
    assert not has_compressed_integers(net)
    assert not has_compressed_integers(with_integer_weights(plain_int8(net, random_samples(net, 2))))
    wide = parameter((1, 128), "wide")
    whole = model(ops.matmul(wide, ops.constant(np.ones((4, 128), np.float32)), False, True), wide)
    found = compressed_everywhere(whole, {}, compression)
    assert has_compressed_integers(found) == (compression.mode != "nf4")
