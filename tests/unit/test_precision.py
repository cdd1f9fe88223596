"""Models in half (f16), brain float (bf16) and double precision (f64)."""

import nncf
import numpy as np
import openvino as ov
import pytest

from builders import compression, model, named, parameter, pipeline
from quantize_zoo.errors import CellError
from quantize_zoo.graph import constant_of, constant_value, nodes_by_name, read_model, save_model, structural_signature
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import ChannelMean, Extremes, collect_statistics
from zoo import with_all_instructions, with_tensor_names

HALF, BRAIN = ov.Type.f16, ov.Type.bf16
LOW = pytest.mark.parametrize("kind", [HALF, BRAIN], ids=["f16", "bf16"])
PIPELINES = {
    "plain": {},
    "accuracy, all weights halved": {"preset": "accuracy", "saturation_fix": "all"},
    "fast": {"before": ["ActivationChannelAlignment", "SmoothQuant"], "after": ["FastBiasCorrection"]},
    "sequential": {"after": ["BiasCorrection"]},
    "transformer": {"model_type": "transformer", "before": ["SmoothQuant"]},
}


def weights(kind, *shape, seed=0, scale=0.3):
    return ops.constant((scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32), kind)


def convolved(source, kind, channels_in, channels_out, name, scale=0.3):
    kernel = weights(kind, channels_out, channels_in, 1, 1, scale=scale)
    node = named(ops.convolution(source, kernel, [1, 1], [0, 0], [0, 0], [1, 1]), name)
    return named(ops.add(node, weights(kind, 1, channels_out, 1, 1, seed=1)), f"{name}_bias")


def convolutions(kind):
    """Two convolutions with biases that can be aligned, then one more."""
    image = parameter((1, 3, 8, 8))
    first = convolved(ops.convert(image, kind), kind, 3, 6, "first")
    second = convolved(first, kind, 6, 6, "second")
    return model(ops.convert(convolved(ops.relu(second), kind, 6, 4, "third"), "f32"), image)


def fully_connected(kind):
    tokens = parameter((1, 5, 16), name="tokens")
    hidden = named(ops.matmul(ops.convert(tokens, kind), weights(kind, 12, 16), False, True), "hidden")
    hidden = named(ops.add(hidden, weights(kind, 12, seed=2)), "hidden_bias")
    out = named(ops.matmul(ops.gelu(hidden, "erf"), weights(kind, 2, 12, 8, seed=3), False, False), "out")
    return model(ops.convert(out, "f32"), tokens)


def native_half():
    """Inputs and outputs in half, and no Convert."""
    image = named(ops.parameter([1, 3, 8, 8], np.float16), "image")
    image.output(0).set_names({"image"})
    first = ops.relu(convolved(image, HALF, 3, 4, "first"))
    return model(convolved(first, HALF, 4, 4, "second"), image)


MODELS = {
    "half convolutions": (lambda: convolutions(HALF), HALF),
    "brain float convolutions": (lambda: convolutions(BRAIN), BRAIN),
    "half fully connected": (lambda: fully_connected(HALF), HALF),
    "brain float fully connected": (lambda: fully_connected(BRAIN), BRAIN),
    "native half": (native_half, HALF),
}


def samples_of(net, count=8):
    """Uniform values: ranges that are the mean over samples then clip little."""
    rng, port = np.random.default_rng(0), net.inputs[0]
    kind = port.get_element_type().to_dtype()
    return [{port.get_any_name(): rng.uniform(-1, 1, list(port.get_shape())).astype(kind)} for _ in range(count)]


def infer(net, samples):
    compiled = ov.Core().compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(sample)[0] for sample in samples]).astype(np.float64)


def error(net, candidate, samples):
    expected = infer(net, samples)
    return np.linalg.norm(infer(candidate, samples) - expected) / np.linalg.norm(expected)


def fake_quantizes(candidate):
    return [node for node in candidate.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]


@pytest.mark.parametrize("params", PIPELINES.values(), ids=PIPELINES)
@pytest.mark.parametrize(("make", "low"), MODELS.values(), ids=MODELS)
def test_candidate_keeps_the_precision_and_what_it_computes(make, low, params, tmp_path):
    net = make()
    samples = samples_of(net)
    built = pipeline(net, samples, compression(**params))
    candidate = built.build(built.base)
    quantizers = fake_quantizes(candidate)
    assert {port.get_element_type() for node in quantizers for port in node.inputs()} == {low}
    assert error(net, candidate, samples) < 0.35  # 8 bit sums of CPUs without VNNI overflow
    save_model(candidate, tmp_path / "candidate.xml")
    np.testing.assert_array_equal(infer(read_model(tmp_path / "candidate.xml"), samples), infer(candidate, samples))


