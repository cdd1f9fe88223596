"""The objective's ranking, the sampler and the trial loop."""

import itertools

import pytest

from builders import SYMMETRIC, measurement, option, trial
from quantize_zoo import errors
from quantize_zoo.config import OptimizerParams
from quantize_zoo.errors import CellError, WorkerDiedError
from quantize_zoo.quantization import Branch, SearchSpace, Variable, preset_estimator
from quantize_zoo.search import SearchPlan, TpeSampler, best_trial, iterate_trials, pareto_front

PARAMS = OptimizerParams(accuracy_loss=1.0, latency_reduce=1.2, max_trials=8)


def borders(estimator):
    return tuple(
        Variable(f"{name}.type", (Branch(border.type),))
        for name, border in (("min", estimator.min), ("max", estimator.max))
        if border
    )


def tensor(name):
    presets = [preset_estimator(SYMMETRIC, preset, weights=name == "weights") for preset in ("default", "quantile")]
    estimator = Variable("estimator", tuple(Branch(each, borders(each)) for each in presets))
    return Variable(name, (Branch(SYMMETRIC, (estimator,)),))


def space(count=6):
    quantized = Branch(True, (tensor("activations"), tensor("weights")))
    return SearchSpace({f"op{index}": Variable("quantize", (quantized, Branch(False))) for index in range(count)})


def plan(params=PARAMS, operations=4, **changes):
    base = option(*range(operations), total=operations)
    values = {"base": base, "space": space(operations), "fp32_accuracy": 1.0, "params": params, "seed": 3}
    return SearchPlan(**{**values, **changes})


def quantized(chosen):
    return sum(choice.quantize for choice in chosen.operations.values())


def test_best_is_the_fastest_within_the_accuracy_target():
    trials = [trial(0, 0.02, 2.0), trial(1, 0.009, 1.5), trial(2, 0.0, 1.4)]
    assert best_trial(trials, PARAMS).number == 1


def test_tie_in_latency_goes_to_the_more_accurate():
    assert best_trial([trial(0, 0.005, 1.5), trial(1, 0.001, 1.5)], PARAMS).number == 1


def test_best_outside_the_target_has_the_lowest_loss():
    trials = [trial(0, 0.05, 2.0, loss=90.0), trial(1, 0.02, 1.0, loss=85.0)]
    assert best_trial(trials, PARAMS).number == 1


def test_no_best_without_a_measured_trial():
    assert best_trial([trial(0, 0, 1, score=None, loss=None, measurement=None, failure="broken")], PARAMS) is None


def test_pareto_front_has_what_nothing_beats_in_both():
    trials = [trial(0, 0.02, 2.0), trial(1, 0.01, 1.5), trial(2, 0.015, 1.4), trial(3, 0.0, 1.0)]
    trials.append(trial(4, 0.01, 1.5, reused_from=1))
    assert [each.number for each in pareto_front(trials)] == [0, 1, 3]


def ask_and_tell(seed, count, losses=None):
    sampler = TpeSampler(space(), seed)
    sampler.observe_base(6.0)
    asked = []
    for index in range(count):
        ticket, choices = sampler.ask()
        asked.append(choices)
        value = sum(choice["value"] for choice in choices.operations.values())
        sampler.tell(ticket, losses[index] if losses else float(value))
    return asked


def test_same_seed_and_losses_ask_the_same():
    assert ask_and_tell(5, 15) == ask_and_tell(5, 15)
    assert ask_and_tell(5, 15) != ask_and_tell(6, 15)


def test_estimators_are_chosen_for_quantized_operations_only():
    for choices in ask_and_tell(1, 12):
        for choice in choices.operations.values():
            assert choice.keys() == ({"value", "activations", "weights"} if choice["value"] else {"value"})


def test_sampler_learns_what_is_good():
    for seed in range(3):
        asked = ask_and_tell(seed, 50)
        counts = [sum(choice["value"] for choice in choices.operations.values()) for choices in asked]
        # The loss is the number of quantized operations; random choices have three of six.
        assert sum(counts[-20:]) / 20 < 2.2


def test_failed_trials_do_not_stop_the_sampler():
    assert len(ask_and_tell(1, 14, [None, 1.0] * 7)) == 14


def test_space_without_choices_says_so():
    fixed = SearchSpace({f"op{index}": Variable("quantize", (Branch(False),)) for index in range(4)})
    assert not fixed.has_choices
    assert [each.kind for each in iterate_trials(plan(space=fixed), lambda chosen: measurement(0.99, 1.1))] == ["base"]


def test_first_trial_is_the_base_and_max_trials_counts_it():
    found = list(iterate_trials(plan(), lambda chosen: measurement(0.99, 1.0 + quantized(chosen) / 10)))
    assert len(found) == PARAMS.max_trials
    assert found[0].kind == "base"
    assert quantized(found[0].option) == 4
    assert [each.number for each in found] == list(range(8))


def test_known_configuration_is_not_evaluated_again():
    evaluated = []

    def evaluate(chosen):
        evaluated.append(chosen)
        return measurement(0.99, 1.1)

    params = PARAMS.model_copy(update={"max_trials": 30})
    found = list(iterate_trials(plan(params, operations=1), evaluate))
    assert len(found) == 30
    repeated = [each for each in found if each.reused_from is not None]
    assert len(evaluated) == 30 - len(repeated) <= 5
    assert all(each.measurement == found[each.reused_from].measurement for each in repeated)


def test_failure_of_one_option_is_a_failed_trial():
    calls = itertools.count()

    def evaluate(chosen):
        if next(calls) == 2:
            raise errors.inference_failed("compiling", "no kernel")
        return measurement(0.99, 1.1)

    found = list(iterate_trials(plan(), evaluate))
    failed = [each for each in found if each.failure]
    assert "no kernel" in failed[0].failure
    assert failed[0].loss is None
    assert len(found) == 8


def test_failure_of_the_base_ends_the_search():
    def evaluate(chosen):
        raise errors.inference_failed("compiling", "no kernel")

    with pytest.raises(CellError, match="no kernel"):
        list(iterate_trials(plan(), evaluate))


def test_dead_worker_ends_the_search_but_not_what_was_finished():
    calls = itertools.count()

    def evaluate(chosen):
        if next(calls) == 2:
            raise errors.worker_died("SIGKILL")
        return measurement(0.99, 1.1)

    found = []
    with pytest.raises(WorkerDiedError):
        found.extend(iterate_trials(plan(), evaluate))
    trials = iterate_trials(plan(), lambda chosen: measurement(0.99, 1.1))
    assert next(trials).number == 0


def test_time_limit_ends_the_search_after_a_trial():
    params = PARAMS.model_copy(update={"max_minutes": 1e-9, "max_trials": 100})
    assert len(list(iterate_trials(plan(params), lambda chosen: measurement(0.99, 1.1)))) == 1
