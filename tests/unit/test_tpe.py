"""TPE for all variables at once suggests what hyperopt's own suggests, and takes a time that follows from its work."""

import time

import numpy as np
import pytest
from hyperopt import JOB_STATE_DONE, STATUS_FAIL, STATUS_OK, Trials, hp, rand, tpe
from hyperopt.base import Domain
from hypothesis import given, settings
from hypothesis import strategies as st

from quantize_zoo.quantization import Branch, SearchSpace, Variable
from quantize_zoo.search import base_choices
from quantize_zoo.search.labels import below, labelled, roots
from quantize_zoo.search.tpe import Tpe

GAMMA = 0.3


def variables(depth):
    """Variables of one to nine branches, up to so many levels of others below them."""
    if depth == 0:
        branches = st.just(Branch(None))
    else:
        branches = st.lists(variables(depth - 1), max_size=2, unique_by=lambda each: each.name).map(
            lambda children: Branch(None, tuple(children))
        )
    names = st.text("abz019/=", min_size=1, max_size=3)
    return st.builds(Variable, names, st.lists(branches, min_size=1, max_size=9 if depth == 0 else 3).map(tuple))


SPACES = st.dictionaries(st.text("abz019/= ", min_size=1, max_size=3), variables(2), min_size=1, max_size=5).map(
    lambda operations: SearchSpace(operations, (Variable("step", (Branch(True), Branch(False))),))
)


class Hyperopt:
    """The same by hyperopt's own graph."""

    def __init__(self, space):
        self._domain = Domain(lambda choices: 0.0, [expression(*root) for root in roots(space).items()])
        self._trials = Trials()

    def observe(self, choices, loss):
        (ticket,) = self._trials.new_trial_ids(1)
        found = {label: ([ticket], [choices[label]]) if label in choices else ([], []) for label in self._domain.params}
        misc = {"tid": ticket, "cmd": self._domain.cmd, "workdir": None}
        misc |= {"idxs": {label: each for label, (each, _) in found.items()}}
        misc |= {"vals": {label: each for label, (_, each) in found.items()}}
        result = {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}
        (document,) = self._trials.new_trial_docs([ticket], [None], [result], [misc])
        self._trials.insert_trial_doc(document | {"state": JOB_STATE_DONE})
        self._trials.refresh()

    def suggest(self, seed, candidates, prior_weight=1.0):
        options = {"prior_weight": prior_weight, "n_EI_candidates": candidates, "n_startup_jobs": 0}
        return self._chosen(tpe.suggest, seed, **options, gamma=GAMMA, verbose=False)

    def random(self, seed):
        return self._chosen(rand.suggest, seed)

    def _chosen(self, suggest, seed, **options):
        (document,) = suggest(self._trials.new_trial_ids(1), self._domain, self._trials, seed, **options)
        return {label: int(chosen[0]) for label, chosen in document["misc"]["vals"].items() if len(chosen)}


def expression(label, variable):
    branches = [
        [expression(*item) for item in below(label, index, branch).items()]
        for index, branch in enumerate(variable.branches)
    ]
    return hp.choice(label, branches) if len(branches) > 1 else branches[0]


@settings(deadline=None, max_examples=30)
@given(SPACES, st.integers(0, 2**31), st.sampled_from([0, 1, 12, 26, 70]), st.sampled_from([1, 4, 24]))
def test_suggestions_are_hyperopts(space, seed, observed, candidates):
    ours, theirs = Tpe(space, GAMMA), Hyperopt(space)
    rng = np.random.default_rng(seed)
    for number in range(observed):
        choices = ours.random(seed + number)
        loss = None if rng.random() < 0.1 else float(np.round(rng.normal(), 1))  # equal ones among them
        for each in (ours, theirs):
            each.observe(choices, loss)
    assert ours.random(seed) == theirs.random(seed)
    weight = 1 / candidates
    assert ours.suggest(seed, candidates, prior_weight=weight) == theirs.suggest(seed, candidates, prior_weight=weight)


def test_what_is_given_besides_counts_as_observed_and_is_not_remembered():
    space = layers(12)
    one, other = Tpe(space, GAMMA), Tpe(space, GAMMA)
    for number in range(8):
        for each in (one, other):
            each.observe(each.random(number), float(number % 3))
    lies = [(one.random(50), 1.0), (one.random(51), None)]
    before = one.suggest(5, 24)
    told = one.suggest(5, 24, besides=lies)
    for lie in lies:
        other.observe(*lie)
    assert told == other.suggest(5, 24)
    assert one.suggest(5, 24) == before != told


def layers(count):
    """Operations with seven variables each, those of the estimators below ``quantize``."""
    leaves = [Variable(name, tuple(map(Branch, range(3)))) for name in ("min.type", "max.type", "max.aggregator")]
    tensors = tuple(Variable(name, (Branch(None, tuple(leaves)),)) for name in ("activations", "weights"))
    quantize = Variable("quantize", (Branch(True, tensors), Branch(False)))
    return SearchSpace({f"op{index}": quantize for index in range(count)})


@pytest.mark.parametrize("observed", [12, 60])
def test_suggestion_of_3500_variables_takes_less_than_hyperopts_of_105(observed):
    large, small = Tpe(layers(500), GAMMA), Hyperopt(layers(15))
    assert sum(len(each.branches) > 1 for each in labelled(layers(500)).values()) == 3500
    for number in range(observed):
        large.observe(base_choices(layers(500), {f"operation op{number}": 1}), float(number % 5))
        small.observe(base_choices(layers(15), {f"operation op{number % 15}": 1}), float(number % 5))
    assert min(seconds(large, seed) for seed in range(3)) < min(seconds(small, seed) for seed in range(3))


def seconds(each, seed):
    start = time.process_time()
    each.suggest(seed, 24)
    return time.process_time() - start
