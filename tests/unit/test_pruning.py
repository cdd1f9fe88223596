"""The sequential test that ends hopeless trials: its error rate by simulation, and that it ends them early."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize_zoo.cell.candidates import CellCandidates, Fp32
from quantize_zoo.scoring import split_samples
from quantize_zoo.search import ERROR_RATE, SequentialTest, can_prune


def answers(rng, count, fp32, lost, won):
    """Answers of FP32, and of a candidate that loses and wins exactly so many of them, in random order."""
    reference = np.zeros(count)
    reference[: round(fp32 * count)] = 1
    candidate = reference.copy()
    candidate[:lost] = 0
    candidate[count - won :] = 1
    order = rng.permutation(count)
    return reference[order], candidate[order]


def ended_after(reference, candidate, allowed):
    """The number of samples after which the trial was ended, None if it was not."""
    test = SequentialTest(reference, allowed)
    return next((seen for seen, value in enumerate(candidate, start=1) if test.is_hopeless(value)), None)


@pytest.mark.parametrize(("count", "lost", "won"), [(300, 6, 3), (840, 9, 5), (840, 60, 56), (1000, 15, 10)])
def test_trial_that_just_meets_the_target_is_hardly_ever_ended(count, lost, won):
    """The hardest case: the loss over all samples is exactly the allowed one."""
    rng = np.random.default_rng(0)
    runs = 600
    ended = 0
    for _ in range(runs):
        reference, candidate = answers(rng, count, 0.9, lost, won)
        ended += ended_after(reference, candidate, (lost - won) / count) is not None
    # The margin is three standard errors of the simulation.
    assert ended / runs <= ERROR_RATE + 3 * np.sqrt(ERROR_RATE / runs)


def test_error_rate_holds_for_continuous_metrics():
    rng = np.random.default_rng(1)
    runs, ended = 600, 0
    for _ in range(runs):
        reference = rng.beta(8, 2, 400)
        candidate = np.clip(reference - rng.exponential(0.05, 400), 0, 1)
        ended += ended_after(reference, candidate, (reference - candidate).mean()) is not None
    assert ended / runs <= ERROR_RATE + 3 * np.sqrt(ERROR_RATE / runs)


@pytest.mark.parametrize(("lost", "share"), [(0.05, 0.75), (0.1, 0.4), (0.3, 0.12)])
def test_hopeless_trial_is_ended_early(lost, share):
    """Target 0.5 %: the larger the loss, the fewer samples are needed."""
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(100):
        reference, candidate = answers(rng, 840, 0.97, round(lost * 840), 2)
        seen.append(ended_after(reference, candidate, 0.005 * 0.97) or 840)
    assert np.median(seen) / 840 <= share


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
def test_candidate_that_gains_is_never_ended_for_certain(pairs):
    reference, candidate = (np.array(values, float) for values in zip(*pairs, strict=True))
    candidate = np.maximum(reference, candidate)
    assert ended_after(reference, candidate, 0.0) is None


def test_loss_beyond_what_is_allowed_in_all_is_certain():
    reference = np.ones(10)
    assert ended_after(reference, np.zeros(10), 0.1) <= 6


def test_value_outside_the_bounds_ends_nothing():
    test = SequentialTest(np.ones(100), 0.0)
    assert not any(test.is_hopeless(value) for value in [2.0, *np.zeros(99)])


@pytest.mark.parametrize(
    ("values", "value", "usable"),
    [([1.0, 0.0, 1.0, 1.0], 0.75, True), ([30.0, 31.0], 30.5, False), ([1.0, 0.0], 0.7, False), (None, 0.7, False)],
)
def test_only_means_of_bounded_values_can_be_judged_from_a_part(values, value, usable):
    assert can_prune(None if values is None else np.array(values), value) is usable


def test_a_valid_trial_of_a_sorted_dataset_is_not_ended_early():
    """10,000 samples of which the first 90 are those that are lost, at a target of 1 %."""
    reference, candidate = np.ones(10_000), np.ones(10_000)
    candidate[:90] = 0
    order = list(split_samples([f"{number:05}" for number in range(10_000)], [None] * 10_000, 0).scoring)
    assert ended_after(reference, candidate, 0.01) is not None, "as it lies it would be"
    assert ended_after(reference[order], candidate[order], 0.01) is None


def watched(below):
    """After how many of 400 samples a candidate ends that loses one in twenty, where this much may be lost."""
    rng = np.random.default_rng(5)
    fp32 = np.ones(400)
    bench = SimpleNamespace(metric="accuracy", accuracy=SimpleNamespace(sequences=None))
    scored = Fp32(None, None, None, 1.0, fp32, higher_is_better=True)
    watch = CellCandidates(None, None, bench, tuple(range(400)), scored)._watch(1.0, fp32, below)
    values = (rng.random(400) > 0.05).astype(float)
    return next((count for count, value in enumerate(values, 1) if watch({"accuracy": value})), None)


def test_what_is_surely_less_accurate_than_others_as_fast_ends_within_the_target():
    assert watched(0.2) is None
    assert watched(0.0) < 200, "others lose nothing"
