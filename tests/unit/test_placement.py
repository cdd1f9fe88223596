"""Where FakeQuantize operations go."""

import re
from dataclasses import replace

import numpy as np
import openvino as ov
import pytest

from builders import compression, convolution, model, named, parameter, pipeline, residual_model, switched_off
from quantize_zoo.config import QuantizationConfig, hardware_path, load_hardware
from quantize_zoo.errors import CellError
from quantize_zoo.graph import (
    find_placement,
    ignored_in_vain,
    ignored_operations,
    nodes_by_name,
    read_model,
    save_model,
    with_own_names,
)
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import input_shapes, shape_text
from two_stage import two_stage_detector
from zoo import (
    ZOO,
    attention,
    branches,
    compressed,
    concat_tree,
    constant,
    layer_norm,
    loop,
    random_samples,
    residual_chain,
    transposed_convolution,
    two_activations,
)

CPU = load_hardware(hardware_path("CPU"))


def points(net):
    return {point.key: point for point in find_placement(net, CPU, "net").activations}


def test_one_fake_quantize_serves_all_consumers_of_a_tensor():
    shared = points(residual_model())["relu:0"]
    assert set(shared.consumers) == {("branch", 0), ("add", 0)}
    assert shared.operations == ("branch", "add")


def test_bias_is_not_quantized():
    placement = find_placement(residual_model(), CPU, "net")
    assert "bias" not in [operation.name for operation in placement.operations]
    assert [point.operation for point in placement.weights] == ["first", "branch", "scores"]


def test_fake_quantize_sits_above_quantize_agnostic_operations():
    assert points(residual_model())["pool:0"].consumers == (("flat", 0),)


def test_agnostic_operation_with_a_floating_point_consumer_keeps_it_below():
    image = parameter()
    pooled = named(ops.max_pool(image, [1, 1], [1, 1], [0, 0], [0, 0], [2, 2]).output(0).get_node(), "max")
    net = ov.Model(
        [ops.result(convolution(pooled.output(0), 3, 4, "conv")), ops.result(pooled.output(0))], [image], "m"
    )
    assert list(points(net)) == ["max:0"]


def test_all_inputs_of_a_concat_are_quantized():
    image = parameter()
    left, right = named(ops.relu(image), "left"), named(ops.sigmoid(image), "right")
    joined = named(ops.concat([left, right], axis=1), "joined")
    found = points(model(convolution(joined, 6, 4, "conv"), image))
    assert found["left:0"].consumers == (("joined", 0),)
    assert found["right:0"].consumers == (("joined", 1),)


def test_input_scaling_is_not_quantized():
    image = parameter()
    scaled = named(ops.add(image, ops.constant(np.float32(1))), "scaled")
    assert list(points(model(convolution(scaled, 3, 4, "conv"), image))) == ["scaled:0"]


def test_compressed_weights_are_weights():
    image = parameter()
    placement = find_placement(model(convolution(image, 3, 4, "conv", dtype=np.float16), image), CPU, "net")
    assert placement.weights[0].operation == "conv"


def test_matmul_of_two_activations_has_no_weights():
    left, right = parameter((1, 4, 8), "left"), parameter((1, 8, 4), "right")
    placement = find_placement(model(named(ops.matmul(left, right, False, False), "product"), left, right), CPU, "net")
    assert [point.key for point in placement.activations] == ["left:0", "right:0"]
    assert placement.weights == ()


def test_depthwise_convolution_is_told_from_grouped():
    image = parameter((1, 4, 8, 8))
    weights = ops.constant(np.ones((4, 1, 1, 3, 3), np.float32))
    depthwise = named(ops.group_convolution(image, weights, [1, 1], [1, 1], [1, 1], [1, 1]), "depthwise")
    grouped = ops.group_convolution(
        depthwise, ops.constant(np.ones((2, 2, 2, 1, 1), np.float32)), [1, 1], [0, 0], [0, 0], [1, 1]
    )
    types = {o.name: o.type for o in find_placement(model(named(grouped, "grouped"), image), CPU, "net").operations}
    assert types == {"depthwise": "DepthWiseConvolution", "grouped": "GroupConvolution"}


