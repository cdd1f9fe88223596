"""Statistics and aggregators against brute-force NumPy computations."""

import itertools

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from builders import convolution, model, named, parameter
from quantize_zoo.errors import CellError
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import ChannelMean, Extremes, collect_statistics, read_statistics, write_statistics
from quantize_zoo.quantization.aggregators import aggregate
from quantize_zoo.quantization.statistics import largest_shapes

PROBABILITIES = (1e-2, 1e-3, 1e-4, 1e-5)


def identity_model(shape):
    image = parameter(shape)
    return model(named(ops.multiply(image, ops.constant(np.float32(1))), "out"), image)


def brute_force(kind, probability, lower, values):
    """The statistic of (channels, values)."""
    if kind.startswith("abs_"):
        values = np.abs(values)
    if kind.endswith("quantile"):
        return np.quantile(values.astype(np.float64), probability if lower else 1 - probability, axis=1)
    return values.min(axis=1) if kind == "min" else values.max(axis=1)


def assert_all_statistics_are_numpys(found, samples, axis):
    for kind, probability, lower in [
        ("min", None, True),
        ("max", None, False),
        ("abs_max", None, False),
        *(("quantile", each, lower) for each in PROBABILITIES for lower in (True, False)),
        *(("abs_quantile", each, False) for each in PROBABILITIES),
    ]:
        rows = [sample.reshape(1, -1) if axis is None else channels_first(sample, axis) for sample in samples]
        expected = np.stack([brute_force(kind, probability, lower, row) for row in rows])
        values = found.extremes("out:0", axis).statistic(kind, probability, lower=lower)
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-30, err_msg=f"{kind} {probability} {lower}")


def channels_first(sample, axis):
    return np.moveaxis(sample, axis, 0).reshape(sample.shape[axis], -1)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.just(1), st.integers(1, 5), st.integers(1, 40), st.integers(1, 12)),
    seed=st.integers(0, 2**16),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    shift=st.sampled_from([0.0, 3.0, -3.0]),
)
def test_all_statistics_of_one_pass_equal_numpy(shape, seed, scale, shift):
    rng = np.random.default_rng(seed)
    samples = [(scale * (shift + rng.standard_normal(shape))).astype(np.float32) for _ in range(3)]
    requests = [Extremes("out:0", axis, max(PROBABILITIES)) for axis in (None, 1, 3)]
    requests.append(ChannelMean("out:0", 1))
    found = collect_statistics(identity_model(shape), requests, [{"image": sample} for sample in samples])
    for axis in (None, 1, 3):
        assert_all_statistics_are_numpys(found, samples, axis)
    np.testing.assert_allclose(
        found.mean("out:0", 1), np.mean(samples, axis=(0, 1, 3, 4)), rtol=1e-4, atol=1e-6 * scale * (1 + abs(shift))
    )


@pytest.mark.parametrize("shape", [(1, 4, 150, 100), (1, 3, 101, 103), (1, 2, 127, 127)])
def test_tails_of_large_tensors_equal_numpy(shape):
    """Long rows are searched block by block, whatever their divisors are."""
    samples = [np.random.default_rng(seed).standard_normal(shape).astype(np.float32) for seed in range(2)]
    samples.append(np.round(samples[0]))  # with many equal values
    requests = [Extremes("out:0", axis, max(PROBABILITIES)) for axis in (None, 1)]
    found = collect_statistics(identity_model(shape), requests, [{"image": sample} for sample in samples])
    for axis in (None, 1):
        assert_all_statistics_are_numpys(found, samples, axis)


VALUES = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 25), st.integers(1, 3)), elements=st.floats(-1e3, 1e3, width=32)
)


def pairs_median(column):
    if len(column) == 1:
        return column[0]
    return np.median([a + b for a, b in itertools.combinations(column, 2)]) / 2


def inner(column):
    low, high = np.quantile(column, [0.01, 0.99])
    kept = [value for value in column if low <= value <= high]
    return kept or list(column)


