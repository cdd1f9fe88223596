"""Bodies of If: their operations are the model's, their values come from the samples that take the branch."""

import numpy as np
import openvino as ov
import pytest

from builders import compression, convolution, model, named, parameter, pipeline, switched_off
from quantize_zoo.config import hardware_path, load_hardware
from quantize_zoo.errors import CellError
from quantize_zoo.graph import find_placement, nodes_by_name, ranges_hash, structural_signature, with_own_names
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import ChannelMean, Extremes, Pipeline, collect_statistics
from zoo import ZOO

CPU = load_hardware(hardware_path("CPU"))


def flag():
    node = named(ops.parameter([1], np.bool_), "flag")
    node.output(0).set_names({"flag"})
    return node


def choice(condition, value, then, otherwise, name="choose"):
    """An If whose branches compute what the functions make of the value."""
    node, bodies = named(ops.if_op(condition), name), []
    for build in (then, otherwise):
        inside = named(ops.parameter(value.get_output_partial_shape(0), np.float32), "inside")
        bodies.append((ov.Model([ops.result(build(inside))], [inside], "body"), inside))
    node.set_then_body(bodies[0][0])
    node.set_else_body(bodies[1][0])
    node.set_input(value.output(0), bodies[0][1], bodies[1][1])
    node.set_output(bodies[0][0].get_results()[0], bodies[1][0].get_results()[0])
    return node


def biased(node, channels, name):
    return named(ops.add(node, ops.constant(np.full((1, channels, 1, 1), 2, np.float32))), name)


def deep(value, activation=ops.relu):
    """Two convolutions with biases, the second without padding, stride or dilation."""
    first = biased(convolution(value, 4, 6, "conv", kernel=3), 6, "bias")
    first = named(activation(first), "relu") if activation else first
    return biased(convolution(first, 6, 4, "last_conv"), 4, "last_bias")


def plain(value):
    return named(ops.tanh(convolution(value, 4, 4, "conv")), "tanh")


def two_branches(batch=1):
    """Convolutions before, in both branches, and after; the branches have equal names inside."""
    image, condition = parameter((batch, 3, 6, 6)), flag()
    before = named(ops.relu(convolution(image, 3, 4, "before")), "before_relu")
    return model(convolution(choice(condition, before, deep, plain), 4, 3, "after"), image, condition)


def samples(count=12, taken=lambda index: index % 3 != 0):
    rng = np.random.default_rng(0)
    return [
        {"image": rng.normal(size=(1, 3, 6, 6)).astype(np.float32), "flag": np.array([taken(index)])}
        for index in range(count)
    ]


def built(net=None, data=None, **params):
    return pipeline(net or two_branches(), data or samples(), compression(saturation_fix="all", **params))