def test_only_convolutions_that_nothing_precedes_are_first():
    assert find_placement(residual_model(), CPU, "net").first_convolutions == {"first"}


def test_arithmetic_on_shapes_is_left_alone():
    image = parameter()
    sizes = ops.convert(ops.shape_of(image), "f32")
    doubled = named(ops.add(sizes, sizes), "doubled")
    target = ops.convert(ops.multiply(doubled, ops.constant(np.float32(0.5))), "i64")
    net = model(ops.reshape(convolution(image, 3, 3, "conv"), target, special_zero=False), image)
    assert [operation.name for operation in find_placement(net, CPU, "net").operations] == ["conv"]


def test_model_without_quantizable_operations_is_refused():
    image = parameter()
    with pytest.raises(CellError, match="model 'net' has no operation that the hardware configuration CPU quantizes"):
        find_placement(model(ops.relu(image), image), CPU, "net")


def test_quantized_model_is_refused():
    image = parameter()
    zero, one = ops.constant(np.float32(0)), ops.constant(np.float32(1))
    quantized = ops.fake_quantize(image, zero, one, zero, one, 256)
    with pytest.raises(CellError, match="quantized already"):
        find_placement(model(convolution(quantized, 3, 4, "conv"), image), CPU, "net")


def test_model_survives_save_and_read(tmp_path):
    net = residual_model()
    save_model(net, tmp_path / "net.xml")
    again = read_model(tmp_path / "net.xml")
    assert find_placement(again, CPU, "net") == find_placement(net, CPU, "net")


def test_unreadable_model_is_named(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"not a model")
    with pytest.raises(CellError, match="OpenVINO cannot read the model"):
        read_model(tmp_path / "net.onnx")


def test_unwritable_model_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CellError, match="cannot write the model"):
        save_model(residual_model(), tmp_path / "file" / "net.xml")


def test_any_dimension_of_an_input_may_be_dynamic_and_the_number_of_them_not():
    image = parameter((-1, 3, -1, 8))
    shape = input_shapes(model(ops.relu(image), image))["image"]
    assert shape_text(shape) == "(?, 3, ?, 8)"
    image = parameter(ov.PartialShape.dynamic())
    with pytest.raises(CellError, match="input 'image' has a dynamic rank"):
        input_shapes(model(ops.relu(image), image))


NPU = load_hardware(hardware_path("NPU"))


def test_operations_of_several_activations_are_quantized_on_all_of_them():
    found = points(attention())
    assert found["query:0"].consumers == (("scores", 0),)
    assert found["key:0"].consumers == (("scores", 1),)
    assert found["tokens:0"].operations == ("query", "key", "value")


def test_operation_on_a_constant_is_not_quantized():
    names = [operation.name for operation in find_placement(two_activations(), CPU, "net").operations]
    assert "gated" in names
    assert "shifted" not in names


def test_weights_behind_reshape_and_transpose_are_weights():
    assert [point.operation for point in find_placement(compressed(), CPU, "net").weights] == ["first", "second"]


def test_weights_on_the_left_of_a_matmul_count_channels_first():
    image = parameter((1, 6, 16))
    left = named(ops.matmul(ops.constant(np.ones((4, 6), np.float32)), image, False, False), "left")
    weights = find_placement(model(left, image), CPU, "net").weights
    assert [(point.port, point.channel_axes) for point in weights] == [(0, (0,))]


def test_transposed_convolution_counts_channels_on_the_second_axis():
    weights = {point.operation: point for point in find_placement(transposed_convolution(), CPU, "net").weights}
    assert weights["up"].channel_axes == (1,)
    # The GPU's configuration does not have it.
    gpu = find_placement(transposed_convolution(), load_hardware(hardware_path("GPU")), "net")
    assert [operation.name for operation in gpu.operations] == ["conv"]


