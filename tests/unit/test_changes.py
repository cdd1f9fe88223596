"""Data that changed since a baseline: which samples, and what can be compared all the same."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from builders import accepted, cell_record, final, trial
from quantize_zoo.config import GateConfig
from quantize_zoo.gate.changes import find_data_change, runtime_on_common
from quantize_zoo.gate.comparison import Terms
from quantize_zoo.scoring import Answers, Contents

BASELINE = replace(accepted(cell_record([trial(0, 0.0, 1.5)], final(0, 1.5))).content, dataset="4 samples, before")
NAMES = ["a", "b", "c", "d"]


def contents(names=NAMES, inputs=(1, 2, 3, 4), labels=(5, 6, 7, 8), calibration=()):
    marked = np.isin(np.arange(len(names)), calibration)
    numbers = [np.array(each, np.uint64) for each in (inputs, labels)]
    return Contents(np.array(names), *numbers, np.array([str(each) for each in labels]), marked)


def bench(now, *, dataset="now", former="now", sequences=None):
    session = SimpleNamespace(
        sequences=sequences, higher_is_better=lambda _: True, write_thumbnail=lambda *_: False,
    )  # fmt: skip

    class Session(SimpleNamespace):
        def __len__(self):
            return len(now.identifiers)

    return SimpleNamespace(
        accuracy=Session(**vars(session)), contents=now, dataset=dataset, former_dataset=former, metric="accuracy"
    )


def change(before, now, names=NAMES, **known):
    return find_data_change(BASELINE, before, names, bench(now, **known))


def test_data_that_are_the_same_have_not_changed():
    assert change(contents(), contents(), dataset="4 samples, before") is None


def test_data_that_an_older_release_knew_by_another_name_have_not_changed():
    assert change(None, contents(), former="4 samples, before") is None


def test_data_of_the_same_contents_have_not_changed_whatever_they_are_called():
    assert change(contents(), contents(calibration=(1,))) is None


def test_each_sample_that_changed_is_listed():
    now = contents(["a", "b", "c", "e"], (1, 9, 3, 4), (6, 6, 7, 8))
    found = change(contents(), now)
    assert found.text == "1 label, inputs of 1 sample, 1 sample more, 1 sample fewer"
    assert [(each.identifier, each.baseline, each.candidate) for each in found.changed] == [
        ("a", "label 5", "label 6"),
        ("b", "label 6", "label 6, another input"),
        ("e", "not there", "label 8"),
        ("d", "label 8", "not there"),
    ]
    assert found.same == ((2, 2),)


def test_samples_of_one_name_are_told_apart_by_their_order():
    found = change(contents(["a", "a"], (1, 2), (5, 5)), contents(["a", "a", "a"], (1, 2, 3), (5, 5, 5)), ["a", "a"])
    assert (found.text, found.same) == ("1 sample more", ((0, 0), (1, 1)))


def test_calibration_samples_that_are_others_are_counted():
    found = change(contents(calibration=(0, 1)), contents(inputs=(1, 9, 3, 4), calibration=(0, 1)))
    assert found.calibration == "1 of 2 calibration samples are others"
    assert found.text.endswith(found.calibration)


def test_of_a_baseline_that_kept_no_contents_the_names_are_compared():
    found = change(None, contents(["a", "b", "c"], (1, 2, 3), (5, 6, 7)))
    assert found.text.startswith("1 sample fewer, which of the others did is not known")
    assert not found.known


def answers(names=NAMES, digests=(1, 2, 3, 4), values=(1.0, 1.0, 0.0, 1.0)):
    values = None if values is None else np.array(values)
    metrics = {"accuracy": 0.5 if values is None else float(values.mean())}
    texts = np.array([str(each) for each in digests])
    return Answers("accuracy", metrics, np.array(names), np.array(digests, np.uint64), texts, values)


def compared(before, today, found, tmp_path, **known):
    terms = Terms(GateConfig(), 0.01, tmp_path)
    return runtime_on_common(bench(contents(), **known), terms, "a model", (before, today), found)


@pytest.fixture
def relabelled():
    return change(contents(), contents(labels=(6, 6, 7, 8)))


def test_what_is_answered_to_the_samples_that_are_the_same_is_compared(tmp_path, relabelled):
    check = compared(answers(), answers(digests=(9, 2, 3, 4), values=(0.0, 1.0, 0.0, 1.0)), relabelled, tmp_path)
    on = "on the 3 of 4 samples that are as they were"
    assert (check.status, check.text) == ("pass", f"{on} every output is the same")
    check = compared(answers(), answers(digests=(9, 2, 3, 5), values=(0.0, 1.0, 0.0, 0.0)), relabelled, tmp_path)
    assert (check.status, check.change.value) == ("inconclusive", pytest.approx(0.5))
    assert check.text.startswith(f"{on} accuracy loses 50.00 %")


def test_a_metric_of_the_whole_dataset_is_not_compared_on_a_part(tmp_path, relabelled):
    same = compared(answers(values=None), answers(values=None), relabelled, tmp_path)
    assert same.status == "pass"
    other = compared(answers(values=None), answers(digests=(1, 2, 3, 5), values=None), relabelled, tmp_path)
    assert other.status == "not compared"
    assert "accuracy is one of the whole dataset" in other.text


def test_steps_of_sequences_are_not_compared_where_some_are_others(tmp_path, relabelled):
    check = compared(answers(), answers(), relabelled, tmp_path, sequences=["x"] * 4)
    assert (check.status, "depends on those before it" in check.text) == ("not compared", True)
