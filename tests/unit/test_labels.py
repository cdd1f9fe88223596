"""Choices and options: what a sampler asked for can be read off the option that it made, whatever the scopes are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import compression, pipeline
from quantize_zoo.quantization import derive_space, option_hash
from quantize_zoo.search import base_choices, choices_of, option_of
from quantize_zoo.search.labels import labelled
from zoo import attention, residual_model

SCOPES = {
    "layers": {"tuning_scope": ["layer"]},
    "presets": {"tuning_scope": ["layer", "mode", "range_estimator"], "estimator_tuning_scope": ["preset"]},
    "all": {
        "tuning_scope": ["bits", "mode", "granularity", "layer", "range_estimator", "pipeline"],
        "estimator_tuning_scope": ["preset", "type", "aggregator", "outlier_prob"],
        "before": ["SmoothQuant"], "after": ["FastBiasCorrection"],
    },
    "types": {
        "tuning_scope": ["layer", "range_estimator"],
        "estimator_tuning_scope": ["type", "aggregator", "outlier_prob"],
        "range_estimator": {"max": {"type": "quantile", "outlier_prob": 0.02}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def spaces():
    found = {}
    for scope, params in SCOPES.items():
        for make in (residual_model, attention):
            compressed = compression(**params)
            built = pipeline(make(), [], compressed)
            space = derive_space(built.placement, built.base, compressed)
            found[scope, make.__name__] = space, built.base, labelled(space)
    return found


@pytest.mark.parametrize("make", ["residual_model", "attention"])
@pytest.mark.parametrize("scope", SCOPES)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_choices_of_an_option_make_that_option(spaces, scope, make, seed):
    space, base, variables = spaces[scope, make]
    rng = np.random.default_rng(seed)
    drawn = {label: int(rng.integers(len(variable.branches))) for label, variable in variables.items()}
    option = option_of(space, base, base_choices(space, drawn))
    found = choices_of(space, option)
    assert found is not None
    assert option_hash(option_of(space, base, found)) == option_hash(option)
    assert choices_of(space, option_of(space, base, found)) == found, "always the same ones"
    assert found == base_choices(space, found), "of all variables that there are"


def test_the_base_has_the_first_branches(spaces):
    for space, base, _ in spaces.values():
        assert choices_of(space, base) == base_choices(space)


def test_an_option_of_another_scope_has_none(spaces):
    space, _, _ = spaces["layers", "residual_model"]
    wide, base, variables = spaces["all", "residual_model"]
    other = option_of(wide, base, base_choices(wide, {label: 1 for label in variables if label.endswith(".type")}))
    assert choices_of(space, other) is None
