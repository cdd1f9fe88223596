"""What two candidates have in common, and how much each operation's quantization changes."""

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest

from builders import compression, pipeline, switched_off
from quantize_zoo.config import QuantizationConfig
from quantize_zoo.graph import nodes_by_name, ranges_hash, structural_signature
from quantize_zoo.graph.constants import constant_data, constant_of
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.signature import _are_close
from quantize_zoo.quantization import TensorOption, preset_estimator
from zoo import ZOO, attention, grouped_and_depthwise, random_samples, residual_model


@pytest.fixture(scope="module")
def built():
    net = residual_model()
    return pipeline(net, random_samples(net, 16), compression(after=["FastBiasCorrection"]))


def changed(base, mode="symmetric", preset="default"):
    """The base with another mode or estimator of all activations."""
    config = QuantizationConfig(bits=8, mode=mode, granularity="pertensor")
    tensor = TensorOption(config, preset_estimator(config, preset, weights=False))
    return replace(base, operations={name: replace(c, activations=tensor) for name, c in base.operations.items()})


def test_other_ranges_are_the_same_structure_but_another_model(built):
    one, other = built.build(built.base), built.build(changed(built.base, preset="quantile"))
    assert structural_signature(one) == structural_signature(other)
    assert ranges_hash(one, ()) != ranges_hash(other, ())


@pytest.mark.parametrize("what", ["layer", "mode"])
def test_what_decides_latency_is_another_structure(built, what):
    option = switched_off(built.base, "branch") if what == "layer" else changed(built.base, mode="asymmetric")
    assert structural_signature(built.build(built.base)) != structural_signature(built.build(option))


def test_the_same_option_is_the_same_model(built):
    one, other = built.build(built.base), built.build(built.base)
    assert structural_signature(one) == structural_signature(other)
    assert ranges_hash(one, built.base.steps) == ranges_hash(other, built.base.steps)


def test_steps_of_the_pipeline_make_another_model(built):
    candidate = built.build(built.base)
    assert ranges_hash(candidate, ()) != ranges_hash(candidate, ("FastBiasCorrection",))


@pytest.mark.parametrize("make", [attention, grouped_and_depthwise])
def test_error_of_an_operation_is_that_of_the_operation_alone(make):
    """Against a brute-force computation: the FP32 model with only this operation's tensors quantized."""
    net = make()
    samples = random_samples(net, 6)
    # With half of the levels: 8 bit sums of CPUs without VNNI overflow in the one graph and not in the other.
    alone = pipeline(net, samples, compression(saturation_fix="all"))
    errors = alone.errors(alone.base)
    assert set(errors) == {each.name for each in alone.placement.operations}
    for name, found in errors.items():
        others = [other for other in alone.base.operations if other != name]
        expected = relative_error(net, alone.build(switched_off(alone.base, *others)), name, samples)
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-9)


def relative_error(net, candidate, name, samples):
    outputs = []
    for each in (net, candidate):
        copy = each.clone()
        cut = ov.Model([ops.result(nodes_by_name(copy)[name])], copy.get_parameters(), "cut")
        compiled = ov.Core().compile_model(cut, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        outputs.append([compiled(sample)[0] for sample in samples])
    reference, quantized = (np.stack(values).astype(np.float64) for values in outputs)
    return ((quantized - reference) ** 2).sum() / (reference**2).sum()


@pytest.mark.parametrize("name", ZOO)
def test_errors_of_every_model_of_the_zoo_are_finite(name):
    net = ZOO[name]()
    built = pipeline(net, random_samples(net))
    errors = built.errors(built.base)
    assert errors
    assert all(0 <= value < 1 for value in errors.values())


def test_range_is_symmetric_where_its_borders_are_within_two_percent():
    rng = np.random.default_rng(0)
    for spread in (0.0, 0.019, 0.021, 0.5):
        high = rng.normal(size=64).astype(np.float32)
        low = -high * (1 + spread)
        assert _are_close(-low, high) == np.allclose(-low, high, rtol=0.02) == (spread < 0.02)
    assert _are_close(np.zeros(1, np.float32), np.full(1, 1e-9, np.float32))


@pytest.mark.parametrize("value", [np.float32(1.5), np.arange(6, dtype=np.float32).reshape(2, 3).T, np.arange(3)])
@pytest.mark.parametrize("kind", [ov.Type.f32, ov.Type.f16, ov.Type.bf16])
def test_constant_has_the_value_and_the_type_that_it_is_made_of(value, kind):
    made = constant_of(np.asarray(value), kind)
    assert made.get_element_type() == kind
    assert list(made.get_output_shape(0)) == list(np.shape(value))
    np.testing.assert_array_equal(constant_data(made), value)
