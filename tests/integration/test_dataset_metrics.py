"""Metrics that only a whole dataset has, against a baseline: how certain their difference is, by the checker's own."""

import copy

import numpy as np
import openvino as ov
import pytest
from test_accuracy import F32

from quantize_zoo.config import load_model_config
from quantize_zoo.gate import judge_accuracy
from quantize_zoo.graph import read_model
from quantize_zoo.scoring import (
    AccuracySession,
    compile_for_accuracy,
    find_checker,
    read_answers,
    replicated_difference,
    write_answers,
)
from quantize_zoo.scoring.replicates import groups_of, others_than

LEVEL = 0.01 / 6


def disturbed(path, scale):
    """The model with some of its weights moved by ``scale`` standard deviations."""
    model, rng = read_model(path), np.random.default_rng(0)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant" and node.get_element_type() == ov.Type.f32 and node.data.size > 500:
            values = node.data.copy()
            chosen = rng.random(values.shape) < 0.01
            values[chosen] += scale * values.std() * rng.normal(size=int(chosen.sum()))
            node.output(0).replace(ov.op.Constant(values).output(0))
    return model


@pytest.fixture(scope="module", params=["scenes-ssd", "shapes-unet"])
def answered(request, zoo):
    """Session, and the replicated answers of FP32, of a slightly and of a badly disturbed model."""
    config = load_model_config(zoo / "embedded" / f"{request.param}.yml")
    models = [read_model(config.model), disturbed(config.model, 1), disturbed(config.model, 3)]
    session = AccuracySession(find_checker(), config, models[0])
    found = [session.answers(compile_for_accuracy(each, F32), config.metric, range(100)) for each in models]
    return session, [session.replicated(each) for each in found]


def difference_of(first, second):
    pair = first.metrics[first.metric], second.metrics[first.metric]
    return replicated_difference(*pair, first.replicates, second.replicates)


def verdict_of(first, second):
    return judge_accuracy(
        (first.metrics[first.metric], first.values), (second.metrics[first.metric], second.values), identical=False,
        higher_is_better=True, margin=0.005, level=LEVEL, replicates=(first.replicates, second.replicates),
    )  # fmt: skip


def fresh(pair, number):
    """A copy of a sample that the checker takes for another one."""
    annotation, prediction = (copy.copy(each) for each in pair)
    annotation._identifier = f"{number}"
    annotation.identifier = prediction.identifier = f"{number}"
    return annotation, prediction


def test_deviation_is_the_bootstraps_with_fresh_identifiers(answered):
    """Two ways to the same figure. With the identifiers that they have, copies would be one sample to the checker."""
    session, (first, second, _) = answered
    rng, differences = np.random.default_rng(0), []
    for _ in range(40):
        drawn = rng.integers(len(first.pairs), size=len(first.pairs))
        metrics = [
            session._metric_of([fresh(each.pairs[index], number) for number, index in enumerate(drawn)], each.metric)
            for each in (first, second)
        ]
        differences.append(metrics[0] - metrics[1])
    _, deviation, _ = difference_of(first, second)
    assert deviation == pytest.approx(np.std(differences, ddof=1), rel=0.35)


def test_difference_lies_in_its_own_interval_and_a_real_fall_is_found(answered):
    _, (first, slightly, badly) = answered
    for other in (slightly, badly):
        verdict = verdict_of(first, other)
        assert verdict.loss.low < verdict.loss.value < verdict.loss.high
        assert verdict.loss.samples == 100
    verdict = verdict_of(first, badly)
    assert verdict.status == "regressed"
    assert verdict.p_value < LEVEL
    assert verdict_of(badly, first).status == "improved"


def test_stored_answers_are_tested_without_their_predictions(answered, tmp_path):
    """The runtime's check has today's predictions and, of the day of the baseline, the file."""
    session, (first, _, badly) = answered
    write_answers(tmp_path / "answers.npz", {"int8": first}, session.contents)
    read = read_answers(tmp_path / "answers.npz")["int8"]
    assert not read.pairs
    assert session.replicated(read) is read
    assert verdict_of(read, badly) == verdict_of(first, badly)


def test_replicates_do_not_depend_on_the_order_of_the_samples(answered):
    session, (first, *_) = answered
    order = np.random.default_rng(0).permutation(len(first.pairs))
    moved = session.replicated(
        type(first)(
            first.metric, first.metrics, first.identifiers[order], first.digests[order], first.texts[order], None, None,
            None, tuple(first.pairs[index] for index in order),
        )
    )  # fmt: skip
    np.testing.assert_allclose(moved.replicates.values, first.replicates.values, rtol=1e-9)


def without_each(session, answers):
    """The metric of all other samples than each group's, computed from them, with each of which it is told."""
    count, metrics = len(answers.pairs), copy.copy(session._metrics)
    metrics._untold = frozenset()
    rests = [others_than(group, count) for group in groups_of(answers.identifiers.tolist())]
    return [metrics.value_of([answers.pairs[index] for index in rest], answers.metric) for rest in rests]


