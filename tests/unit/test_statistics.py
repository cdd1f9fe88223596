"""Statistics against a brute-force NumPy computation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import convolution, model, named, parameter
from quantize_zoo.errors import CellError
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import collect_statistics
from quantize_zoo.quantization.statistics import Statistic

QUANTILE = 1 - 1e-4


def identity_model(shape):
    image = parameter(shape)
    return model(named(ops.multiply(image, ops.constant(np.float32(1))), "out"), image)


def brute_force(kind, axes, sample):
    if kind == "min":
        return sample.min(axis=axes)
    magnitude = np.abs(sample.astype(np.float64))
    return magnitude.max(axis=axes) if kind == "abs_max" else np.quantile(magnitude, QUANTILE, axis=axes)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.just(1), st.integers(1, 5), st.integers(1, 40), st.integers(1, 12)),
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_statistics_equal_numpy(shape, seed, scale):
    rng = np.random.default_rng(seed)
    samples = [(scale * rng.standard_normal(shape)).astype(np.float32) for _ in range(3)]
    wanted = [Statistic("out:0", kind, per) for kind in ("min", "abs_max", "abs_quantile") for per in (False, True)]
    found = collect_statistics(identity_model(shape), wanted, [{"image": sample} for sample in samples])
    for statistic in wanted:
        axes = (0, 2, 3) if statistic.per_channel else None
        expected = np.stack([np.atleast_1d(brute_force(statistic.type, axes, sample)) for sample in samples])
        np.testing.assert_allclose(found[statistic], expected, rtol=2e-7, atol=1e-12 * scale)


def test_quantile_of_a_large_tensor_interpolates_like_numpy():
    shape = (1, 4, 150, 100)
    sample = np.random.default_rng(1).exponential(size=shape).astype(np.float32)
    wanted = [Statistic("out:0", "abs_quantile", False), Statistic("out:0", "abs_quantile", True)]
    found = collect_statistics(identity_model(shape), wanted, [{"image": sample}])
    np.testing.assert_allclose(found[wanted[0]][0, 0], np.quantile(sample, QUANTILE), rtol=1e-6)
    np.testing.assert_allclose(found[wanted[1]][0], np.quantile(sample, QUANTILE, axis=(0, 2, 3)), rtol=1e-6)


def test_no_calibration_sample_is_an_error():
    with pytest.raises(CellError, match="dataset is empty"):
        collect_statistics(identity_model((1, 2, 2, 2)), [Statistic("out:0", "min", False)], [])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_value_that_is_not_finite_names_its_operation(bad):
    image = parameter((1, 3, 4, 4))
    net = model(named(ops.relu(convolution(image, 3, 2, "conv")), "relu"), image)
    sample = np.full((1, 3, 4, 4), bad, np.float32)
    wanted = [Statistic("image:0", "min", False), Statistic("image:0", "abs_max", False)]
    with pytest.raises(CellError, match="'image' has NaN or infinite"):
        collect_statistics(net, wanted, [{"image": sample}])