@pytest.mark.parametrize("make", [convolutions, fully_connected])
@LOW
def test_error_is_at_most_half_again_that_of_nncf_in_single_precision(make, kind):
    """Of the same model in f32: NNCF takes the bits of bf16 statistics for those of f16."""
    single = make(ov.Type.f32)
    samples = samples_of(single)
    net = make(kind)
    built = pipeline(net, samples)
    theirs = nncf.quantize(with_tensor_names(make(ov.Type.f32)), nncf.Dataset(samples), subset_size=len(samples))
    assert error(net, built.build(built.base), samples) < 1.5 * error(single, theirs, samples)


def compare_all_with_nncf():
    for make in (convolutions, fully_connected):
        for kind in (HALF, BRAIN):
            test_error_is_at_most_half_again_that_of_nncf_in_single_precision(make, kind)


def test_error_is_that_of_nncf_with_all_instructions_of_the_cpu_too():
    """CPUs with bf16 have kernels of their own, which misread the bias of a quantized convolution."""
    with_all_instructions("test_precision", "compare_all_with_nncf")


@pytest.mark.parametrize("step", ["ActivationChannelAlignment", "SmoothQuant"])
@LOW
def test_preparing_step_changes_what_the_model_computes_by_its_precision_only(kind, step):
    net = (convolutions if step == "ActivationChannelAlignment" else fully_connected)(kind)
    samples = samples_of(net)
    built = pipeline(net, samples, compression(before=[step]))
    nothing = {name: quantized_off(choice) for name, choice in built.base.operations.items()}
    prepared = built.build(type(built.base)(nothing, built.base.steps))
    assert 0 < error(net, prepared, samples) < {HALF: 2e-3, BRAIN: 2e-2}[kind]


def quantized_off(choice):
    return type(choice)(False, choice.activations, choice.weights)


@LOW
def test_error_of_an_operation_is_that_of_the_model_in_single_precision(kind):
    """Sums of squares in low precision lose nearly everything: 0.4 where 0.002 is right."""
    found, expected = ({}, {})
    for errors, precision in ((found, kind), (expected, ov.Type.f32)):
        net = convolutions(precision)
        built = pipeline(net, samples_of(net), compression(saturation_fix="all"))
        errors.update(built.errors(built.base))
    assert found.keys() == expected.keys() == {"first", "second", "third"}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=0.25)


@LOW
def test_statistics_are_those_of_numpy_in_single_precision(kind):
    image = parameter((1, 2, 64, 64))
    net = model(named(ops.convert(image, kind), "low"), image)
    samples = [{"image": 1 + np.random.default_rng(seed).random((1, 2, 64, 64), np.float32)} for seed in range(3)]
    values = np.stack([infer(model(ops.convert(ops.convert(image, kind), "f32"), image), [each]) for each in samples])
    found = collect_statistics(net, [Extremes("low:0", 1, 0.01), ChannelMean("low:0", 1)], samples)
    rows = values.reshape(3, 2, -1)
    np.testing.assert_allclose(found.mean("low:0", 1), rows.mean(axis=(0, 2)), rtol=1e-6)
    np.testing.assert_array_equal(found.extremes("low:0", 1).statistic("max"), rows.max(axis=2))
    quantiles = found.extremes("low:0", 1).statistic("quantile", 0.01)
    np.testing.assert_allclose(quantiles, np.quantile(rows, 0.99, axis=2), rtol=1e-6)


@LOW
def test_constants_of_every_precision_are_read_as_their_values(kind):
    wanted = np.array([[1.5, -2.25], [0.125, 3.0]], np.float32)  # exact in eight bits
    plain = ops.constant(wanted, kind)
    for node in (plain, ops.reshape(plain, np.array([4]), False), ops.convert(ops.constant(wanted), kind)):
        np.testing.assert_array_equal(constant_value(node.output(0)).ravel(), wanted.ravel())


