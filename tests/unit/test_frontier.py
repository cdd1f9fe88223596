"""What is known before the first trial: the frontier of savings and changes, and the walk along it to the target."""

import json
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import SYMMETRIC, Alone, cell_record, estimate, measurement, option, reference, trial
from modelled import PARAMS, Ending, Modelled, chain, searched, surveyed
from quantize_zoo.config import WeightCompression
from quantize_zoo.quantization import Branch, SearchSpace, preset_estimator
from quantize_zoo.report import make_run_report, render_cell, render_json
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import Frontier, OperationSurvey, Scored, Survey, TrialRecorder, run_stage
from quantize_zoo.search.frontier import speedup
from quantize_zoo.search.hopeless import FarOff, times_too_far
from quantize_zoo.search.linear_model import expected_improvement, total
from quantize_zoo.search.trial import Pruned
from quantize_zoo.search.walk import FrontierWalk, reaches_size, unreachable_size
from unit.test_gate_and_report import run_record
from unit.test_search import drained, layers, plan, space


def names(frontier, mask):
    return {name for name, each in zip(frontier.names, mask, strict=True) if each}


# --- the frontier


@pytest.mark.parametrize("level", [np.inf, 3e-4, 1e-4, 0.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_program_finds_what_trying_all_finds(seed, level):
    rng = np.random.default_rng(seed)
    operations = [
        surveyed(
            f"op{index}",
            [f"op{before}" for before in range(index) if rng.random() < 0.4],
            saved=float(rng.normal(3, 4)),
            change=float(rng.uniform(1e-5, 2e-4)),
            entering=float(rng.uniform(0, 3)),
            leaving=float(rng.uniform(-1, 3)),
        )
        for index in range(7)
    ]
    frontier = Frontier(operations)
    allowed = [np.array(each) for each in product([False, True], repeat=7) if frontier.change(np.array(each)) <= level]
    best = max(frontier.savings(each)[0] for each in allowed)
    found = frontier.fastest(level)
    assert frontier.change(found) <= level
    assert frontier.savings(found)[0] == pytest.approx(best, abs=1e-2)


def test_a_region_pays_where_its_borders_cost_less_than_it_saves():
    operations = chain(5, saved=lambda index: [-5, 4, 4, 4, -5][index], leaving=lambda _: 3.0, entering=lambda _: 3.0)
    frontier = Frontier(operations)
    assert names(frontier, frontier.fastest(np.inf)) == {"op1", "op2", "op3"}
    costly = Frontier(chain(5, saved=lambda index: [-5, 2, -5, 2, -5][index], leaving=lambda _: 3.0))
    assert not costly.fastest(np.inf).any()


def test_what_changes_most_for_its_time_goes_first():
    frontier = Frontier(chain(4, change=lambda index: [1e-2, 1e-5, 1e-5, 1e-5][index]))
    assert names(frontier, frontier.fastest(1e-3)) == {"op1", "op2", "op3"}


def test_an_operation_whose_change_is_not_known_counts_as_most_do():
    operations = chain(3, change=lambda index: [1e-4, None, 3e-4][index])
    assert Frontier(operations).changes[1] == pytest.approx(2e-4)


def test_500_operations_are_solved_in_a_moment():
    rng = np.random.default_rng(0)
    drawn = rng.uniform(0, 10, 500), rng.lognormal(-10, 2, 500)
    frontier = Frontier(chain(500, saved=lambda i: drawn[0][i], change=lambda i: drawn[1][i], entering=lambda _: 1.0))
    found = frontier.fastest(frontier.changes.sum() / 20)
    assert 0 < found.sum() < 500


# --- the walk


def test_where_the_base_is_far_off_the_walk_begins_with_what_changes_less():
    """The fastest choice leaves out what is slower, and has the operation that changes nearly all of the output."""
    operations = chain(
        6,
        saved=lambda index: [2, 2, 2, 2, 2, -3][index],
        change=lambda index: [1.4, 1e-4, 9e-5, 6e-5, 4e-5, 1e-6][index],
    )
    walk = walk_of(operations)
    walk.tell(tried(0, walk.frontier.names, 6, 0.84, 1.3), too_far=84.0)
    assert "op0" not in walk.next()
    near = walk_of(operations)
    near.tell(tried(0, near.frontier.names, 6, 0.012, 1.3))
    assert "op0" in near.next()


def walk_of(operations, params=PARAMS):
    count = len(operations)
    return FrontierWalk(Survey(tuple(operations), None, 0.0), option(*range(count), total=count), params)


def tried(number, quantized, total, lost, ratio):
    chosen = option(*(int(name.removeprefix("op")) for name in quantized), total=total)
    found = measurement(1 - lost, ratio)
    return trial(number, lost, ratio, chosen=chosen, measurement=found)


def test_the_walk_begins_with_the_fastest_and_ends_between_two_points():
    """The target allows a change of 1e-3, which nobody has told; operations change 2^-k."""
    operations = chain(12, change=lambda index: 2.0**-index)
    walk, found = walk_of(operations), []
    todo = frozenset(walk.frontier.names)  # the base, which is the fastest here
    while (quantized := todo or walk.next()) is not None:
        todo = None
        change = sum(each.change for each in operations if each.name in quantized)
        found.append(change)
        walk.tell(tried(len(found), quantized, 12, lost=0.0 if change < 0.1 else 0.05, ratio=1.5))
    assert found[0] == max(found)
    assert len(found) <= 8
    accurate = max(each for each in found if each < 0.1)
    inaccurate = min(each for each in found if each >= 0.1)
    assert inaccurate / accurate < 2.5


def test_the_walk_ends_at_once_where_the_fastest_is_accurate():
    walk = walk_of(chain(6))
    walk.tell(tried(0, walk.frontier.names, 6, lost=0.0, ratio=1.5))
    assert walk.next() is None


def test_trials_correct_what_was_surveyed():
    """Two operations that are said to save as much as the others save nothing."""
    operations = chain(6, saved=lambda _: 10.0)
    walk, rng = walk_of(operations), np.random.default_rng(1)
    true = np.array([10, 10, 0, 10, 0, 10]) / 120
    for number in range(14):
        mask = rng.random(6) < 0.6
        ratio = 1 / (1 - true[mask].sum())
        quantized = [f"op{index}" for index in np.flatnonzero(mask)]
        walk.tell(tried(number, quantized, 6, lost=0.0, ratio=float(ratio)))
    saved = walk.saved()[0]
    found = saved / saved[[0, 1, 3, 5]].mean()
    assert (found[[2, 4]] < 0.4).all()
    assert found[[0, 1, 3, 5]] == pytest.approx(1.0, abs=0.3)


def test_what_lies_beside_the_frontier_is_drawn_from_the_seed_and_never_twice():
    operations = chain(10, change=lambda index: 2.0**-index)
    drawn = []
    for _ in range(2):
        walk = walk_of(operations)
        walk.tell(tried(0, walk.frontier.names, 10, lost=0.02, ratio=1.5))
        drawn.append([walk.beside(np.random.default_rng(seed)) for seed in range(6)])
    assert drawn[0] == drawn[1]
    some = [each for each in drawn[0] if each is not None]
    assert len(some) == len(set(some)) > 1


def test_the_walk_learns_nothing_of_compressed_weights():
    walk = walk_of(chain(6))
    trials = [tried(number, {f"op{number}"}, 6, lost=0.5, ratio=0.5) for number in range(3)]
    before = walk.saved(), walk.bound()
    for each in trials:
        walk.tell(replace(each, option=compressed(each.option, "op5")))
    assert (walk.saved() == before[0]).all()
    assert walk.bound() == before[1]
    assert walk.beside(np.random.default_rng(0)) is None, "no loss is known"


def compressed(chosen, *operations):
    ways = {name: WeightCompression(bits=4, mode="symmetric") for name in operations}
    choices = {name: replace(each, compressed_weights=ways.get(name)) for name, each in chosen.operations.items()}
    return replace(chosen, operations=choices)


# --- the search with a survey


def test_a_search_with_a_survey_finds_the_best_within_few_trials():
    """Of 16 operations three lose, and one of these saves much."""
    saved = [0.04] * 16
    lost = [0.0] * 16
    for index, each in ((0, 0.02), (5, 0.008), (9, 0.004)):
        lost[index] = each
    changes = [max(each, 1e-5) ** 2 for each in lost]
    survey = Survey(tuple(chain(16, saved=lambda _: 4.0, fp32=lambda _: 6.25, change=lambda i: changes[i])), None, 0.0)
    found, _ = searched(Modelled(saved, lost), survey, until=10)
    within = [each.score.latency_ratio for each in found if each.score.accuracy_loss <= 0.01]
    assert max(within) == pytest.approx(1 / (1 - 0.04 * 15), rel=0.1)
    assert [each.kind for each in found[:2]] == ["base", "informed"]


class Estimated(Modelled):
    """Operations whose estimators are changed lose a share of what they lost."""

    def __init__(self, saved, lost, share):
        super().__init__(saved, lost)
        self._share = share

    def build(self, chosen):
        built, mask = super().build(chosen)
        default = preset_estimator(SYMMETRIC, "default", weights=True)
        left = [
            1.0 if choice.weights.range_estimator == default else self._share for choice in chosen.operations.values()
        ]
        return built, (mask, self._lost * left)

    def score(self, candidate, *, below=math.inf):
        mask, lost = candidate
        found = measurement(1 - float(lost[mask].sum()), 1)
        return Scored(found.accuracy, found.metrics, None, False, 0.0, 0.0)

    def measure(self, candidate):
        return super().measure(candidate[0])


def test_another_estimator_everywhere_is_tried_before_anything_is_left_out():
    """With it everything can be quantized, so there is nothing to walk for."""
    survey = Survey(tuple(chain(12, saved=lambda _: 4.0, fp32=lambda _: 8.0)), None, 0.0)
    found, _ = searched(Estimated([0.04] * 12, [0.002] * 12, share=0.25), survey, until=6, space=space(12))
    assert [each.score.accuracy_loss <= 0.01 for each in found[:2]] == [False, True]
    assert found[1].score.latency_ratio == found[0].score.latency_ratio
    assert found[1].measurement.latency_from == 0, "which costs no measurement"


def test_the_walk_goes_on_with_the_estimator_that_loses_less():
    survey = Survey(tuple(chain(12, saved=lambda _: 4.0, fp32=lambda _: 8.0)), None, 0.0)
    found, _ = searched(Estimated([0.04] * 12, [0.004] * 12, share=0.5), survey, until=12, space=space(12))
    within = max(each.score.latency_ratio for each in found if each.score.accuracy_loss <= 0.01)
    assert within >= 1 / (1 - 0.04 * 4) - 1e-9, "with it five can be quantized, without it two"


def test_where_nothing_pays_the_search_says_so_after_a_handful():
    operations = chain(12, saved=lambda _: -0.2, fp32=lambda _: 10.0)
    found, why = searched(Modelled([-0.002] * 12, [0.0] * 12, noise=0.001), Survey(tuple(operations), None, 0.0))
    assert why.startswith("no INT8 model is predicted to be more than 1.0")
    assert why.endswith("keep FP32")
    assert len(found) <= 8


def bad_and_good(saved, lost):
    """A survey that knows what is saved, and what is lost."""
    operations = chain(
        len(saved), saved=lambda i: 100 * saved[i], fp32=lambda _: 100 / len(saved), change=lambda i: lost[i] + 1e-6
    )
    return Survey(tuple(operations), None, 0.0)


def quantized(trial):
    return {name for name, choice in trial.option.operations.items() if choice.quantize}


@pytest.mark.parametrize("scorer", [Ending, Modelled], ids=["ended early", "scored on all samples"])
def test_where_all_that_saves_time_loses_the_accuracy_the_search_says_so_after_a_handful(scorer):
    saved, lost = [-0.001, -0.001, 0.15, 0.15, 0.15, 0.15, -0.001], [0.0, 0.0, 0.8, 0.8, 0.8, 0.8, 0.0]
    found, why = searched(scorer(saved, lost), bad_and_good(saved, lost))
    assert why.startswith("no INT8 model within the accuracy target is predicted to be more than 1.0")
    assert why.endswith("keep FP32")
    assert len(found) <= 9  # the last of them was asked for before the one that decided was told


def test_what_contains_a_hopeless_choice_is_not_tried_while_anything_else_is_left():
    saved, lost = [0.05] * 8, [0.0] * 8
    lost[3] = 0.8
    found, _ = searched(Ending(saved, lost), bad_and_good(saved, [0.0] * 8), until=30)
    far_off = []
    for each in found:
        assert not any(one <= quantized(each) for one in far_off)
        if each.pruned:
            far_off.append(quantized(each))
    best = max(each.score.latency_ratio for each in found if each.score and each.score.accuracy_loss <= 0.01)
    assert best == pytest.approx(1 / (1 - 0.05 * 7), rel=0.02)


def test_a_choice_that_another_estimator_makes_accurate_is_hopeless_no_more():
    walk = walk_of(chain(3))
    walk.tell(tried(0, walk.frontier.names, 3, 0.5, 2.0), too_far=10.0)
    assert walk.knows_inaccurate
    walk.tell(tried(1, walk.frontier.names, 3, 0.0, 2.0))
    assert not walk.knows_inaccurate
    walk.tell(tried(2, ["op1"], 3, 0.5, 1.2), too_far=10.0)
    assert not walk.knows_inaccurate, "something accurate contains it"


def test_what_is_accurate_by_another_estimator_clears_nothing_of_blame():
    for as_best in (True, False):
        walk = walk_of(chain(4, saved=lambda index: 6.0 if index == 3 else 2.0, fp32=lambda _: 10.0))
        walk.tell(tried(0, walk.frontier.names, 4, 0.5, 1.43), too_far=50.0)
        walk.tell(tried(1, ["op0", "op1", "op2"], 4, 0.0, 1.18), as_best=as_best)
        assert (walk.bound() < 1.3) == as_best, "without the fourth; else with all but one of the others"
        walk.tell(tried(2, walk.frontier.names, 4, 0.0, 1.43), as_best=False)
        assert not walk.knows_inaccurate, "whatever is accurate is not far off"


def test_what_is_drawn_is_expected_to_meet_the_target_and_to_save_more_than_what_did():
    """Operations save the same, and the survey expects all to lose the same; four of them lose most."""
    lost = np.where(np.arange(10) < 4, 0.008, 0.0005)
    walk = walk_of(chain(10, change=lambda _: 1e-3))
    walk.tell(tried(0, walk.frontier.names, 10, float(lost.sum()), 2.0))
    kept = []
    for number in range(1, 25):
        names = walk.beside(np.random.default_rng(number))
        if names is None:
            continue
        mask = walk.frontier.mask(names)
        walk.tell(tried(number, names, 10, float(lost[mask].sum()), float(walk.frontier.speedup(mask))))
        kept.append(names)
    met = [each for each in kept if lost[walk.frontier.mask(each)].sum() <= 0.01]
    assert max(met, key=len) == {"op4", "op5", "op6", "op7", "op8", "op9"}
    late = kept[len(kept) // 2 :]
    assert np.mean([lost[walk.frontier.mask(each)].sum() for each in late]) < 0.02


@pytest.mark.parametrize(
    ("mean", "error", "best"), [(0.2, 0.1, 0.25), (0.3, 0.05, 0.1), (0.1, 0.2, 0.1), (0.1, 0, 0.3)]
)
def test_expected_improvement_is_the_mean_of_what_is_beyond_the_best(mean, error, best):
    values = np.random.default_rng(0).normal(mean, error, 400_000)
    assert expected_improvement(mean, error, best) == pytest.approx(np.maximum(values - best, 0).mean(), abs=5e-4)


def test_a_total_is_that_of_correlated_operations():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    known = rng.normal(size=4), root @ root.T
    chosen = np.array([True, False, True, True])
    values = rng.multivariate_normal(*known, size=200_000)[:, chosen].sum(axis=1)
    assert total(known, chosen) == pytest.approx((values.mean(), values.std()), rel=0.01, abs=0.03)


def test_nothing_is_no_choice_that_is_tried_since_it_is_not_to_blame():
    walk = walk_of(chain(4, saved=lambda index: 6.0 if index == 3 else -2.0, fp32=lambda _: 10.0))
    walk.tell(tried(0, walk.frontier.names, 4, 0.5, 1.0), too_far=50.0)
    walk.tell(tried(1, ["op0", "op1", "op2"], 4, 0.0, 0.87))
    proposed = list(iter(walk.next, None))
    assert all(proposed), "FP32 is faster than all that is accurate"


@pytest.mark.parametrize("guilty", [(1,), (4,), (8,), (2, 9)])
def test_all_that_is_not_to_blame_is_quantized_once_it_is_known_what_is(guilty):
    """The survey expects others to lose more."""
    saved, lost = [0.05] * 12, [0.0] * 12
    for index in guilty:
        lost[index] = 0.8 / len(guilty)
    found, _ = searched(
        Ending(saved, lost), bad_and_good(saved, [0.001 * (index + 1) for index in range(12)]), until=14
    )
    best = max(each.score.latency_ratio for each in found if each.score and each.score.accuracy_loss <= 0.01)
    assert best == pytest.approx(1 / (1 - 0.05 * (12 - len(guilty))))


def test_operations_that_were_not_surveyed_may_be_what_loses():
    """Those of bodies; the base quantizes them, so that every choice of the walk does."""
    walk = FrontierWalk(Survey(tuple(chain(3)), None, 0.0), option(0, 1, 2, 3, total=4), PARAMS)
    for number, names in enumerate((["op0", "op1", "op2", "op3"], ["op0", "op3"], ["op3"])):
        walk.tell(tried(number, names, 4, 0.5, 1.2), too_far=10.0)
    assert not walk.knows_inaccurate
    assert walk.bound() > 1.2


def test_a_search_of_which_a_body_loses_the_accuracy_finds_what_is_faster_without_it():
    saved, lost = [0.06] * 6, [0.0] * 5 + [0.3]
    surveyed_only = bad_and_good(saved, lost)
    survey = replace(surveyed_only, operations=surveyed_only.operations[:5])
    recorder = TrialRecorder(PARAMS, 1.0)
    planned = replace(plan(operations=6, until=40, space=layers(6)), survey=survey)
    found, _ = drained(run_stage(planned, recorder, 0, Alone(Ending(saved, lost))))
    assert max(each.score.latency_ratio for each in found if each.score and each.score.accuracy_loss <= 0.01) > 1.2


def test_a_far_off_trial_that_was_measured_confirms_once():
    walk = walk_of(chain(8, saved=lambda _: -0.2, fp32=lambda _: 10.0))
    walk.tell(tried(0, walk.frontier.names, 8, 0.5, 0.99), too_far=10.0)
    walk.tell(tried(1, ["op0", "op1"], 8, 0.5, 0.99), too_far=10.0)
    walk.tell(tried(2, ["op2"], 8, 0.0, 0.99))
    assert not walk.cannot_pay()


@pytest.mark.parametrize(
    ("loss", "half", "early", "measured", "expected"),
    [
        (0.5, 0.05, False, (), True),
        (0.012, 0.001, False, (), False),  # surely beyond, and not far
        (0.05, 0.045, False, (), False),  # far, and not surely
        (0.05, None, False, (), True),
        (0.03, None, True, (), True),
        (0.03, None, True, ("s1",), False),  # perhaps others of the structure were more accurate
    ],
)
def test_far_off_is_what_surely_loses_twice_what_is_allowed(loss, half, early, measured, expected):
    interval = None if half is None else estimate(loss, half, "")
    found = trial(1, loss, 1.5, measurement=replace(measurement(1 - loss, 1.5), accuracy_loss=interval))
    if early:
        found = replace(found, measurement=None, score=None, pruned=Pruned(estimate(1 - loss, 0.1, ""), loss))
    assert bool(times_too_far(found, PARAMS, measured)) == expected
    assert not times_too_far(replace(found, failure="it died", measurement=None, score=None, pruned=None), PARAMS, ())


CHOICES = st.frozensets(st.integers(0, 5))


@given(st.lists(st.tuples(CHOICES, st.sampled_from(["accurate", "far off", "neither"]))), CHOICES)
def test_what_contains_something_far_off_is_so_unless_something_accurate_contains_that(told, asked):
    found = FarOff()
    for choice, outcome in told:
        found.tell(choice, accurate=outcome == "accurate", times=float(outcome == "far off"))
    accurate = [choice for choice, outcome in told if outcome == "accurate"]
    far_off = [choice for choice, outcome in told if outcome == "far off" and not any(map(choice.issubset, accurate))]
    assert found.has(asked) == any(each <= asked for each in far_off)
    assert all(one == other or not one <= other for one in found.smallest for other in found.smallest)
    assert len(set(found.smallest)) == len(found.smallest)
    assert not found.blames, "of what loses little more than is allowed nothing is taken away"
    found.forget()
    assert not found.has(asked)


@given(st.lists(st.tuples(CHOICES, st.none() | st.floats(1, 100))), CHOICES)
def test_what_is_to_blame_is_in_what_was_far_off_and_in_nothing_accurate(told, asked):
    found = FarOff()
    for choice, times in told:
        found.tell(choice, accurate=times is None, times=times or 0.0)
    accurate = [choice for choice, times in told if times is None]
    far_off = [choice for choice, times in told if times and not any(map(choice.issubset, accurate))]
    assert not any(each <= other for each in found.smallest for other in accurate)
    assert all(map(found.has, far_off))
    assert all(any(each <= one for one in far_off) for each in found.smallest)
    assert not any(map(found.has, accurate))


@given(st.sets(CHOICES, min_size=1), st.integers(0, 5))
def test_one_choice_that_loses_all_is_found_to_be_to_blame(tried, guilty):
    found = FarOff()
    for choice in tried:
        found.tell(choice, accurate=guilty not in choice, times=100.0)
    assert all(guilty in each for each in found.smallest), "none of the others"
    cleared = frozenset[int]().union(*(each for each in tried if guilty not in each))
    known = any(each - {guilty} <= cleared for each in tried if guilty in each)
    assert (found.smallest == [frozenset([guilty])]) == known


def test_accurate_sets_that_lose_together_clear_nothing_by_themselves():
    found = FarOff()
    for choice in ("ab", "cd"):
        found.tell(frozenset(choice), accurate=True, times=0.0)
    found.tell(frozenset("abcd"), accurate=False, times=100.0)
    assert found.smallest == [frozenset("abcd")], "whatever loses, it loses only beside others"
    found.tell(frozenset("abcdef"), accurate=False, times=8.0)
    found.tell(frozenset("bcef"), accurate=False, times=8.0)
    assert frozenset("cef") in found.smallest, (
        "of eight times one set is taken away: twice as often nine would be needed"
    )


@pytest.mark.parametrize(("operations", "most"), [(1, 2), (2, 5)])
def test_of_few_operations_as_many_structures_as_there_are_say_that_nothing_pays(operations, most):
    survey = Survey(tuple(chain(operations, saved=lambda _: -0.2, fp32=lambda _: 10.0)), None, 0.0)
    found, why = searched(Modelled([-0.02] * operations, [0.0] * operations), survey, space=space(operations))
    assert why.endswith("keep FP32")
    assert len(found) <= most


def test_a_frontier_of_no_operations_chooses_nothing():
    frontier = Frontier([])
    assert not frontier.fastest(np.inf).any()
    assert frontier.change(frontier.mask(["gone"])) == 0
    assert frontier.speedup(frontier.mask([])) == 1


def sized(index):
    """The first is half of all weights and changes the most."""
    return 1100 if index == 0 else 100


def test_under_a_target_of_size_the_frontier_is_of_what_is_small_enough():
    operations = [replace(each, saved_bytes=sized(index)) for index, each in enumerate(chain(12))]
    changes = [replace(each, change=1e-1 if index == 0 else 1e-4) for index, each in enumerate(operations)]
    plain, small = Frontier(changes), Frontier(changes, least_bytes=1500)
    assert names(plain, plain.fastest(1e-2)) == {f"op{index}" for index in range(1, 12)}
    assert not small.fastest(1e-2).any(), "without the first it does not become so small"
    assert "op0" in names(small, small.fastest(np.inf))
    slow = np.full((1, 12), -1.0)
    assert len(names(small, small.fastest(np.inf, slow))) == 5, "the first and four others, none of which saves time"
    assert not plain.fastest(np.inf, slow).any()
    assert len(names(plain, Frontier(changes, least_bytes=1e9).fastest(1e-2))) == 11, (
        "what is out of reach is not asked"
    )


def test_under_a_target_of_size_the_walk_proposes_nothing_that_is_too_large():
    operations = [
        replace(each, saved_bytes=sized(index)) for index, each in enumerate(chain(12, change=lambda i: 2.0**-i))
    ]
    survey = Survey(tuple(operations), None, 0.0, fp32_bytes=3000)
    params = PARAMS.model_copy(update={"size_reduce": 2.0})
    walk = FrontierWalk(survey, option(*range(12), total=12), params)
    for number in range(12):
        walk.tell(tried(number, {f"op{each}" for each in range(12 - number)}, 12, 0.05, 1.2))
        for proposed in (walk.next(), walk.beside(np.random.default_rng(number))):
            assert proposed is None or sum(sized(int(name[2:])) for name in proposed) >= 1500


@pytest.mark.parametrize(("wanted", "told"), [(None, ""), (2.0, ""), (20.0, "at most"), (4.0, "")])
def test_a_size_that_no_choice_reaches_is_told_before_the_first_trial(wanted, told):
    operations = [replace(each, saved_bytes=750) for each in chain(3)]
    found = unreachable_size(
        Survey(tuple(operations), None, 0.0, fp32_bytes=3000), PARAMS.model_copy(update={"size_reduce": wanted})
    )
    assert bool(found) == bool(told)
    assert not told or "weights are 4.00 times smaller than FP32's, 20 times are wanted" in found


def test_what_is_not_faster_may_be_wanted_for_its_size():
    operations = chain(12, saved=lambda _: -0.2, fp32=lambda _: 10.0)
    params = PARAMS.model_copy(update={"size_reduce": 2.0})
    scorer = Modelled([-0.002] * 12, [0.0] * 12, noise=0.001)
    found, why = searched(scorer, Survey(tuple(operations), None, 0.0), until=12, params=params)
    assert (len(found), why) == (12, "")


def test_where_weights_may_be_compressed_int8_that_does_not_pay_ends_nothing():
    operations = chain(12, saved=lambda _: -0.2, fp32=lambda _: 10.0)
    weights = Branch(WeightCompression(bits=4, mode="symmetric"))
    offered = SearchSpace(
        {name: replace(each, branches=(*each.branches, weights)) for name, each in layers(12).operations.items()}
    )
    scorer = Modelled([-0.002] * 12, [0.0] * 12, noise=0.001)
    found, why = searched(scorer, Survey(tuple(operations), None, 0.0), until=20, space=offered)
    assert (len(found), why) == (20, "")
    assert any(each.option.has_compressed_weights for each in found)


def test_where_int8_cannot_be_small_enough_the_search_begins_with_compressed_weights():
    operations = tuple(replace(each, saved_bytes=75) for each in chain(12))
    weights = Branch(WeightCompression(bits=4, mode="symmetric"))
    offered = SearchSpace(
        {name: replace(each, branches=(*each.branches, weights)) for name, each in layers(12).operations.items()}
    )
    params = PARAMS.model_copy(update={"size_reduce": 5.0})
    scorer = Modelled([0.0] * 12, [0.001] * 12)
    found, _ = searched(scorer, Survey(operations, None, 0.0, fp32_bytes=1200), until=10, space=offered, params=params)
    assert all(each.compressed_weights for each in found[1].option.operations.values())
    small = params.model_copy(update={"size_reduce": 4.0})
    assert reaches_size(Survey(operations, None, 0.0, fp32_bytes=1200), small)


def test_where_something_pays_the_search_goes_on():
    operations = chain(12, saved=lambda _: 3.0, fp32=lambda _: 10.0)
    found, why = searched(Modelled([0.02] * 12, [0.0] * 12), Survey(tuple(operations), None, 0.0))
    assert (len(found), why) == (40, "")


def test_a_wrong_survey_costs_trials_and_not_the_result():
    """It says that the operations that save are those that do not, and that those lose that do not."""
    saved, lost = [0.05] * 6 + [0.0] * 6, [0.0] * 6 + [0.02] * 6
    operations = chain(12, saved=lambda i: 0.1 if i < 6 else 5.0, change=lambda i: 1e-2 if i < 6 else 1e-6)
    found, _ = searched(Modelled(saved, lost), Survey(tuple(operations), None, 0.0))
    within = [each.score.latency_ratio for each in found if each.score and each.score.accuracy_loss <= 0.01]
    assert max(within) > 1.25


def test_speedup_is_bounded():
    assert speedup(100.0, 50.0) == 2.0
    assert speedup(100.0, 200.0) == 100.0


# --- what is told of it


def test_the_page_holds_what_was_predicted_against_what_was_measured():
    survey = Survey(tuple(chain(4, change=lambda index: 10.0 ** (index - 6))), Estimate(1.9, 1.8, 2.0, "x", 6), 3.0)
    chosen = [(0, 1, 2, 3), (0, 1, 2), (0, 1), (0,), (1, 2), (1,)]
    trials = [
        trial(number, 0.001 * sum(each), 1 + len(each) / 5, chosen=option(*each)) for number, each in enumerate(chosen)
    ]
    cell = cell_record(trials, reference=reference(survey=survey))
    report = make_run_report(run_record(cell))
    found = report.cells[0].predictions
    assert found.trials[0].predicted_speedup == pytest.approx(80 / 40)
    assert found.gain_correlation == pytest.approx(1.0, abs=0.05)
    assert found.loss_correlation > 0.8
    page = render_cell(report, report.cells[0])
    assert "1.90 [1.80, 2.00] times as fast as FP32" in page
    assert "Rank correlation of predicted and measured: gain" in page
    assert page.count('class="predicted_') == 2
    assert json.loads(render_json(report))["cells"][0]["predictions"]["trials"][5]["trial"] == 5


@pytest.mark.parametrize(
    ("scored_on", "why"), [("", "all of them are below its clock's microsecond"), ("CPU", "the device is not here")]
)
def test_times_that_nobody_measured_are_told_nowhere(scored_on, why):
    """As of a model whose layers all take less than the microsecond of the plugin's clock."""
    alike = Estimate(1.0, None, None, "us", 0)
    survey = Survey((OperationSurvey("op0", (), 1.0, 0.0, alike, 0.0, 0.0, 2e-4),), None, 3.0)
    known = reference(survey=survey, scored_on=scored_on)
    report = make_run_report(run_record(cell_record([trial(0, 0.0, 1.0)], reference=known)))
    page = render_cell(report, report.cells[0])
    section = page[page.index('id="survey"') : page.index("</section>", page.index('id="survey"'))]
    assert "No times are known, since" in section
    assert f"{why}: each operation counts the same" in section.replace("&#39;", "'")
    assert "What quantizing each of 1 operation changes" in section
    assert "saved (µs)" not in section
    told = json.loads(render_json(report))["cells"][0]["reference"]["survey"]
    assert [told[each] for each in ("fp32_us", "int8_us", "entering_us", "leaving_us")] == [[None]] * 4
    assert told["output_change"] == [2e-4]


def test_of_compressed_weights_nothing_was_predicted():
    survey = Survey(tuple(chain(4)), Estimate(1.9, 1.8, 2.0, "x", 6), 3.0)
    trials = [trial(0, 0.0, 1.5, chosen=option(0, 1)), trial(1, 0.0, 1.5, chosen=compressed(option(0), "op1"))]
    report = make_run_report(run_record(cell_record(trials, reference=reference(survey=survey))))
    assert [each.trial for each in report.cells[0].predictions.trials] == [0]


def test_of_a_search_without_a_survey_nothing_was_predicted():
    report = make_run_report(run_record(cell_record([trial(0, 0.0, 1.5)])))
    assert report.cells[0].predictions is None
    assert "Known before the first trial" not in render_cell(report, report.cells[0])