def test_the_body_of_a_loop_is_left_alone_and_named():
    placement = find_placement(loop(), CPU, "net")
    assert placement.bodies == ("iterator",)
    assert {operation.name for operation in placement.operations} == {"first", "last"}


def test_bodies_of_if_are_quantized():
    placement = find_placement(with_own_names(branches()), CPU, "net")
    assert placement.bodies == ()
    names = [operation.name for operation in placement.operations]
    assert names == ["first", "choose/then/inside", "choose/else/inside", "last"]


def test_shared_tensor_of_depthwise_convolution_and_addition_is_per_tensor():
    image = parameter((1, 4, 8, 8))
    entered = named(ops.relu(image), "entered")
    weights = ops.constant(np.ones((4, 1, 1, 3, 3), np.float32))
    depthwise = ops.group_convolution(entered, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    shared = points(model(ops.add(entered, depthwise), image))["entered:0"]
    assert {config.granularity for config in shared.configs} == {"pertensor"}


def joined_twice(last):
    """Two tensors of different ranges, concatenated before ``last``, which makes an operation of them."""
    image = parameter()
    left, right = named(ops.relu(image), "left"), named(ops.sigmoid(image), "right")
    return model(last(named(ops.concat([left, right], axis=1), "joined"), left), image)


def unified(net, hardware=NPU):
    return [scale.tensors for scale in find_placement(net, hardware, "net").unified]


def test_npu_has_one_scale_for_all_inputs_of_a_concatenation():
    assert unified(joined_twice(lambda joined, _: convolution(joined, 6, 4, "last"))) == [("left:0", "right:0")]


def test_concatenations_of_concatenations_share_one_scale():
    assert unified(concat_tree()) == [("relu0:0", "relu1:0", "relu2:0", "relu3:0")]


def test_concatenation_that_only_an_addition_reads_keeps_its_scales():
    assert unified(joined_twice(lambda joined, _: named(ops.add(joined, joined), "last"))) == []


def test_npu_has_a_scale_for_each_input_of_an_operation_on_two_tensors():
    assert unified(residual_chain()) == []
    assert unified(two_activations()) == []


def test_cpu_has_no_scales_in_common():
    assert unified(concat_tree(), CPU) == []


def test_tensors_of_one_scale_allow_what_all_their_operations_allow():
    (scale,) = find_placement(joined_and_added(), NPU, "net").unified
    assert set(scale.operations) == {"last", "added"}
    assert {(config.mode, config.bits) for config in scale.configs} == {
        ("symmetric", 8),
        ("asymmetric", 8),
        ("symmetric", 4),
    }


@pytest.mark.parametrize("name", ["CPU", "GPU"])
def test_npu_quantizes_at_8_bits_what_other_targets_do(name):
    """NNCF quantizes for all of them alike at 8 bits."""
    for rule in load_hardware(hardware_path(name)).operations:
        for kind in rule.types:
            npu = NPU.rule(kind)
            assert tuple(config for config in npu.activations if config.bits == 8) == rule.activations
            assert tuple(config for config in npu.weights if config.bits == 8) == rule.weights


def ignored(net, hardware=CPU, *, as_pot=False, **params):
    return ignored_operations(net, hardware, compression(**params).tunable, "net", as_pot=as_pot)


def test_ignored_by_name_and_by_type():
    net = residual_model()
    assert ignored(net, ignored={"scope": ["branch"]}) == {"branch"}
    assert {"first", "branch"} == ignored(net, ignored={"operations": [{"type": "Convolution"}]})
    wide = {"type": "Convolution", "attributes": {"pads_begin": [1, 1]}}
    assert ignored(net, ignored={"operations": [wide]}) == {"branch"}


@pytest.mark.parametrize("kind", ["convolution", "MatMul"])
def test_the_name_of_a_bias_stands_for_the_operation_that_conversion_parted_from_it(kind):
    image = parameter()
    first = named(ops.relu(convolution(image, 3, 8, "early")), "relu")
    if kind == "MatMul":
        weights = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
        node = named(ops.matmul(first, ops.constant(weights), False, False), "dec/WithoutBiases")
        bias = np.ones(4, np.float32)
    else:
        node, bias = convolution(first, 8, 4, "dec/WithoutBiases"), np.ones((1, 4, 1, 1), np.float32)
    net = model(named(ops.add(node, ops.constant(bias)), "dec"), image)
    assert ignored(net, ignored={"scope": ["dec"]}) == {"dec", "dec/WithoutBiases"}
    assert ignored(net, as_pot=True, ignored={"scope": ["dec"]}) == {"dec"}, "POT had the name that it was given"
    quantizable = [each.name for each in find_placement(net, CPU, "net").operations]
    assert quantizable == ["early", "dec/WithoutBiases"]
    scope = ["dec", "early", "relu", "image"]
    assert ignored_in_vain(net, CPU, scope, quantizable) == ["relu", "image"]


def test_names_that_are_ignored_in_vain_are_told():
    params = compression(ignored={"scope": ["relu", "branch"]})
    notes = pipeline(residual_model(), [], params).scope_notes()
    assert [each for each in notes if "ignored.scope" in each] == [
        "ignored.scope names 'relu', which is never quantized, so that leaving it out changes nothing",
    ]


def test_ignored_operation_is_not_quantized():
    placement = find_placement(residual_model(), CPU, "net", frozenset({"branch", "add"}))
    assert [operation.name for operation in placement.operations] == ["first", "pool", "scores"]
    assert "relu:0" not in {point.key for point in placement.activations}


def test_transformer_leaves_normalization_alone():
    net = layer_norm()
    names = [operation.name for operation in find_placement(net, CPU, "net").operations]
    assert {"mean", "centered", "normalized"} <= set(names)
    left = find_placement(net, CPU, "net", ignored(net, model_type="transformer")).operations
    assert [operation.name for operation in left] == ["inner", "outer"]
    as_pot = find_placement(net, CPU, "net", ignored(net, model_type="transformer", as_pot=True)).operations
    assert [operation.name for operation in as_pot] == ["inner", "normalized", "outer"]


def test_transformer_leaves_fused_normalization_alone():
    tokens = parameter((1, 6, 16), name="tokens")
    inner = ops.matmul(tokens, constant(16, 16), False, True)
    fused = named(ops.mvn(inner, np.array([2]), normalize_variance=True, eps=1e-5, eps_mode="inside_sqrt"), "fused")
    net = model(named(ops.matmul(fused, constant(8, 16, seed=2), False, True), "outer"), tokens)
    assert "fused" in ignored(net, model_type="transformer")
    assert "fused" not in ignored(net, model_type="transformer", as_pot=True)


def halves(left=frozenset()):
    """The FakeQuantizes of two halves of a tensor that lose an axis before a convolution and a MatMul."""
    tokens = parameter((1, 2, 6, 16), name="tokens")
    parts = ops.split(ops.relu(tokens), ops.constant(1), 2)
    first, second = (named(ops.squeeze(parts.output(n), np.array([1])), f"half_{n}") for n in range(2))
    net = model(named(ops.matmul(first, second, False, True), "scores"), tokens)
    return {point.key for point in find_placement(net, CPU, "net", left).activations}


def test_fake_quantize_stays_below_what_is_ignored():
    (above,) = halves()
    assert not above.startswith("half")
    assert halves(frozenset({"half_0", "half_1"})) == {"half_0:0", "half_1:0"}
    # One branch that is not gone above keeps the other from going above what both read.
    mixed = halves(frozenset({"half_0"}))
    assert "half_0:0" in mixed
    assert not {each for each in mixed if not each.startswith(("half_0", "Split"))}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"scope": ["brnch"]}, "no operation 'brnch'.*did you mean 'branch'"),
        ({"operations": [{"type": "Convolutoin"}]}, "unknown type 'Convolutoin'.*did you mean 'Convolution'"),
        ({"skip_model": True}, "model 'net' is skipped"),
    ],
)
def test_wrong_name_in_ignored_is_told(what, message):
    with pytest.raises(CellError) as caught:
        ignored(residual_model(), ignored=what)
    assert re.search(message, str(caught.value), re.DOTALL)


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("preset", ["performance", "accuracy"])
def test_every_model_of_the_zoo_compiles_infers_and_survives_its_file(name, preset, tmp_path):
    net = ZOO[name]()
    samples = random_samples(net)
    built = pipeline(net, samples, compression(preset=preset, saturation_fix="all"))  # no overflow without VNNI
    candidate = built.build(built.base)
    save_model(candidate, tmp_path / "int8.xml")
    found, again = (infer(each, samples[0]) for each in (candidate, read_model(tmp_path / "int8.xml")))
    assert len(found) == len(net.outputs)
    for index, expected in enumerate(infer(net, samples[0])):
        np.testing.assert_array_equal(found[index], again[index])
        if expected.dtype.kind != "f":
            np.testing.assert_array_equal(found[index], expected)
            continue
        assert np.isfinite(found[index]).all()
        assert np.abs(found[index] - expected).max() <= 0.35 * np.abs(expected).max()