def test_constant_behind_a_rounding_convert_is_read_rounded():
    rounded = constant_value(ops.convert(ops.constant(np.array([1.7, -2.7], np.float32)), "i32").output(0))
    np.testing.assert_array_equal(rounded, [1, -2])


def test_constant_beyond_the_largest_half_is_the_largest_half():
    np.testing.assert_array_equal(constant_of(np.array([-1e5, 7.0, 1e5]), HALF).data, [-65504, 7, 65504])


def test_range_in_half_is_finite_where_activations_are_the_largest_halves():
    net = native_half()
    samples = samples_of(net, 2)
    samples[0]["image"][0, 0, 0, 0] = 65504  # a symmetric range reaches one level further down
    samples[0]["image"][0, 0, 0, 1] = -65504
    built = pipeline(net, samples, compression(activations={"range_estimator": {"max": {"aggregator": "max"}}}))
    for node in fake_quantizes(built.build(built.base)):
        assert all(np.isfinite(node.input_value(port).get_node().data).all() for port in (1, 2, 3, 4))


@LOW
def test_structure_of_low_precision_tells_symmetric_ranges_from_others(kind):
    def signature(low, high):
        image = parameter()
        borders = [constant_of(np.float32([value]), kind) for value in (low, high, low, high)]
        quantized = named(ops.fake_quantize(ops.convert(image, kind), *borders, 256), "quantized")
        return structural_signature(model(ops.convert(quantized, "f32"), image))

    assert signature(-1.0, 1.0) == signature(-3.0, 3.0) != signature(-1.0, 1.1)


def double_precision(*, only):
    image = parameter((1, 3, 8, 8))
    source = image if not only else ops.convert(image, "f64")
    kind = ov.Type.f64 if only else ov.Type.f32
    first = convolved(source, kind, 3, 4, "first")
    second = convolved(ops.convert(first, "f64"), ov.Type.f64, 4, 4, "second")
    return model(ops.convert(second, "f32"), image)


def test_model_in_double_precision_is_refused():
    with pytest.raises(CellError, match="model 'net' computes in double precision from operation 'first' on"):
        pipeline(double_precision(only=True), [])


def test_part_in_double_precision_stays_as_it_is():
    net = double_precision(only=False)
    samples = samples_of(net)
    built = pipeline(net, samples)
    assert list(built.base.operations) == ["first"]
    assert error(net, built.build(built.base), samples) < 0.2


@pytest.mark.parametrize(("low", "message"), [("input", "input 0 has .* bf16"), ("output", "output 0 has .* bf16")])
def test_input_or_output_that_no_data_can_fit_is_refused(low, message):
    image = named(ops.parameter([1, 3, 8, 8], BRAIN if low == "input" else ov.Type.f32), "image")
    image.output(0).set_names({"image"})
    out = convolved(ops.convert(image, "f32"), ov.Type.f32, 3, 4, "conv")
    with pytest.raises(CellError, match=message):
        pipeline(model(ops.convert(out, "bf16") if low == "output" else out, image), [])


def test_fake_quantize_stays_below_what_makes_floating_point_of_integers():
    """ConvertLike passes precision on, but not upwards: its input may be integers."""
    image = named(ops.parameter([1, 3, 8, 8], np.int32), "image")
    image.output(0).set_names({"image"})
    like = named(ops.convert_like(image, ops.constant(np.float32(0))), "like")
    net = model(convolved(like, ov.Type.f32, 3, 4, "conv"), image)
    samples = [{"image": np.random.default_rng(0).integers(-50, 50, (1, 3, 8, 8)).astype(np.int32)}]
    built = pipeline(net, samples)
    assert [point.key for point in built.placement.activations] == ["like:0"]
    assert error(net, built.build(built.base), samples) < 0.2


def test_compressed_weights_stay_in_single_precision():
    """Half only in the file: the Convert behind it makes them f32, and so are the constants that are added."""
    image = parameter()
    half = weights(HALF, 4, 3, 1, 1)
    net = model(named(ops.convolution(image, ops.convert(half, "f32"), [1, 1], [0, 0], [0, 0], [1, 1]), "conv"), image)
    samples = samples_of(net)
    built = pipeline(net, samples, compression(saturation_fix="all"))
    node = nodes_by_name(built.build(built.base))["conv"].input_value(1).get_node()
    assert {port.get_element_type() for port in node.inputs()} == {ov.Type.f32}
