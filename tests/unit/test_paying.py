"""Choices that the device does not execute as such are not searched, but where they make files smaller."""

from dataclasses import replace

import pytest

from builders import compression, residual_model
from quantize_zoo.config import WeightCompression, hardware_path, load_hardware
from quantize_zoo.graph import find_placement
from quantize_zoo.matrix.paying import what_pays, what_runs
from quantize_zoo.quantization import base_option, derive_space
from quantize_zoo.scoring import Executed, ExecutedCompression, ExecutedOperation

CPU = load_hardware(hardware_path("CPU-weights"))
INT8 = WeightCompression(bits=8, mode="asymmetric")
INT4 = WeightCompression(bits=4, mode="symmetric")
BITS = {"tuning_scope": ["bits", "layer"]}


def found(*in_floating_point, compressed=(), of=residual_model, for_size=False, **params):
    """What pays of a model some of whose operations run in floating point, and the space that is left of it."""
    params = params or BITS
    wanted, placement = compression(**params), find_placement(of(), CPU, "net")
    base = base_option(placement, CPU, wanted.tunable)
    operations = tuple(
        ExecutedOperation(each.name, "f32" if each.name in in_floating_point else "u8", "kernel")
        for each in placement.operations
    )
    executed = Executed(operations, (), tuple(compressed))
    paying = what_pays(placement, base, base, wanted, executed, for_size=for_size)
    space = derive_space(paying.placement, paying.base, wanted, paying.idle)
    return paying, {name: [each.value for each in variable.branches] for name, variable in space.operations.items()}


def test_what_runs_in_int8_is_all_searched():
    paying, values = found()
    assert not paying.idle
    assert not paying.notes
    assert all(each[:2] == [True, False] for each in values.values())


def test_what_runs_in_floating_point_is_left_unquantized_and_told():
    paying, values = found("add")
    assert paying.idle == {"add"}
    assert not paying.base.operations["add"].quantize
    assert values["add"] == [False]
    assert values["pool"] == [True, False]
    assert paying.notes == (
        "not searched: quantizing add, for which the device tells of no INT8 kernel"
        " (with search_unexecuted: true it is)",
    )


def test_its_weights_may_be_compressed():
    _, values = found("scores")
    assert values["scores"][0] is False
    assert INT4 in values["scores"]
    assert True not in values["scores"]
    assert found("scores", tuning_scope=["layer"])[1]["scores"] == [False]


def test_where_size_is_a_target_weights_pay_whatever_the_device_computes_with():
    paying, values = found("scores", for_size=True)
    assert not paying.idle
    assert True in values["scores"]


def test_another_configuration_in_the_scope_is_worth_a_look():
    paying, values = found("scores", preset="accuracy", tuning_scope=["mode", "layer"])
    assert not paying.idle
    assert values["scores"] == [True, False]


def test_where_all_runs_in_floating_point_all_is_searched():
    names = [each.name for each in find_placement(residual_model(), CPU, "net").operations]
    paying, _ = found(*names, preset="accuracy", tuning_scope=["layer"])
    assert not paying.idle
    assert all(choice.quantize for choice in paying.base.operations.values())


@pytest.mark.parametrize(("for_size", "offered"), [(False, False), (True, True)])
def test_weights_that_are_unpacked_pay_in_size_alone(for_size, offered):
    paying, values = found(compressed=[ExecutedCompression(INT8, 1, ("first", "branch"))], for_size=for_size)
    assert (INT8 in values["first"]) == offered
    assert INT8 in values["scores"]
    assert bool(paying.notes) != offered


@pytest.mark.parametrize("for_size", [False, True])
def test_what_the_device_refuses_is_never_offered(for_size):
    _, values = found(compressed=[ExecutedCompression(INT4, 0, (), "no kernel")], for_size=for_size)
    assert INT4 not in values["scores"]
    assert INT8 in values["scores"]


@pytest.mark.parametrize("for_size", [False, True])
def test_what_is_refused_is_told_elsewhere_and_not_again(for_size):
    compressed = [ExecutedCompression(INT8, 1, ("first", "branch")), ExecutedCompression(INT4, 0, (), "no kernel")]
    paying, _ = found(compressed=compressed, for_size=for_size)
    told = "not searched: compressed weights that the device does not read as such, of first, branch"
    assert paying.notes == (() if for_size else (told,))


def test_what_is_refused_is_left_out_of_all_that_runs():
    placement = find_placement(residual_model(), CPU, "net")
    base = base_option(placement, CPU, compression(**BITS).tunable)
    idle = (ExecutedOperation("add", "f32", "kernel"),)
    ways = (ExecutedCompression(INT4, 0, (), "no kernel"), ExecutedCompression(INT8, 1, ("first", "branch")))
    paying = what_runs(placement, base, Executed(idle, (), ways))
    offered = {each.name: each.compressed_weights for each in paying.placement.operations}
    assert (paying.base, paying.idle, paying.notes) == (base, frozenset(), ())
    assert INT4 not in offered["scores"]
    assert INT8 in offered["first"]


def test_a_later_stage_that_quantizes_otherwise_is_not_judged_by_the_preset():
    placement, wanted = find_placement(residual_model(), CPU, "net"), compression(preset="accuracy")
    preset = base_option(placement, CPU, wanted.tunable)
    scores = preset.operations["scores"]
    symmetric = replace(scores.weights, config=scores.weights.config.model_copy(update={"mode": "symmetric"}))
    base = replace(preset, operations={**preset.operations, "scores": replace(scores, weights=symmetric)})
    executed = Executed((ExecutedOperation("scores", "f32", ""),), ())
    assert not what_pays(placement, base, preset, wanted, executed, for_size=False).idle
    assert what_pays(placement, preset, preset, wanted, executed, for_size=False).idle == {"scores"}