@given(VALUES)
def test_aggregators_equal_their_definitions(values):
    definitions = {
        "mean": np.mean,
        "batch_mean": np.mean,
        "max": np.max,
        "min": np.min,
        "median": np.median,
        "mean_no_outliers": lambda column: np.mean(inner(column)),
        "median_no_outliers": lambda column: np.median(inner(column)),
        "hl_estimator": pairs_median,
    }
    for name, definition in definitions.items():
        expected = [definition(column) for column in values.T]
        np.testing.assert_allclose(aggregate(values, name), expected, rtol=1e-9, atol=1e-9, err_msg=name)


def test_statistics_survive_their_file(tmp_path):
    sample = np.random.default_rng(0).standard_normal((1, 3, 20, 20)).astype(np.float32)
    requests = [Extremes("out:0", None, 1e-2), Extremes("out:0", 1, 0.0), ChannelMean("out:0", 1)]
    found = collect_statistics(identity_model(sample.shape), requests, [{"image": sample}])
    write_statistics(tmp_path / "kept" / "statistics.npz", found, requests)
    again = read_statistics(tmp_path / "kept" / "statistics.npz", requests)
    np.testing.assert_array_equal(again.mean("out:0", 1), found.mean("out:0", 1))
    for axis, kind in ((None, "quantile"), (None, "abs_quantile"), (1, "max")):
        values = [each.extremes("out:0", axis).statistic(kind, 1e-2) for each in (again, found)]
        np.testing.assert_array_equal(*values)


@pytest.mark.parametrize("content", [b"", b"not a file of arrays", b"PK\x03\x04 cut short"])
def test_broken_statistics_file_is_as_if_it_were_not_there(tmp_path, content):
    (tmp_path / "broken.npz").write_bytes(content)
    assert read_statistics(tmp_path / "broken.npz", [ChannelMean("out:0", 1)]) is None
    assert read_statistics(tmp_path / "missing.npz", [ChannelMean("out:0", 1)]) is None


def test_no_calibration_sample_is_an_error():
    with pytest.raises(CellError, match="dataset is empty"):
        collect_statistics(identity_model((1, 2, 2, 2)), [Extremes("out:0", None, 0.0)], [])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_value_that_is_not_finite_names_its_operation(bad):
    image = parameter((1, 3, 4, 4))
    net = model(named(ops.relu(convolution(image, 3, 2, "conv")), "relu"), image)
    sample = np.full((1, 3, 4, 4), bad, np.float32)
    with pytest.raises(CellError, match="'image' has NaN or infinite"):
        collect_statistics(net, [Extremes("image:0", None, 0.0)], [{"image": sample}])


