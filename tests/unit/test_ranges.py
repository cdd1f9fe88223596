"""Properties of ranges."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantize_zoo.config import QuantizationConfig
from quantize_zoo.graph import WeightPoint
from quantize_zoo.quantization.ranges import symmetric_high, symmetric_low, weights_range

PER_CHANNEL = QuantizationConfig(bits=8, mode="symmetric", granularity="perchannel")
FLOATS = st.floats(-100, 100, width=32)
WEIGHTS = hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=FLOATS)
POINT = WeightPoint("conv", 1, (0,))


@given(WEIGHTS)
def test_weights_range_is_symmetric_and_covers_all_weights(weights):
    found = weights_range(weights, POINT, PER_CHANNEL, "default")
    assert found.levels == 255
    np.testing.assert_array_equal(found.low, -found.high)
    assert (np.abs(weights) <= found.high).all()


@given(WEIGHTS, st.randoms())
def test_weights_range_follows_a_permutation_of_channels(weights, random):
    order = random.sample(range(len(weights)), len(weights))
    for preset in ("default", "quantile"):
        found = weights_range(weights, POINT, PER_CHANNEL, preset)
        permuted = weights_range(weights[order], POINT, PER_CHANNEL, preset)
        np.testing.assert_array_equal(permuted.high, found.high[order])


@given(WEIGHTS)
def test_quantile_range_is_inside_the_default_range(weights):
    narrow = weights_range(weights, POINT, PER_CHANNEL, "quantile")
    wide = weights_range(weights, POINT, PER_CHANNEL, "default")
    assert (narrow.high <= wide.high).all()


def test_constant_channel_gets_the_smallest_range():
    found = weights_range(np.zeros((2, 3), np.float32), POINT, PER_CHANNEL, "default")
    np.testing.assert_allclose(found.high, 8e-5)


def test_small_channel_gets_one_percent_of_the_largest():
    high = symmetric_high(np.array([10.0, 1e-3]))
    np.testing.assert_allclose(high, [10.0, 0.1])


@given(st.floats(1e-4, 1e4))
def test_zero_is_a_level_of_a_signed_range(high):
    low = symmetric_low(np.array([high]), 256, negative=True)
    step = (high - low) / 255
    np.testing.assert_allclose(-low / step, 128, rtol=1e-12)


def test_range_without_negative_samples_starts_at_zero():
    assert symmetric_low(np.array([3.0]), 256, negative=False) == 0
