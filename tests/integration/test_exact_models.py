"""What is exported is what was scored, and no worse than NNCF's: small models of every kind, and random graphs."""

import random
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import compression, pipeline
from cases import CASES
from quantize_zoo.config import DeviceSpec
from quantize_zoo.graph import make_canonical, nodes_by_name, read_model, save_model
from quantize_zoo.graph.constants import integers_behind
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.states import infer_in_order
from quantize_zoo.quantization import derive_space
from quantize_zoo.scoring.proof import require_same_outputs
from quantize_zoo.search import base_choices, option_of
from quantize_zoo.search.labels import labelled
from zoo import with_tensor_names

F32 = DeviceSpec(device="CPU", inference_precision="f32")
FULL = {
    "tuning_scope": ["bits", "mode", "granularity", "layer", "range_estimator"],
    "estimator_tuning_scope": ["preset", "type", "aggregator", "outlier_prob"],
}
PIPELINES = {
    "performance": {},
    "accuracy": {"preset": "accuracy", "saturation_fix": "all"},
    "alignment": {"before": ["ActivationChannelAlignment", "SmoothQuant"], "after": ["FastBiasCorrection"]},
    "sequential": {"after": ["BiasCorrection"]},
    "transformer": {"model_type": "transformer"},
}  # fmt: skip
UNSMOOTHED = nncf.AdvancedQuantizationParameters(
    smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
)
REFUSED = {"two_numbers_of_double_precision"}
SAMPLES = 20


def samples_of(net, count=SAMPLES):
    rng, found = np.random.default_rng(1), []
    for index in range(count):
        sample = {}
        for port in net.inputs:
            shape = [
                each.get_length() if each.is_static else int(rng.integers(5, 13)) if axis else 1
                for axis, each in enumerate(port.get_partial_shape())
            ]
            kind = port.get_element_type().to_dtype()
            values = rng.normal(size=shape) if kind.kind == "f" else rng.integers(10, size=shape)
            # Conditions are true and false in turns.
            sample[port.get_any_name()] = np.full(shape, index % 2 == 0) if kind == np.bool_ else values.astype(kind)
        found.append(sample)
    return found


def outputs(net, samples):
    compiled = ov.Core().compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [
        np.concatenate([value.astype(np.float64).ravel() for value in found])
        for found in infer_in_order(compiled, samples)
    ]


def error(expected, net, samples):
    """Relative error of all outputs on all samples."""
    found = np.stack(outputs(net, samples))
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def canonical(net, folder):
    save_model(net, folder / "source.xml")
    make_canonical(folder / "source.xml", {}, folder / "fp32.xml")
    return read_model(folder / "fp32.xml")


def exported(candidate, folder, samples):
    """Write a candidate and see that the file computes the same, bit by bit, on every sample."""
    path = folder / "int8.xml"
    save_model(candidate, path)
    assert require_same_outputs(candidate, path, F32, samples)[1], "a CPU repeats itself"
    return path


def quantized_inputs(net):
    """How often each input of an operation is quantized, by FakeQuantize or as integers."""
    found = {}
    for node in nodes_by_name(net).values():
        for port in node.inputs():
            source = port.get_source_output().get_node()
            count = 0
            while source.get_type_name() == "FakeQuantize" or integers_behind(source) is not None:
                count, source = count + 1, source.input_value(0).get_node()
            if count:
                found[node.get_friendly_name(), port.get_index()] = count
    return found


@pytest.mark.parametrize("name", [name for name in CASES if name not in REFUSED])
def test_a_case_is_exported_as_it_was_built_and_no_worse_than_nncfs(name, tmp_path):
    net = canonical(CASES[name](), tmp_path)
    samples = samples_of(net)
    expected = np.stack(outputs(net, samples))
    plain = nncf_error(net, samples, expected)
    # Asymmetric ranges are narrower, SmoothQuant has its price on models like these, here and there.
    mixed = nncf_error(net, samples, expected, preset=nncf.QuantizationPreset.MIXED)
    smoothed = nncf_error(net, samples, expected, model_type=nncf.ModelType.TRANSFORMER)
    # Below a Squeeze the range is that of the part that is left, of fewer values.
    below = nncf_error(net, samples, expected, model_type=nncf.ModelType.TRANSFORMER, advanced_parameters=UNSMOOTHED)
    for params in PIPELINES.values():
        theirs = max(plain, smoothed) if "SmoothQuant" in params.get("before", ()) else plain
        theirs = max(plain, mixed) if params.get("preset") == "accuracy" else theirs
        theirs = max(plain, below) if "model_type" in params else theirs
        built = pipeline(net, samples, compression(**params))
        candidate = built.build(built.base)
        assert set(quantized_inputs(candidate).values()) == {1}
        ours = error(expected, read_model(exported(candidate, tmp_path, samples)), samples)
        assert ours <= 1.5 * theirs + 1e-6