def thinned(image):
    """The positive values of an image, a tensor whose shape depends on the data."""
    flat = ops.reshape(image, np.array([-1]), False)
    places = ops.reshape(ops.non_zero(ops.greater(flat, ops.constant(np.float32(0)))), np.array([-1]), False)
    return named(ops.gather(flat, places, np.int64(0)), "chosen")


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 60)), min_size=2, max_size=5),
    channels=st.integers(1, 3),
    tail=st.sampled_from([0.0, 1e-3, 0.4]),
    fixed=st.booleans(),
)
def test_all_statistics_of_samples_of_different_shapes_equal_numpy(shapes, channels, tail, fixed):
    """Quantiles, for each sample those of as many values as it has; beside tensors whose shape is the same."""
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal((1, channels, *(shapes[0] if fixed else shape))).astype("f4") for shape in shapes]
    image = parameter((1, channels, -1, -1))
    outputs = [named(ops.relu(image), "out"), named(ops.reduce_sum(image, np.array([2, 3])), "one")]
    net = ov.Model([ops.result(output) for output in outputs], [image], "test")
    axes = (None, 1)
    requests = [*(Extremes("out:0", axis, tail) for axis in axes), ChannelMean("out:0", 1), ChannelMean("one:0", 1)]
    found = collect_statistics(net, requests, [{"image": sample} for sample in samples])
    rectified = [np.maximum(sample, 0) for sample in samples]
    for axis in axes:
        values = found.extremes("out:0", axis)
        rows = [each.reshape(1, -1) if axis is None else channels_first(each, axis) for each in rectified]
        kinds = [("min", None), ("max", None), ("abs_max", None)]
        kinds += [(kind, each) for kind in ("quantile", "abs_quantile") for each in (tail, tail / 3)] if tail else []
        for kind, probability in kinds:
            for lower in (True, False) if kind == "quantile" else (False,):
                expected = np.stack([brute_force(kind, probability, lower, row) for row in rows])
                answer = values.statistic(kind, probability, lower=lower)
                np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6, err_msg=f"{kind} {probability}")
    means = [each.mean(axis=(0, 2, 3)) for each in rectified]
    np.testing.assert_allclose(found.sample_means("out:0", 1), np.stack(means), rtol=1e-4, atol=1e-5)
    sums = np.stack([sample.sum(axis=(0, 2, 3)) for sample in samples])
    np.testing.assert_allclose(found.sample_means("one:0", 1), sums, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("tail", [0.0, 0.01])
def test_tensor_that_is_empty_for_a_sample_is_known_from_the_others(tail):
    image = parameter((1, 8))
    samples = [{"image": np.full((1, 8), value, np.float32)} for value in (-1, 2, 3)]
    found = collect_statistics(model(thinned(image), image), [Extremes("chosen:0", None, tail)], samples)
    assert found.extremes("chosen:0", None).statistic("max").tolist() == [[2], [3]]


def test_tensor_that_is_empty_for_all_samples_names_its_operation():
    image = parameter((1, 8))
    with pytest.raises(CellError, match="'chosen' has no value for any calibration sample"):
        collect_statistics(
            model(thinned(image), image), [Extremes("chosen:0", None, 0.0)], [{"image": -np.ones((1, 8), np.float32)}]
        )


def test_channels_of_no_fixed_number_name_their_operation():
    image = parameter((1, -1, 8))
    net = model(named(ops.relu(image), "relu"), image)
    samples = [{"image": np.ones((1, length, 8), np.float32)} for length in (2, 3)]
    with pytest.raises(CellError, match="'relu' has the dynamic shape"):
        collect_statistics(net, [Extremes("relu:0", 1, 0.0)], samples)


def test_tensor_that_is_larger_for_a_smaller_sample_has_all_its_values():
    """What it is filled up to is its size for the largest sample, which here is the smallest size."""
    image = parameter((1, 1, -1))
    length = ops.gather(ops.shape_of(image), np.int64(2), np.int64(0))
    wanted = ops.unsqueeze(ops.subtract(ops.constant(np.int64(40)), length), np.array([0]))
    ramp = ops.range(ops.constant(np.int64(0)), ops.squeeze(wanted, np.array([0])), ops.constant(np.int64(1)), "i64")
    scaled = ops.multiply(ops.convert(ramp, "f32"), ops.reduce_mean(image, np.array([0, 1, 2]), keep_dims=False))
    net = model(named(scaled, "out"), image)
    samples = [{"image": np.ones((1, 1, size), np.float32)} for size in (10, 20, 30)]
    found = collect_statistics(net, [Extremes("out:0", None, 0.1)], samples).extremes("out:0", None)
    assert found.sizes.tolist() == [30, 20, 10]
    assert found.statistic("max")[:, 0].tolist() == [29, 19, 9]


def test_one_huge_sample_among_small_ones_does_not_fill_all_up():
    small = [{"image": np.ones((1, 1, 4, 4), np.float32)} for _ in range(20)]
    assert largest_shapes([*small, {"image": np.ones((1, 1, 400, 400), np.float32)}]) is None
    assert largest_shapes(small) is None
    found = largest_shapes([*small, {"image": np.ones((1, 1, 3, 9), np.float32)}])
    assert found["image"].to_shape() == [1, 1, 4, 9]