def activation_ranges(built, option):
    """Bounds and levels of each quantized tensor of the candidate."""
    nodes = nodes_by_name(built.build(option))
    ranges = {}
    for point in built.placement.activations:
        consumer, port = point.consumers[0]
        source = nodes[consumer].input_value(port).get_node()
        if source.get_type_name() == "FakeQuantize":
            low, high = (border.get_node().data.item() for border in source.input_values()[1:3])
            ranges[point.key] = (low, high, source.get_attributes()["levels"])
    return ranges


@pytest.mark.parametrize("name", ["concat_tree", "split_and_join"])
def test_npu_models_have_unified_ranges(name):
    net = ZOO[name]()
    built = pipeline(net, random_samples(net), target="NPU")
    ranges = activation_ranges(built, built.base)
    assert built.placement.unified
    for scale in built.placement.unified:
        assert len({ranges[tensor] for tensor in scale.tensors}) == 1


def joined_and_added():
    """A tensor that an addition reads, besides a concatenation with larger values before a convolution."""

    def last(joined, left):
        return ops.concat([convolution(joined, 6, 3, "last"), named(ops.add(left, left), "added")], 1)

    return joined_twice(last)


def test_operations_that_choose_differently_read_one_scale():
    net = joined_and_added()
    built = pipeline(net, random_samples(net), target="NPU")
    added = built.base.operations["added"]
    four_bits = QuantizationConfig(bits=4, mode="symmetric", granularity="pertensor")
    changed = replace(added, activations=replace(added.activations, config=four_bits))
    ranges = activation_ranges(built, replace(built.base, operations={**built.base.operations, "added": changed}))
    assert ranges["left:0"] == ranges["right:0"]