def outputs(net, data, names=()):
    copy = net.clone()
    nodes = nodes_by_name(copy)
    copy.add_outputs([nodes[name].output(0) for name in names])
    compiled = ov.Core().compile_model(copy, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [[np.array(value) for value in compiled(sample).values()] for sample in data]


def error(net, candidate, data):
    expected, found = (np.stack([each[0] for each in outputs(one, data)]) for one in (net, candidate))
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def branch(net, name):
    """A branch as a model of its own."""
    node = nodes_by_name(net)["choose"]
    return node.get_function({"then": 0, "else": 1}[name]).clone()


def entering(net, data, taken):
    """What the branch gets."""
    found = outputs(net, [each for each in data if bool(each["flag"][0]) == taken], ["before_relu"])
    return [values[1] for values in found]


def test_operations_are_named_after_their_branches():
    net = with_own_names(two_branches())
    names = [operation.name for operation in find_placement(net, CPU, "net").operations]
    assert names == ["before", "choose/then/conv", "choose/then/last_conv", "choose/else/conv", "after"]
    assert with_own_names(net) is net
    assert [operation.name for operation in find_placement(net, CPU, "net").operations] == names


def test_operations_of_two_ifs_of_one_name_are_told_apart():
    image, condition = parameter((1, 4, 6, 6)), flag()
    first = choice(condition, image, plain, plain)
    net = with_own_names(model(choice(condition, first, plain, plain), image, condition))
    names = [operation.name for operation in find_placement(net, CPU, "net").operations]
    assert len(set(names)) == 4
    assert {name.partition("/")[0] for name in names} == {"choose", "choose_2"}


def test_fake_quantizes_are_in_the_bodies():
    made = built()
    net = made.build(made.base)
    for name, count in (("then", 4), ("else", 2)):
        kinds = [node.get_type_name() for node in branch(net, name).get_ops()]
        assert kinds.count("FakeQuantize") == count
    assert not any(node.get_type_name() == "FakeQuantize" for node in branch(two_branches(), "then").get_ops())


def test_fp32_model_stays_as_it_is():
    net = two_branches()
    made = built(net)
    made.build(made.base)
    assert all(node.get_type_name() != "FakeQuantize" for node in nodes_by_name(net).values())


@pytest.mark.parametrize("batch", [1, -1])
@pytest.mark.parametrize("probability", [0.0, 0.05])
def test_statistics_are_those_of_the_samples_that_take_the_branch(batch, probability):
    net, data = with_own_names(two_branches(batch)), samples()
    names = {"choose/then/relu": True, "choose/else/inside": False, "choose/then/last_bias": True}
    requests = [Extremes(f"{name}:0", axis, probability) for name in names for axis in (None, 1)]
    means = [ChannelMean(f"{name}:0", 1) for name in names]
    found = collect_statistics(net, [*requests, *means], data)
    for name, taken in names.items():
        body, given = branch(net, "then" if taken else "else"), entering(net, data, taken)
        node = {each.get_friendly_name(): each for each in body.get_ops()}[name]
        alone = ov.Core().compile_model(
            ov.Model([ops.result(node.output(0))], body.get_parameters(), "alone"),
            "CPU",
            {"INFERENCE_PRECISION_HINT": "f32"},
        )
        values = np.stack([np.array(alone([each])[0]) for each in given])
        rows = values.reshape(len(values), values.shape[2], -1)
        kind, options = ("quantile", (probability,)) if probability else ("max", ())
        whole, channels = (found.extremes(f"{name}:0", axis).statistic(kind, *options) for axis in (None, 1))
        at = 1 - probability
        np.testing.assert_allclose(whole[:, 0], np.quantile(rows.reshape(len(rows), -1), at, axis=1), rtol=1e-5)
        np.testing.assert_allclose(channels, np.quantile(rows, at, axis=2), rtol=1e-5, atol=1e-6)
        sample_means = found.sample_means(f"{name}:0", 1)
        of_branch = np.array([bool(each["flag"][0]) == taken for each in data])
        np.testing.assert_allclose(sample_means[of_branch], rows.mean(axis=2), rtol=1e-4, atol=1e-5)
        assert np.isnan(sample_means[~of_branch]).all()


def test_a_body_is_quantized_as_the_model_that_it_is():
    """The same ranges as a model of the body alone, calibrated with what the If got."""
    net = with_own_names(two_branches())
    made = built(net)
    alone = branch(net, "then")
    given = [{"inside": each} for each in entering(net, samples(), True)]
    alone.get_parameters()[0].output(0).set_names({"inside"})
    apart = built(alone, given)
    inside = nodes_by_name(made.build(made.base))
    for name, node in nodes_by_name(apart.build(apart.base)).items():
        if node.get_type_name() == "FakeQuantize":
            for port in range(1, 5):
                ours = inside[name].input_value(port).get_node().data
                np.testing.assert_allclose(ours, node.input_value(port).get_node().data, rtol=1e-5)


def test_each_operation_of_a_body_has_a_choice():
    made = built()
    one, other = (
        made.build(option) for option in (made.base, switched_off(made.base, "choose/then/conv", "choose/then/inside"))
    )
    quantized = [
        name
        for name in ("choose/then/conv", "choose/then/last_conv", "choose/else/conv")
        if nodes_by_name(other)[name].input_value(1).get_node().get_type_name() == "FakeQuantize"
    ]
    assert quantized == ["choose/then/last_conv", "choose/else/conv"]
    assert structural_signature(one) != structural_signature(other)
    assert ranges_hash(one, ()) != ranges_hash(other, ())


def test_error_of_an_operation_of_a_body_is_that_of_the_operation_alone():
    net, data = with_own_names(two_branches()), samples()
    made = built(net)
    errors = made.errors(made.base)
    assert set(errors) == {operation.name for operation in made.placement.operations}
    for name, taken in (("choose/then/last_conv", True), ("choose/else/conv", False)):
        others = [operation.name for operation in made.placement.operations if operation.name != name]
        alone = branch(made.build(switched_off(made.base, *others)), "then" if taken else "else")
        exact = branch(net, "then" if taken else "else")
        squares = np.zeros(2)
        for given in entering(net, data, taken):
            expected, found = (
                ov.Core().compile_model(
                    ov.Model([ops.result(nodes_by_name(each)[name].output(0))], each.get_parameters(), "x"),
                    "CPU",
                    {"INFERENCE_PRECISION_HINT": "f32"},
                )([given])[0]
                for each in (exact, alone)
            )
            squares += [np.sum((found - expected) ** 2), np.sum(expected**2)]
        assert errors[name] == pytest.approx(squares[0] / squares[1], rel=1e-3)


@pytest.mark.parametrize("step", ["FastBiasCorrection", "BiasCorrection"])
def test_biases_in_bodies_are_corrected_as_in_the_model_that_a_body_is(step):
    """Operations before stay in FP32: a body alone begins with what they compute."""
    net, data = with_own_names(two_branches()), samples(30)
    data = [{**each, "image": each["image"] + 1} for each in data]
    made = built(net, data, after=[step], ignored={"scope": ["before"]})
    alone = branch(net, "then")
    alone.get_parameters()[0].output(0).set_names({"inside"})
    apart = built(alone, [{"inside": each} for each in entering(net, data, True)], after=[step])
    for name in ("choose/then/bias", "choose/then/last_bias"):
        old, ours, theirs = (
            nodes_by_name(each)[name].input_value(1).get_node().data
            for each in (net, made.build(made.base), apart.build(apart.base))
        )
        assert not np.array_equal(old, ours)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("before", [["ActivationChannelAlignment"], ["SmoothQuant"]])
def test_steps_before_quantization_change_nothing_of_what_bodies_compute(before):
    """With everything left unquantized."""

    def multiplied(value):
        weights = ops.constant(np.random.default_rng(1).normal(size=(6, 6)).astype(np.float32))
        return named(ops.matmul(deep(value, activation=None), weights, False, True), "product")

    image, condition = parameter((1, 4, 6, 6)), flag()
    net = with_own_names(model(choice(condition, image, multiplied, plain), image, condition))
    data = [{**each, "image": np.concatenate([each["image"], each["image"][:, :1] * 9], 1)} for each in samples()]
    made = built(net, data, before=before)
    off = switched_off(made.base, *made.base.operations)
    changed = made.build(off)
    assert error(net, changed, data) < 1e-5
    weights = [
        nodes_by_name(each)[name].input_value(1).get_node().data
        for name in ("choose/then/last_conv", "choose/then/product")
        for each in (net, changed)
    ]
    assert not (np.array_equal(weights[0], weights[1]) and np.array_equal(weights[2], weights[3]))


def test_a_branch_that_no_sample_takes_is_left_alone_and_named():
    net = with_own_names(two_branches())
    data = samples(taken=lambda index: True)
    made = Pipeline(
        net,
        "net",
        CPU,
        compression(),
        lambda variant, requests, size, _: collect_statistics(variant, requests, data),
        lambda size: data,
    )
    assert made.leave_untaken_branches() == ("choose/else",)
    assert [operation.name for operation in made.placement.operations if "choose" in operation.name] == [
        "choose/then/conv",
        "choose/then/last_conv",
    ]
    assert set(made.base.operations) == {operation.name for operation in made.placement.operations}
    assert error(net, made.build(made.base), data) < 0.3


def test_ignored_operations_may_be_in_bodies():
    made = built(ignored={"scope": ["choose/then/conv"]})
    assert "choose/then/conv" not in made.base.operations
    with pytest.raises(CellError, match="did you mean 'choose/then/conv'"):
        built(ignored={"scope": ["choose/then/convv"]})


def test_a_body_that_is_quantized_already_is_refused():
    made = built()
    with pytest.raises(CellError, match="quantized already"):
        find_placement(made.build(made.base), CPU, "net")


def test_an_if_in_a_body_and_other_bodies_are_left_alone_and_named():
    image, condition = parameter((1, 4, 6, 6)), flag()

    def nested(value):
        always = ops.constant(np.array([True]))
        return convolution(choice(always, value, plain, plain, "inner"), 4, 4, "outer_conv")

    net = with_own_names(model(choice(condition, image, nested, plain), image, condition))
    found = find_placement(net, CPU, "net")
    assert found.bodies == ("choose/then/inner",)
    assert [operation.name for operation in found.operations] == ["choose/then/outer_conv", "choose/else/conv"]
    made = built(net, [{**each, "image": np.repeat(each["image"], 2, 1)[:, :4]} for each in samples()])
    assert error(net, made.build(made.base), made._samples(None)) < 0.3
    assert find_placement(with_own_names(ZOO["loop"]()), CPU, "net").bodies == ("iterator",)
