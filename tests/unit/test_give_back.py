"""Accuracy-aware quantization: layers are given back by rank, kept back where that helps, and taken back."""

import math
from dataclasses import replace

import pytest

from builders import SYMMETRIC, Alone, Scorer, option
from quantize_zoo.config import GiveBack, OptimizerParams
from quantize_zoo.errors import CellError
from quantize_zoo.quantization import Branch, SearchSpace, Variable, preset_estimator
from quantize_zoo.search import Built, StagePlan, TrialRecorder, best_trial, change_whole_model, is_met
from quantize_zoo.search.give_back import give_back

PARAMS = OptimizerParams(accuracy_loss=1.0, holdout=0, max_trials=1000)
LAYERS = ("op0", "op1", "op2", "op3")
BASE = option(*range(len(LAYERS)), total=len(LAYERS))


class Lossy(Scorer):
    """Loses what each quantized layer loses; what a layer costs to give back is the same for all."""

    def __init__(self, lost, fail=lambda names: None, preset="default"):
        super().__init__()
        self._lost, self._fail, self._preset = lost, fail, preset

    def build(self, chosen):
        quantized = frozenset(name for name, choice in chosen.operations.items() if choice.quantize)
        if (failure := self._fail(quantized)) is not None:
            raise CellError(failure)
        estimators = [choice.activations.range_estimator for choice in chosen.operations.values()]
        better = preset_estimator(SYMMETRIC, self._preset, weights=False) == estimators[0]
        name = f"{sorted(quantized)} {better}"
        return Built(name, name, 0.01), (quantized, better)

    def score(self, candidate, *, below=math.inf):
        quantized, better = candidate
        accuracy = 1.0 - sum(self._lost[name] for name in quantized) * (1 if better else 2)
        self._accuracy = lambda _: accuracy
        return super().score(0, below=below)

    def measure(self, candidate):
        return super().measure(len(candidate[0]))


def plan(errors, space=None):
    return StagePlan(0, BASE, space or SearchSpace({}), 1000, dict.fromkeys(LAYERS, "Convolution"), errors)


def searched(lost, errors, terms=GiveBack(), fail=lambda names: None):  # noqa: B008 -- frozen
    kept = TrialRecorder(PARAMS, 1.0, prunes=False)
    return list(give_back(plan(errors), terms, kept, Alone(Lossy(lost, fail)))), kept


def left(trial):
    """The layers that a trial leaves in floating point."""
    return {name for name, choice in trial.option.operations.items() if not choice.quantize}


def test_no_trial_is_ended_early():
    kept, lossy = TrialRecorder(PARAMS, 1.0, prunes=False), Lossy(dict.fromkeys(LAYERS, 0.03))
    list(give_back(plan({}), GiveBack(), kept, Alone(lossy)))
    assert not any(lossy.prune)


def test_a_base_that_is_accurate_enough_is_all():
    trials, _ = searched(dict.fromkeys(LAYERS, 0.002), {})
    assert [trial.kind for trial in trials] == ["base"]


def test_layers_are_given_back_by_the_rank_of_their_errors_until_the_accuracy_is_met():
    lost = {"op0": 0.0, "op1": 0.008, "op2": 0.03, "op3": 0.01}
    trials, _ = searched(lost, {"op3": 0.2, "op2": 0.5, "op1": 0.1})
    assert [left(trial) for trial in trials] == [set(), {"op2"}, {"op2", "op3"}, {"op3"}]
    assert best_trial(trials, PARAMS) is trials[2]


def test_a_layer_that_the_target_does_not_need_is_quantized_again():
    lost = {"op0": 0.0, "op1": 0.0, "op2": 0.03, "op3": 0.0}
    trials, _ = searched(lost, {"op0": 0.9, "op1": 0.8, "op2": 0.7})
    assert left(trials[3]) == {"op0", "op1", "op2"}
    assert [left(trial) for trial in trials[4:]] == [{"op0", "op2"}, {"op2"}]
    assert left(best_trial(trials, PARAMS)) == {"op2"}


@pytest.mark.parametrize(("steps_back", "second"), [(True, {"op1"}), (False, {"op0", "op1"})])
def test_a_layer_whose_return_makes_it_worse_is_quantized_again_unless_told_otherwise(steps_back, second):
    lost = {"op0": -0.01, "op1": 0.03, "op2": 0.0, "op3": 0.0}
    trials, _ = searched(lost, {"op0": 0.9, "op1": 0.8}, GiveBack(steps_back=steps_back))
    assert left(trials[1]) == {"op0"}
    assert left(trials[2]) == second