def test_tensor_of_a_scale_that_is_quantized_alone_has_its_own_range():
    net = joined_and_added()
    samples = [{"image": np.full((1, 3, 8, 8), 0.1, np.float32)}]  # the other tensor has 0.52
    built = pipeline(net, samples, target="NPU")
    ranges = activation_ranges(built, switched_off(built.base, "last"))
    assert list(ranges) == ["left:0"]
    assert ranges["left:0"][1] == pytest.approx(0.1)


def infer(net, sample):
    compiled = ov.Core().compile_model(net, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(value) for value in compiled(sample).to_tuple()]


def test_ranges_of_channels_stay_where_channels_are():
    """Above a Transpose axis 1 is another one: a range for each row would be none of a channel."""
    image = parameter((1, 9, 9, 4))
    channels_first = ops.transpose(named(ops.relu(image), "relu"), np.array([0, 3, 1, 2]))
    weights = ops.constant(np.ones((4, 1, 1, 3, 3), np.float32))
    net = model(
        named(ops.group_convolution(named(channels_first, "first"), weights, [1, 1], [0, 0], [0, 0], [1, 1]), "depth"),
        image,
    )
    (point,) = find_placement(net, load_hardware(hardware_path("CPU")), "test").activations
    assert (point.key, point.consumers) == ("first:0", (("depth", 0),))


