"""Properties of ranges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantize_zoo.config import QuantizationConfig
from quantize_zoo.graph import WeightPoint, shared_configs
from quantize_zoo.quantization import Border, RangeEstimator, TensorOption, preset_estimator
from quantize_zoo.quantization.instrumentation import Extremes
from quantize_zoo.quantization.ranges import (
    activation_range,
    asymmetric_range,
    symmetric_high,
    symmetric_low,
    weights_range,
)
from quantize_zoo.quantization.statistics import ActivationStatistics, ExtremeValues

FLOATS = st.floats(-100, 100, width=32)
WEIGHTS = hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=FLOATS)
POINT = WeightPoint("conv", 1, (0,))
MODES = ("symmetric", "asymmetric")
BORDERS = st.tuples(FLOATS, FLOATS).map(sorted)
LEVELS = st.sampled_from([4, 16, 255, 256])


def config(mode="symmetric", bits=8, granularity="perchannel"):
    return QuantizationConfig(bits=bits, mode=mode, granularity=granularity)


def weights_option(mode="symmetric", preset="default", bits=8):
    return TensorOption(config(mode, bits), preset_estimator(config(mode, bits), preset, weights=True))


@given(WEIGHTS)
def test_symmetric_weights_range_covers_all_weights(weights):
    found = weights_range(weights, POINT, weights_option())
    assert found.levels == 255
    np.testing.assert_array_equal(found.low, -found.high)
    assert (np.abs(weights) <= found.high).all()


@given(WEIGHTS, st.randoms(), st.sampled_from(MODES))
def test_weights_range_follows_a_permutation_of_channels(weights, random, mode):
    order = random.sample(range(len(weights)), len(weights))
    for preset in ("default", "quantile"):
        found = weights_range(weights, POINT, weights_option(mode, preset))
        permuted = weights_range(weights[order], POINT, weights_option(mode, preset))
        np.testing.assert_array_equal(permuted.high, found.high[order])
        np.testing.assert_array_equal(permuted.low, found.low[order])


@given(WEIGHTS)
def test_quantile_range_is_inside_the_default_range(weights):
    narrow = weights_range(weights, POINT, weights_option(preset="quantile"))
    wide = weights_range(weights, POINT, weights_option())
    assert (narrow.high <= wide.high).all()


@pytest.mark.parametrize(
    ("mode", "bits", "levels"),
    [("symmetric", 8, 255), ("asymmetric", 8, 256), ("symmetric", 4, 15), ("asymmetric", 2, 4)],
)
def test_levels_follow_from_bits_and_mode(mode, bits, levels):
    assert weights_range(np.ones((2, 3), np.float32), POINT, weights_option(mode, bits=bits)).levels == levels


def test_constant_channel_gets_the_smallest_range():
    zeros = np.zeros((2, 3), np.float32)
    np.testing.assert_allclose(weights_range(zeros, POINT, weights_option()).high, 8e-5)
    found = weights_range(zeros, POINT, weights_option("asymmetric"))
    assert (found.high - found.low >= 8e-4).all()
    assert ((found.low < 0) & (found.high > 0)).all()


def test_small_channel_gets_one_percent_of_the_largest():
    np.testing.assert_allclose(symmetric_high(np.array([10.0, 1e-3])), [10.0, 0.1])


@given(st.floats(1e-4, 1e4), LEVELS)
def test_zero_is_a_level_of_a_signed_range(high, levels):
    low = symmetric_low(np.array([high]), levels, negative=True)
    zero = -low / ((high - low) / (levels - 1))
    np.testing.assert_allclose(zero, levels / 2, rtol=1e-9)


def test_range_without_negative_samples_starts_at_zero():
    assert symmetric_low(np.array([3.0]), 256, negative=False) == 0


@given(BORDERS, LEVELS)
def test_asymmetric_range_has_zero_on_a_level(borders, levels):
    low, high = (np.array([value], np.float64) for value in borders)
    found = asymmetric_range(low, high, levels)
    assert found.low[0] <= 0 <= found.high[0]
    zero = -float(found.low[0]) / (float(found.high[0]) - float(found.low[0])) * (levels - 1)
    assert abs(zero - round(zero)) < 1e-4 * levels


@given(BORDERS, LEVELS)
def test_asymmetric_range_covers_its_borders(borders, levels):
    """All of them, but for a border so near to zero that zero's own level is the outermost one."""
    low, high = (np.array([value], np.float64) for value in borders)
    found = asymmetric_range(low, high, levels)
    half_step = (max(high[0], 0) - min(low[0], 0) + 2 * 8e-4) / (levels - 1) / 2
    tolerance = 1e-6 * (abs(low[0]) + abs(high[0]))
    assert found.low[0] <= low[0] + (half_step if found.low[0] == 0 else tolerance)
    assert found.high[0] >= high[0] - (half_step if found.high[0] == 0 else tolerance)


