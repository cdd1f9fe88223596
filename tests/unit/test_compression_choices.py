"""Compressed weights as choices of an operation: offered, drawn, read off an option, stored."""

from dataclasses import replace

import numpy as np
import openvino as ov
import pytest

from builders import SYMMETRIC, compression, model, named, parameter, residual_model, trial
from quantize_zoo.config import hardware_path, load_hardware
from quantize_zoo.config.hardware import WeightCompression
from quantize_zoo.graph import constant_value, find_placement, nodes_by_name, ranges_hash, structural_signature
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import (
    ModelOption,
    OperationOption,
    Pipeline,
    TensorOption,
    base_option,
    collect_statistics,
    derive_space,
    option_hash,
)
from quantize_zoo.quantization.candidate import insert_fake_quantizes
from quantize_zoo.quantization.range_finder import RangeFinder
from quantize_zoo.search import base_choices, choices_of, option_of, startup_choices
from quantize_zoo.search.startup import compressed_choices
from quantize_zoo.store.values import TRIAL, plain, read
from zoo import random_samples

CPU, GPU = (load_hardware(hardware_path(f"{target}-weights")) for target in ("CPU", "GPU"))
INT8 = WeightCompression(bits=8, mode="asymmetric")
INT4 = WeightCompression(bits=4, mode="symmetric")
BITS = {"tuning_scope": ["bits", "layer"]}


def dense(inputs, name="dense"):
    data = parameter((1, inputs))
    weights = np.random.default_rng(0).normal(size=(8, inputs)).astype(np.float32)
    return model(named(ops.matmul(data, ops.constant(weights), False, True), name), data)


def space_of(net, hardware=CPU, **params):
    placement = find_placement(net, hardware, "net")
    wanted = compression(**params)
    base = base_option(placement, hardware, wanted.tunable)
    return derive_space(placement, base, wanted), base, placement, wanted


def values(space, name):
    return [branch.value for branch in space.operations[name].branches]


@pytest.mark.parametrize("target", ["CPU", "GPU"])
def test_the_list_of_a_target_is_its_own_but_for_compressed_weights(target):
    plain_list = load_hardware(hardware_path(target))
    types = [kind for rule in plain_list.operations for kind in rule.types]
    compressed = {"CPU": CPU, "GPU": GPU}[target]
    assert sorted(kind for rule in compressed.operations for kind in rule.types) == sorted(types)
    for kind in types:
        rule, own = compressed.rule(kind), plain_list.rule(kind)
        assert (rule.activations, rule.weights) == (own.activations, own.weights)
        assert not own.compressed_weights
    assert compressed.quantize_agnostic == plain_list.quantize_agnostic


def test_stored_searches_know_their_hardware_configuration_again():
    assert "compressed_weights" not in str(load_hardware(hardware_path("CPU")).model_dump(mode="json"))
    assert "compressed_weights" in str(CPU.model_dump(mode="json"))


def test_groups_divide_a_channel_and_are_smaller():
    sizes = {
        inputs: {each.group_size for each in values(space_of(dense(inputs), **BITS)[0], "dense")[2:]}
        for inputs in (48, 64, 96, 128, 256)
    }
    assert sizes == {48: {None}, 64: {None, 32}, 96: {None, 32}, 128: {None, 32, 64}, 256: {None, 32, 64, 128}}


@pytest.mark.parametrize(
    ("scope", "offered"),
    [(["bits"], True), (["bits", "layer"], True), (["layer"], False), (["mode", "layer"], False)],
)
def test_bits_in_the_scope_offers_them(scope, offered):
    space, _, _, _ = space_of(residual_model(), tuning_scope=scope)
    found = values(space, "scores")
    assert found[0] is True
    assert (False in found) == ("layer" in scope)
    assert (INT4 in found) == offered
    assert (INT8 in values(space, "first")) == offered
    assert INT4 not in values(space, "first"), "a convolution has 8 bits"


def test_a_base_with_compressed_weights_may_go_back_or_stay_so():
    space, base, placement, wanted = space_of(residual_model(), **BITS)
    compressed = option_of(space, base, {"operation scores": values(space, "scores").index(INT4)})
    assert (compressed.operations["scores"].quantize, compressed.operations["scores"].compressed_weights) == (
        False,
        INT4,
    )
    again = derive_space(placement, compressed, wanted)
    assert values(again, "scores")[:3] == [INT4, False, True]
    assert values(again, "scores").count(INT4) == 1
    assert option_of(again, compressed, base_choices(again)) == compressed
    back = option_of(again, compressed, {"operation scores": 2})
    assert back.operations["scores"] == base.operations["scores"]
    without_bits = derive_space(placement, compressed, compression(tuning_scope=["layer"]))
    assert values(without_bits, "scores") == [INT4, False]


def test_choices_are_read_off_an_option():
    space, base, _, _ = space_of(residual_model(), **BITS)
    for index in range(len(space.operations["scores"].branches)):
        choices = base_choices(space, {"operation scores": index, "operation first": index % 2})
        assert choices_of(space, option_of(space, base, choices)) == choices