def test_at_most_so_many_layers_are_tried():
    trials, kept = searched(dict.fromkeys(LAYERS, 0.03), {}, GiveBack(most=2))
    assert [len(left(trial)) for trial in trials] == [0, 1, 2]
    assert not is_met(trials, kept)


def test_fp32_itself_is_no_trial_whatever_is_lost():
    trials, kept = searched(dict.fromkeys(LAYERS, 0.5), {})
    assert max(len(left(trial)) for trial in trials) == len(LAYERS) - 1
    assert not is_met(trials, kept)


def test_layers_are_quantized_from_nothing_where_the_last_one_was_the_harmful_one():
    lost = {"op0": 0.0, "op1": 0.0, "op2": 0.0, "op3": 0.5}
    trials, kept = searched(lost, {"op0": 0.9, "op1": 0.8, "op2": 0.7})
    assert is_met(trials, kept)
    assert left(best_trial(trials, PARAMS)) == {"op3"}


def test_what_was_kept_back_comes_last_where_the_target_needs_it():
    lost = {"op0": -0.01, "op1": -0.01, "op2": -0.01, "op3": 0.045}
    trials, kept = searched(lost, {"op0": 0.9, "op1": 0.8, "op2": 0.7})
    assert is_met(trials, kept) is True
    assert left(best_trial(trials, PARAMS)) == {"op3"}


def test_a_trial_that_fails_is_no_layer_given_back():
    lost = {"op0": 0.0, "op1": 0.03, "op2": 0.0, "op3": 0.0}
    failing = {"op1", "op2", "op3"}
    trials, kept = searched(
        lost, {"op0": 0.9, "op1": 0.8}, fail=lambda names: "cannot be compiled" if names == failing else None
    )
    assert trials[1].failure == "cannot be compiled"
    assert left(trials[2]) == {"op1"}
    assert is_met(trials, kept)


def test_a_base_that_fails_ends_the_search():
    with pytest.raises(CellError, match="cannot be compiled"):
        searched(dict.fromkeys(LAYERS, 0.0), {}, fail=lambda names: "cannot be compiled")


def whole_model_space():
    presets = [preset_estimator(SYMMETRIC, preset, weights=False) for preset in ("default", "quantile")]
    kinds = tuple(
        Branch(
            each,
            tuple(
                Variable(f"{name}.type", (Branch(border.type),))
                for name, border in (("min", each.min), ("max", each.max))
                if border
            ),
        )
        for each in presets
    )
    activations = Variable("activations", (Branch(SYMMETRIC, (Variable("estimator", kinds),)),))
    weights = Variable("weights", (Branch(SYMMETRIC, (Variable("estimator", kinds[:1]),)),))
    return SearchSpace({name: Variable("quantize", (Branch(True, (activations, weights)),)) for name in LAYERS})


@pytest.mark.parametrize(("changes", "trials"), [((), 1), (("estimator",), 2), (("activations",), 1)])
def test_the_whole_model_is_changed_in_what_the_terms_name(changes, trials):
    kept = TrialRecorder(PARAMS, 1.0, prunes=False)
    lossy = Lossy(dict.fromkeys(LAYERS, 0.004), preset="quantile")  # too much as the base is
    found = list(change_whole_model(plan({}, whole_model_space()), GiveBack(changes=changes), kept, Alone(lossy)))
    assert len(found) == trials


@pytest.mark.parametrize(("changes", "trials"), [(("pipeline",), 3), (("estimator",), 1)])
def test_steps_are_left_out_even_where_the_base_is_accurate_enough(changes, trials):
    kept = TrialRecorder(PARAMS, 1.0, prunes=False)
    space = whole_model_space()
    steps = ("ActivationChannelAlignment", "FastBiasCorrection")
    space = SearchSpace(space.operations, tuple(Variable(each, (Branch(True), Branch(False))) for each in steps))
    planned = replace(plan({}, space), base=replace(BASE, steps=steps))
    lossy = Lossy(dict.fromkeys(LAYERS, 0.0))
    found = list(change_whole_model(planned, GiveBack(changes=changes), kept, Alone(lossy)))
    assert [set(steps) - set(trial.option.steps) for trial in found] == [set(), {steps[0]}, {steps[1]}][:trials]