@pytest.mark.parametrize("name", [name for name in CASES if name not in REFUSED])
def test_any_option_of_a_case_is_exported_as_it_was_built(name, tmp_path):
    net = canonical(CASES[name](), tmp_path)
    samples = samples_of(net, 8)
    compressed = compression(**FULL)
    built = pipeline(net, samples, compressed)
    built.prepare(built.base)
    space = derive_space(built.placement, built.base, compressed)
    rng = random.Random(0)
    for _ in range(5):
        drawn = {label: rng.randrange(len(each.branches)) for label, each in labelled(space).items()}
        candidate = built.build(option_of(space, built.base, base_choices(space, drawn)))
        exported(candidate, tmp_path, samples)
        assert set(quantized_inputs(candidate).values()) <= {1}


def nncf_error(net, samples, expected, **options):
    """The error of what one call of NNCF makes, with SmoothQuant for transformers; infinite where it makes nothing."""
    named, dataset = with_tensor_names(net.clone()), nncf.Dataset(samples)
    try:
        made = nncf.quantize(named, dataset, subset_size=len(samples), **options)
    except Exception:
        return float("inf")
    return error(expected, made, samples)


# --- random graphs


@st.composite
def graphs(draw):
    """A model of a few random operations on (batch, 4, 8, 8): static or dynamic batch, single or half precision."""
    batch, half = draw(st.sampled_from([1, -1, 2])), draw(st.booleans())
    kind = np.float16 if half else np.float32
    rng = np.random.default_rng(draw(st.integers(0, 1000)))

    def constant(*shape):
        return ops.constant((0.3 * rng.normal(size=shape)).astype(kind))

    def axes(*values):
        return np.array(values, dtype=np.int64)

    def convolution(node):
        return ops.convolution(node, constant(4, 4, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1])

    def matmul(node):
        return ops.matmul(node, constant(8, 8), False, draw(st.booleans()))

    def batched(node):
        return ops.matmul(node, constant(1, 4, 8, 8), False, draw(st.booleans()))

    def transposed(node):
        return ops.matmul(ops.transpose(node, axes(0, 1, 3, 2)), constant(8, 8), False, False)

    def both(node):
        return ops.matmul(node, ops.transpose(ops.relu(node), axes(0, 1, 3, 2)), False, draw(st.booleans()))

    def concatenated(node):
        halves = ops.split(node, np.int64(1), 2)
        return ops.concat([halves.output(1), ops.relu(halves.output(0))], axis=1)

    def reshaped(node):
        flat = ops.reshape(node, axes(0, 8, 32), True)
        return ops.reshape(ops.relu(flat), axes(0, 4, 8, 8), True)

    def sliced(node):
        part = ops.strided_slice(node, axes(0, 1, 0, 0), axes(0, 2, 0, 0), axes(1, 1, 1, 1), [1, 0, 1, 1], [1, 0, 1, 1])
        lower = ops.matmul(ops.squeeze(part, axes(1)), constant(8, 8), False, False)
        return ops.add(node, ops.unsqueeze(lower, axes(1)))

    def added(node):
        return ops.add(convolution(node), node)

    def multiplied(node):
        return ops.multiply(node, ops.sigmoid(convolution(node)))

    image = ops.parameter([batch, 4, 8, 8], np.float32, "image")
    image.output(0).set_names({"image"})
    node = ops.convert(image, kind) if half else image
    steps = [convolution, matmul, batched, transposed, both, concatenated, reshaped, sliced, added, multiplied]
    for step in [draw(st.sampled_from([convolution, matmul])), *draw(st.lists(st.sampled_from(steps), max_size=4))]:
        node = step(node)
        if draw(st.booleans()):
            node = ops.relu(node)
        if draw(st.booleans()):
            node.set_friendly_name("same")
    return ov.Model([ops.result(ops.convert(node, np.float32) if half else node)], [image], "random")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(net=graphs(), data=st.data())
def test_a_random_graph_is_exported_as_it_was_built(net, data, tmp_path):
    net = canonical(net, Path(tmp_path))
    samples = samples_of(net, 4)
    params = compression(**FULL, **data.draw(st.sampled_from([{}, {"after": ["FastBiasCorrection"]}])))
    built = pipeline(net, samples, params)
    built.prepare(built.base)
    space = derive_space(built.placement, built.base, params)
    drawn = {
        label: data.draw(st.integers(0, len(each.branches) - 1), label=label)
        for label, each in labelled(space).items()
        if label.count("/") == 0
    }
    for option in (built.base, option_of(space, built.base, base_choices(space, drawn))):
        candidate = built.build(option)
        exported(candidate, tmp_path, samples)
        assert set(quantized_inputs(candidate).values()) <= {1}
        assert np.isfinite(np.stack(outputs(candidate, samples))).all()