def test_an_option_with_other_compressed_weights_is_another():
    space, base, _, _ = space_of(residual_model(), **BITS)
    count = len(space.operations["scores"].branches)
    hashes = {option_hash(option_of(space, base, {"operation scores": index})) for index in range(count)}
    assert len(hashes) == count


def test_the_start_compresses_all_weights_each_way():
    space, base, placement, _ = space_of(residual_model(), **BITS)
    types = {each.name: each.type for each in placement.operations}
    ways = [option_of(space, base, choices) for choices in compressed_choices(space, types)]
    by_scores = {way.operations["scores"].compressed_weights: way for way in ways}
    assert {INT8, INT4} <= by_scores.keys()
    assert not any(each.quantize for each in by_scores[INT4].operations.values())
    assert by_scores[INT4].operations["first"].compressed_weights == INT8
    assert by_scores[INT4].operations["add"].compressed_weights is None


def test_of_fewer_bits_the_start_also_keeps_the_ends_of_the_model_in_8(table_and_two_layers):
    space, base, placement, _ = space_of(table_and_two_layers, **BITS)
    types = {each.name: each.type for each in placement.operations}
    assert types["table"] == "Embedding"
    found = [option_of(space, base, choices) for choices in compressed_choices(space, types)]
    bits = [
        [each.compressed_weights and each.compressed_weights.bits for each in option.operations.values()]
        for option in found
    ]
    assert [8, 8, 8] in bits
    assert [4, 4, 4] in bits
    assert [8, 4, 8] in bits


@pytest.fixture
def table_and_two_layers():
    rng = np.random.default_rng(0)
    tokens = ops.parameter([1, 5], np.int64, name="tokens")
    table = ops.constant(rng.normal(size=(50, 64)).astype(np.float32))
    found = ops.tanh(named(ops.gather(table, tokens, np.int64(0)), "table"))  # which is not read quantized
    for name in ("first", "last"):
        weights = ops.constant(rng.normal(size=(64, 64)).astype(np.float32))
        found = named(ops.matmul(found, weights, False, True), name)
    return model(found, tokens)


def test_without_layer_the_start_leaves_nothing_unquantized():
    space, base, placement, _ = space_of(residual_model(), tuning_scope=["bits"])
    types = {each.name: each.type for each in placement.operations}
    for choices in startup_choices(space, types, {"scores": 1.0}, 20):
        for choice in option_of(space, base, choices).operations.values():
            assert choice.quantize or choice.compressed_weights is not None


def test_a_trial_with_compressed_weights_is_stored_and_read():
    space, base, _, _ = space_of(residual_model(), **BITS)
    option = option_of(space, base, {"operation scores": values(space, "scores").index(INT4)})
    kept = trial(1, 0.0, 1.5, option)
    assert read(TRIAL, plain(TRIAL, kept), "trial") == kept


def test_candidates_of_other_compressed_weights_differ_and_repeat():
    net = residual_model()
    samples = random_samples(net, 4)
    built = Pipeline(
        net, "net", CPU, compression(**BITS),
        lambda variant, requests, size, _: collect_statistics(variant, requests, samples[:size]),
        lambda size: samples[:size],
    )  # fmt: skip
    options = [
        replace(
            built.base,
            operations={
                **built.base.operations,
                "scores": replace(built.base.operations["scores"], quantize=False, compressed_weights=way),
            },
        )
        for way in (
            None,
            INT8,
            INT4,
            WeightCompression(bits=4, mode="asymmetric"),
            WeightCompression(bits=4, mode="nf4"),
        )
    ]
    for identify in (structural_signature, lambda each: ranges_hash(each, ())):
        found = [identify(built.build(option)) for option in options]
        assert len(set(found)) == len(options)
        assert found == [identify(built.build(option)) for option in options]


def test_operations_that_share_weights_share_what_is_compressed():
    ids, data = named(ops.parameter([1, 4], np.int64), "ids"), parameter((1, 4, 16))
    table = ops.constant(np.random.default_rng(0).normal(size=(32, 16)).astype(np.float32))
    looked_up = named(ops.gather(table, ids, ops.constant(0)), "look_up")
    total = named(ops.add(looked_up, data), "total")
    net = model(named(ops.matmul(total, table, False, True), "head"), ids, data)
    placement = find_placement(net, CPU, "net", frozenset({"total"}))
    assert {point.operation for point in placement.weights} == {"look_up", "head"}
    nodes = nodes_by_name(net)
    weights = {each.key: constant_value(nodes[each.operation].input_value(each.port)) for each in placement.weights}
    choice = OperationOption(False, *(TensorOption(SYMMETRIC, None),) * 2, INT8)
    option = ModelOption({each.name: choice for each in placement.operations})
    made = insert_fake_quantizes(net, placement, option, RangeFinder(placement, None, weights), weights, frozenset())
    bytes_of = [each for each in made.get_ops() if each.get_element_type() == ov.Type.u8]
    assert sorted(list(each.get_output_shape(0)) for each in bytes_of) == [[32, 1], [32, 16]]