def test_replicates_are_the_metric_of_the_other_samples(answered):
    session, (first, *_) = answered
    np.testing.assert_allclose(first.replicates.values, without_each(session, first), rtol=1e-12)


def scored_and_told(session, monkeypatch, **changes):
    """The values of two passes over scenes-ssd, and how many samples mAP was told of in each; it is changed so."""
    function = type(next(each.metric_fn for each in session._metrics.executor.metrics if each.name == "mAP"))
    update = function.update
    told = []

    def counted(self, annotation, prediction):
        told.append(annotation)
        self.told = getattr(self, "told", 0) + 1
        return changes.get("update", update)(self, annotation, prediction)

    monkeypatch.setattr(function, "update", counted)
    if "evaluate" in changes:
        evaluate = function.evaluate
        monkeypatch.setattr(function, "evaluate", lambda *given: changes["evaluate"](evaluate, *given))
    compiled = compile_for_accuracy(session.model, F32)
    found = []
    for _ in range(2):
        told.clear()
        found.append((session.score(compiled).metrics, len(told)))
    return found


@pytest.fixture
def scenes(zoo):
    """A session of a detector, whose mAP the checker computes of each image, too."""
    config = load_model_config(zoo / "embedded" / "scenes-ssd.yml")
    model = read_model(config.model)
    session = AccuracySession(find_checker(), config, model, first=20)
    session.model = model
    return session


def test_a_metric_of_all_samples_is_told_of_each_in_the_first_pass_only(scenes, monkeypatch):
    (first, told), (second, told_again) = scored_and_told(scenes, monkeypatch)
    assert (told, told_again) == (20, 0)
    assert first == second
    assert first["mAP"] > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluate": lambda evaluate, self, *pairs: np.array(evaluate(self, *pairs)) * self.told},
        {"evaluate": lambda evaluate, self, *pairs: np.array(evaluate(self, *pairs)) * getattr(self, "told", 2)},
        {"update": lambda *_: 0.5},
    ],
    ids=["counts samples", "counts them if it was told of any", "has a number of each sample"],
)
def test_a_metric_that_makes_something_of_each_sample_is_told_in_every_pass(changes, scenes, monkeypatch):
    (first, told), (second, told_again) = scored_and_told(scenes, monkeypatch, **changes)
    assert (told, told_again) == (20, 20)
    assert first == second


@pytest.mark.parametrize(
    ("kind", "told"),
    [("", 30), ("by the number of samples", 30), ("counts beside its state", 30 + 30 * 29)],
)
def test_metric_that_adds_up_is_told_of_each_sample_once(kind, told, zoo, monkeypatch):
    """One that counts beside its state what it is told, of every sample again without each group."""
    config = load_model_config(zoo / "embedded" / "shapes-unet.yml")
    model = read_model(config.model)
    session = AccuracySession(find_checker(), config, model, first=30)
    function = type(next(each.metric_fn for each in session._metrics.executor.metrics if each.name == config.metric))
    evaluate, update = function.evaluate, function.update
    updates = []

    def counted(self, annotation, prediction):
        self.told = getattr(self, "told", 0) + 1
        updates.append(annotation)
        return update(self, annotation, prediction)

    def divided(self, annotations, predictions):
        count = {"": 1, "by the number of samples": len(annotations)}.get(kind) or self.told
        return np.mean(evaluate(self, annotations, predictions)) / count

    monkeypatch.setattr(function, "update", counted)
    monkeypatch.setattr(function, "evaluate", divided)
    found = session.answers(compile_for_accuracy(model, F32), config.metric)
    updates.clear()
    replicates = session.replicated(found).replicates
    assert len(updates) == told
    np.testing.assert_allclose(replicates.values, without_each(session, found), rtol=1e-12)


def test_passes_of_a_metric_with_one_list_for_all_are_separate(zoo):
    """The checker's ``dice`` goes on with what every metric before it was told."""
    config = load_model_config(zoo / "embedded" / "shapes-unet.yml")
    session = AccuracySession(find_checker(), config, read_model(config.model), first=2)
    metrics = session._metrics
    metrics._config = [{"type": "dice", "name": "dice"}]
    for _ in range(2):
        metrics.begin_pass()
        (dice,) = (each.metric_fn for each in metrics.executor.metrics)
        assert dice.overall_metric == []
        dice.overall_metric.append(1.0)
    assert type(dice).overall_metric == []


def test_a_metric_beside_one_of_all_samples_together_is_told_of_its_own(zoo, monkeypatch):
    config = load_model_config(zoo / "embedded" / "shapes-unet.yml")
    model = read_model(config.model)
    session = AccuracySession(find_checker(), config, model, first=6)
    found = session.answers(compile_for_accuracy(model, F32), config.metric)
    monkeypatch.setattr(type(session._metrics), "need_predictions", True)
    assert session._metric_of(found.pairs, config.metric) == found.metrics[config.metric]