@given(st.floats(0, 1e3), st.floats(0, 1e3), LEVELS, st.booleans())
def test_symmetric_range_grows_with_its_statistic(first, second, levels, negative):
    narrow, wide = (symmetric_high(np.array([value])) for value in sorted([first, second]))
    assert wide >= narrow
    assert symmetric_low(wide, levels, negative=negative) <= symmetric_low(narrow, levels, negative=negative)


@given(BORDERS, BORDERS)
def test_asymmetric_channels_do_not_depend_on_each_other(first, second):
    low, high = np.array([first[0], second[0]], np.float64), np.array([first[1], second[1]], np.float64)
    found, swapped = asymmetric_range(low, high, 256), asymmetric_range(low[::-1], high[::-1], 256)
    np.testing.assert_array_equal(found.low, swapped.low[::-1])
    np.testing.assert_array_equal(found.high, swapped.high[::-1])


def statistics(*samples):
    """Of samples with one value a channel."""
    values = np.array(samples, np.float32)[:, :, None]
    flat = np.sort(values.reshape(len(samples), 1, -1))
    return ActivationStatistics(
        {
            Extremes("x:0", 1, 0.0): ExtremeValues(values, values, 1),
            Extremes("x:0", None, 0.0): ExtremeValues(flat, flat[..., ::-1], flat.shape[-1]),
        },
        {},
    )


def test_clipping_value_limits_a_border():
    per_tensor = config("asymmetric", granularity="pertensor")
    estimator = RangeEstimator(Border("min", "mean", None, -1.0), Border("max", "mean", None, 6.0))
    found = activation_range(["x:0"], TensorOption(per_tensor, estimator), statistics([-5.0, 20.0], [-5.0, 30.0]))
    assert found.low[0] == -1.0
    assert 6.0 <= found.high[0] < 6.1  # moved to where zero is on a level


def test_aggregator_decides_between_samples():
    per_tensor = config(granularity="pertensor")
    for aggregator, expected in (("mean", 25.0), ("max", 30.0), ("min", 20.0)):
        estimator = RangeEstimator(Border("min", "min"), Border("max", aggregator))
        found = activation_range(["x:0"], TensorOption(per_tensor, estimator), statistics([1.0, 20.0], [2.0, 30.0]))
        assert (found.low[0], found.high[0]) == (0.0, expected)


def two_tensors(mode):
    """The range that tensors with values from -1 to 2 and from -3 to 1, or from 0 to 4, have together."""
    estimator = RangeEstimator(Border("min", "mean"), Border("abs_max" if mode == "symmetric" else "max", "mean"))
    values = {"x:0": (-1.0, 2.0), "y:0": (-3.0, 1.0), "positive:0": (0.0, 4.0)}
    found = ActivationStatistics(
        {
            Extremes(name, None, 0): ExtremeValues(np.float32([[[low]]]), np.float32([[[high]]]), 1)
            for name, (low, high) in values.items()
        },
        {},
    )
    option = TensorOption(config(mode, granularity="pertensor"), estimator)
    return lambda *names: activation_range(names, option, found)


def test_unified_range_covers_all_tensors():
    found = two_tensors("asymmetric")("x:0", "y:0")
    assert found.low[0] <= -3
    assert found.high[0] >= 2


def test_unified_range_has_zero_on_a_level():
    found = two_tensors("asymmetric")("x:0", "y:0")
    step = (found.high[0] - found.low[0]) / 255
    assert found.low[0] / step == pytest.approx(round(found.low[0] / step), abs=1e-4)


def test_unified_range_is_symmetric_if_one_tensor_has_negative_values():
    found = two_tensors("symmetric")("x:0", "positive:0")
    assert (found.low[0], found.high[0]) == (np.float32(-4 * 256 / 254), 4)


PER_TENSOR = [config(mode, granularity="pertensor") for mode in MODES]
PER_CHANNEL = [config(mode) for mode in MODES]


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ([PER_TENSOR, PER_TENSOR], PER_TENSOR),
        ([PER_TENSOR, PER_TENSOR[1:]], PER_TENSOR[1:]),
        ([PER_CHANNEL, PER_TENSOR], PER_TENSOR),
        ([PER_TENSOR, [config(bits=4, granularity="pertensor")]], [config(bits=4, granularity="pertensor")]),
        ([PER_TENSOR[:1], PER_CHANNEL[1:]], PER_TENSOR[1:]),
    ],
)
def test_shared_tensor_takes_what_all_its_operations_allow(allowed, expected):
    assert list(shared_configs(allowed)) == expected
