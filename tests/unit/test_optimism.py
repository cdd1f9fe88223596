"""What too few samples cannot tell, and by how much choosing among many flatters the chosen one."""

from dataclasses import replace

import numpy as np
import pytest

from builders import cell_record, estimate, final, latency, measurement, trial
from quantize_zoo.config import OptimizerParams
from quantize_zoo.report import make_run_report, render_cell
from quantize_zoo.scoring import counts_answers, paired_loss, resolution_note
from quantize_zoo.scoring.resolvable import samples_to_see, unseen_loss
from quantize_zoo.search import best_trial, predicted_optimism
from unit.test_gate_and_report import run_record

PARAMS = OptimizerParams(accuracy_loss=1.0)


def candidate(number, lost, error, ratio=1.5):
    found = replace(measurement(1 - lost, ratio), accuracy_loss=estimate(lost, 1.96 * error, ""))
    return trial(number, lost, ratio, measurement=found)


def test_two_answers_of_840_are_seen_for_what_they_are():
    note = resolution_note(0.25, 840, 1.0)
    assert note.startswith("accuracy_loss 0.25 % is 2 of 840 samples: ")
    assert "0.36 % on others (95 %)" in note
    assert f"takes {samples_to_see(0.0025)} samples" in note


def test_before_fp32_is_scored_it_is_told_what_is_so_at_least():
    before, after = resolution_note(1.0, 140), resolution_note(1.0, 140, 0.8286)
    assert "may still lose at least 2.1 %" in before
    assert "takes at least 299 samples" in before
    assert "may still lose 2.6 %" in after
    assert "takes 361 samples" in after


@pytest.mark.parametrize(("percent", "samples"), [(1.0, 299), (0.25, 1197), (5.0, 59)])
def test_enough_samples_need_no_word(percent, samples):
    assert resolution_note(percent, samples) == ""
    assert resolution_note(percent, samples // 2) != ""


def test_a_target_below_one_sample_and_none_at_all_are_told():
    assert "less than one of 100 samples" in resolution_note(0.25, 100)
    assert "no number of samples" in resolution_note(0.0, 1_000_000)


def test_a_loss_as_large_as_the_unseen_one_hides_in_one_of_twenty_datasets():
    rng = np.random.default_rng(0)
    hidden = np.mean(rng.binomial(840, unseen_loss(840), 20_000) == 0)
    assert hidden == pytest.approx(0.05, abs=0.005)


def test_only_values_of_right_and_wrong_are_answers():
    assert counts_answers(np.array([0.0, 1.0]))
    assert not counts_answers(np.array([0.0, 0.5]))
    assert not counts_answers(np.array([]))
    assert not counts_answers(None)


def scored(number, rng, true_loss, ratio, count=800):
    """A candidate whose answers differ from a right FP32 by chance, and won back as often but for its loss."""
    fp32, int8 = np.ones(count), np.ones(count)
    fp32[: count // 10] = 0
    lost = rng.random(count) < 0.03 + true_loss
    int8[lost] = 0
    int8[: count // 10] = rng.random(count // 10) < 0.3
    loss = paired_loss(fp32.mean(), int8.mean(), fp32, int8)
    found = replace(measurement(float(int8.mean()), ratio), accuracy_loss=loss, latency=latency(ratio))
    return trial(number, loss.value, ratio, measurement=found), 0.03 + true_loss - 0.3 * 0.1 / 0.9


@pytest.mark.parametrize("spread", [0.0, 0.02])
def test_predicted_optimism_is_the_one_that_choosing_has(spread):
    """Candidates that are alike, or far apart, in 80 searches of 30: of the chosen one the true loss is known."""
    rng = np.random.default_rng(3)
    predicted, real = [], []
    for _ in range(80):
        pairs = [scored(number, rng, float(spread * rng.random()), 1.5) for number in range(30)]
        chosen = best_trial([each for each, _ in pairs], PARAMS)
        truth = {each.number: true for each, true in pairs}
        real.append(truth[chosen.number] - chosen.score.accuracy_loss)
        predicted.append(predicted_optimism([each for each, _ in pairs], PARAMS).loss)
    assert np.mean(real) > 0.004
    assert np.mean(predicted) == pytest.approx(np.mean(real), rel=0.35)


def test_a_choice_that_its_loss_does_not_make_flatters_nobody():
    """One is much faster than all others and surely within the target."""
    trials = [candidate(0, -0.02, 0.005, ratio=3.0), *(candidate(number, 0.0, 0.005) for number in range(1, 20))]
    assert predicted_optimism(trials, PARAMS).loss == pytest.approx(0.0, abs=0.0005)


def test_what_cannot_be_chosen_is_no_candidate():
    trials = [candidate(0, 0.0, 0.001), candidate(1, 0.5, 0.001, ratio=9.0), candidate(2, 0.0, 0.001)]
    trials.append(replace(trials[0], number=3, reused_from=0))
    assert predicted_optimism(trials, PARAMS).candidates == 2


def test_what_misses_the_target_of_size_or_is_slower_on_a_member_is_no_candidate():
    small, large, slower, other = (candidate(number, 0.0, 0.001) for number in range(4))
    trials = [
        replace(small, score=replace(small.score, size_ratio=4.0)),
        replace(other, score=replace(other.score, size_ratio=4.0)),
        replace(large, score=replace(large.score, size_ratio=1.5)),
        replace(slower, score=replace(slower.score, size_ratio=4.0, slower=("old",))),
    ]
    assert predicted_optimism(trials, PARAMS.model_copy(update={"size_reduce": 2.0})).candidates == 2


@pytest.mark.parametrize("losses", [(0.0, 0.5), (0.5, 0.5)], ids=["one", "none"])
def test_where_one_may_be_within_the_target_at_most_there_is_no_choice(losses):
    assert predicted_optimism([candidate(number, each, 0.001) for number, each in enumerate(losses)], PARAMS) is None


def test_without_intervals_nothing_is_predicted():
    assert predicted_optimism([trial(0, 0.0, 1.5)], PARAMS) is None


@pytest.mark.parametrize(
    ("loss", "half", "told", "chosen"),
    [(0.003, 0.002, False, True), (0.003, 0.02, True, True), (0.8, 0.02, False, False)],
)
def test_the_page_warns_where_the_loss_is_less_certain_than_the_target(loss, half, told, chosen):
    """What surely misses the target is neither uncertain nor chosen of several that may be within it."""
    measured = replace(final(0, 1.5), loss=estimate(loss, half, ""))
    trials = [candidate(number, loss, half) for number in range(2)]
    report = make_run_report(run_record(cell_record(trials, measured)))
    page = render_cell(report, report.cells[0])
    assert ("may be off by ±2.00 %: they cannot tell whether 1.0 % are met" in page) == told
    assert ("choosing among 2 candidates" in page) == chosen
