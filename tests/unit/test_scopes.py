"""What a scope of tuning names in vain is told, and what could be chosen and is not named."""

import pytest

from builders import compression, pipeline, residual_model
from quantize_zoo.config import QuantizationConfig, hardware_path, load_hardware
from quantize_zoo.graph import find_placement
from quantize_zoo.quantization import base_option
from quantize_zoo.quantization.scopes import scope_notes
from zoo import random_samples

IN_VAIN = "no choice: the hardware configuration of CPU lists no other for any operation of this model"
WHERE = "; compressed weights are offered by hardware: cpu-weights.yml or gpu-weights.yml"


def notes(*scope, hardware="CPU", **params):
    """The notes on one stage of this scope, of a model of convolutions and a matrix multiplication."""
    net, listed = residual_model(), load_hardware(hardware_path(hardware))
    if params:
        listed = listed.model_copy(update=params)
    placement, tunable = find_placement(net, listed, "net"), compression(tuning_scope=list(scope)).tunable
    return list(scope_notes(placement, base_option(placement, listed, tunable), [tunable], listed))


def test_bits_without_another_width_are_told_with_what_offers_them():
    assert notes("bits", "layer") == [f"bits in tuning_scope offers {IN_VAIN}{WHERE}"]


def test_all_words_that_offer_nothing_are_told_in_one_note():
    assert notes("bits", "granularity", "layer") == [f"bits and granularity in tuning_scope offer {IN_VAIN}{WHERE}"]


@pytest.mark.parametrize("scope", [("bits",), ("bits", "mode", "layer")])
def test_compressed_weights_are_a_choice(scope):
    assert notes(*scope, hardware="CPU-weights") == []


def test_another_width_of_quantization_is_a_choice():
    eight = QuantizationConfig(bits=8, mode="symmetric", granularity="pertensor")
    rule = load_hardware(hardware_path("CPU")).operations[0]
    wider = rule.model_copy(update={"activations": (eight, eight.model_copy(update={"bits": 4}))})
    assert notes("bits", "layer", operations=(wider,)) == []


def test_compressed_weights_that_nothing_chooses_are_told():
    told = "compressed weights of the hardware configuration are not searched: bits is not in tuning_scope"
    assert notes("layer", hardware="CPU-weights") == [told]


def test_a_pipeline_tells_of_its_stages_and_not_of_a_scope_that_they_replace():
    net = residual_model()
    assert pipeline(net, random_samples(net, 2), compression(tuning_scope=["layer"])).scope_notes() == ()
    assert len(pipeline(net, random_samples(net, 2), compression(tuning_scope=["bits"])).scope_notes()) == 1