def test_anchors_that_are_looked_up_are_no_embedding():
    """Rounded to one of 255 places, boxes of a large image are off by pixels."""
    names = [operation.type for operation in find_placement(two_stage_detector(), CPU, "net").operations]
    assert "MatMul" in names
    assert "Embedding" not in names


@pytest.mark.parametrize("batch", [-1, 4])
def test_weights_that_are_made_in_the_shape_of_the_data_are_left_alone(batch):
    """No constant is known of them, and no data reach them."""
    image = parameter(ov.PartialShape([batch, 5, 8]))
    count = ops.gather(ops.shape_of(image), np.array([0]), ops.constant(np.int64(0)))
    weights = ops.broadcast(constant(1, 8, 4), ops.concat([count, ops.constant(np.array([8, 4]))], 0))
    first = named(ops.matmul(image, constant(8, 8), False, False), "first")
    net = model(named(ops.matmul(first, weights, False, False), "second"), image)
    placement = find_placement(net, load_hardware(hardware_path("CPU-weights")), "net")
    assert [each.name for each in placement.operations] == ["first"]


@pytest.mark.parametrize(("stored", "offered"), [("f16", {8, 4}), ("u8", {4}), ("i4", set())])
def test_weights_that_are_compressed_are_offered_fewer_bits_alone(stored, offered):
    image = parameter((1, 64))
    values = np.random.default_rng(0).integers(0, 8, size=(8, 64))
    scale = ops.constant(np.full((8, 1), 0.01, np.float16))
    given_back = ops.multiply(ops.convert(ops.constant(values, getattr(ov.Type, stored)), "f16"), scale)
    weights = ops.convert(ops.reshape(given_back, np.array([8, 64]), special_zero=False), "f32")
    net = model(named(ops.matmul(image, weights, False, True), "scores"), image)
    (scores,) = find_placement(net, load_hardware(hardware_path("CPU-weights")), "net").operations
    assert {each.bits for each in scores.compressed_weights} == offered


def ways(node, *parameters):
    """How many ways to compress its weights an operation, called so, is offered."""
    net = model(named(node, "called"), *parameters)
    (found,) = find_placement(net, load_hardware(hardware_path("CPU-weights")), "net").operations
    return len(found.compressed_weights)


def test_compressed_weights_that_the_cpu_reads_as_garbage_are_not_offered():
    """Compiled for throughput, and NNCF's as well."""
    image, tokens = parameter((2, 5, 64)), named(ops.parameter([7], np.int64), "tokens")
    flat = parameter((64, 5), "flat")
    assert ways(ops.matmul(image, constant(64, 48), False, False), image) > 1
    assert ways(ops.matmul(image, constant(2, 64, 48), False, False), image) == 0
    assert ways(ops.matmul(image, constant(1, 64, 48), False, False), image) == 0
    assert ways(ops.matmul(constant(48, 64), flat, False, False), flat) == 0
    assert ways(ops.gather(constant(64, 16), tokens, np.int64(0)), tokens) > 1
    assert ways(ops.gather(constant(16, 64), tokens, np.int64(1)), tokens) == 0
