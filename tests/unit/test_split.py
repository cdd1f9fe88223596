"""The split into what the search sees and what it does not."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize_zoo.scoring import split_samples as split_named


def split_samples(labels, *args, **named):
    return split_named([f"{number:04d}" for number in range(len(labels))], labels, *args, **named)


LABELS = st.lists(st.sampled_from([0, 1, 2, None]), min_size=1, max_size=200)


@given(LABELS, st.floats(0.01, 0.9))
def test_every_sample_is_in_exactly_one_part(labels, holdout):
    split = split_samples(labels, holdout)
    assert sorted(split.tuning + split.holdout) == list(range(len(labels)))
    assert len(split.holdout) == pytest.approx(holdout * len(labels), abs=1)


@given(LABELS, st.floats(0.05, 0.9))
def test_every_label_has_its_share_in_the_holdout(labels, holdout):
    held = Counter(labels[index] for index in split_samples(labels, holdout).holdout)
    for label, count in Counter(labels).items():
        assert held[label] == pytest.approx(holdout * count, abs=1)


def test_split_is_always_the_same():
    labels = [index % 10 for index in range(500)]
    assert split_samples(labels, 0.3) == split_samples(labels, 0.3)


def test_split_depends_on_names_and_not_on_the_order_of_the_dataset():
    names, labels = [f"{number}.png" for number in range(200)], [number % 7 for number in range(200)]
    split = split_named(names, labels, 0.3)
    turned = split_named(names[::-1], labels[::-1], 0.3)
    assert [names[index] for index in split.tuning] == [names[::-1][index] for index in turned.tuning]
    assert {names[index] for index in split.holdout} == {names[::-1][index] for index in turned.holdout}


def test_order_of_the_tuning_part_is_random():
    tuning = split_samples([0] * 500, 0.3).tuning
    assert list(tuning) != sorted(tuning)


def test_without_a_holdout_the_dataset_keeps_its_order_as_in_pot():
    split = split_samples([0, 1] * 5, 0)
    assert (split.tuning, split.holdout) == (tuple(range(10)), ())
    assert split_samples([0, 1] * 5, 0, subset=4).tuning == (0, 1, 2, 3)


def test_subset_limits_what_the_search_sees_and_not_the_holdout():
    whole, part = split_samples([0] * 100, 0.3), split_samples([0] * 100, 0.3, subset=20)
    assert part.tuning == whole.tuning[:20]
    assert part.holdout == whole.holdout


@pytest.mark.parametrize("holdout", [0, 0.3])
def test_samples_are_scored_in_an_order_that_has_nothing_to_do_with_the_dataset(holdout):
    """What ends hopeless trials early may not meet all losses first, however the dataset is sorted."""
    split = split_samples([number // 100 for number in range(1000)], holdout)
    order = np.array(split.scoring)
    assert sorted(split.scoring) == sorted(split.tuning)
    assert abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.1


def test_without_a_holdout_calibration_takes_the_first_samples_as_pot_did():
    assert split_samples([0] * 50, 0, 10).tuning == tuple(range(10))
