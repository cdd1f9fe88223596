"""The gate's statistics against what they claim, its verdicts, waivers, and the store of baselines."""

import itertools
import math
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from quantize_zoo.config import GateConfig, Waiver
from quantize_zoo.errors import CellError
from quantize_zoo.gate import (
    Check,
    GateResult,
    accuracy_check,
    apply_waivers,
    check_level,
    checks_a_cell,
    growth_check,
    judge_accuracy,
    judge_latency,
    latency_check,
)
from quantize_zoo.gate.checks import measured_growth_check
from quantize_zoo.gate.latency import LOOKS
from quantize_zoo.gate.resolution import resolve
from quantize_zoo.gate.significance import corrected_student, permutation_of_signs
from quantize_zoo.scoring import Answers, Contents, read_answers, read_contents, write_answers
from quantize_zoo.scoring.replicates import replicate

MARGIN = 0.03
SIMULATED = pytest.mark.parametrize("count", [1000, pytest.param(5000, marks=pytest.mark.release)])


def rounds(ratio, spread, rng):
    """Measurements that really have this ratio; each is a new one."""
    return lambda: (math.log(ratio) + spread * rng.standard_t(4) / math.sqrt(2) for _ in itertools.count())


def verdicts(ratio, *, level, count, spread=0.012, seed=0):
    rng = np.random.default_rng(seed)
    return [judge_latency(rounds(ratio, spread, rng), MARGIN, level).status for _ in range(count)]


def test_unchanged_models_raise_no_alarm_and_are_decided_early():
    found = verdicts(1.0, level=0.01, count=2000)
    assert found.count("regressed") == 0
    assert found.count("inconclusive") < 20
    seen = []
    judge_latency(lambda: (seen.append(0) or value for value in itertools.repeat(0.001)), MARGIN, 0.01)
    assert len(seen) <= LOOKS[1]


@SIMULATED
def test_alarms_at_the_margin_itself_are_as_rare_as_the_level_says(count):
    """The hardest case that is still no regression: the true ratio is the margin."""
    level = 0.01
    alarms = verdicts(1 + MARGIN, level=level, count=count, seed=1).count("regressed")
    assert alarms <= stats.binom.ppf(0.999, count, level)


@SIMULATED
def test_alarms_are_as_rare_where_the_second_measurement_is_wrong_whenever_the_first_is(count):
    """Both share files, load order and machine; the same rounds twice are the worst of it."""
    level, rng = 0.01, np.random.default_rng(1)

    def same_rounds_twice():
        drawn = math.log1p(MARGIN) + 0.012 * rng.standard_t(4, LOOKS[-1]) / math.sqrt(2)
        return judge_latency(lambda: iter(drawn), MARGIN, level).status

    alarms = [same_rounds_twice() for _ in range(count)].count("regressed")
    assert alarms <= stats.binom.ppf(0.999, count, level)


@pytest.mark.parametrize(("ratio", "share"), [(1.05, 0.95), (1.10, 0.995), (1.3, 1.0)])
@pytest.mark.parametrize("cells", [1, 200])
def test_slowdowns_are_found(ratio, share, cells):
    found = verdicts(ratio, level=check_level(GateConfig(), cells), count=400, spread=0.010, seed=2)
    wanted = share if cells == 1 or ratio > 1.05 else 0.75
    assert found.count("regressed") / len(found) >= wanted


def test_alarm_needs_a_second_measurement_that_agrees():
    started = []

    def measure():
        started.append(0)
        return itertools.repeat(math.log(1.2) if len(started) == 1 else 0.0)

    verdict = judge_latency(measure, MARGIN, 0.01)
    assert (verdict.status, verdict.confirmed, len(started)) == ("pass", False, 2)
    assert "not confirmed" in latency_check("search", "x", verdict, 0.4).text


def test_undecided_measurement_says_how_much_longer_it_would_take():
    values = itertools.cycle([math.log(1.03) + 0.1, math.log(1.03) - 0.1])
    verdict = judge_latency(lambda: values, MARGIN, 0.01)
    assert verdict.status == "inconclusive"
    assert verdict.more_rounds > 0
    assert "s more would decide" in latency_check("search", "x", verdict, 0.4).text


def test_faster_model_is_an_improvement():
    assert set(verdicts(0.9, level=0.01, count=50)) == {"improved"}


def accuracy(first, second, *, margin=0.005, level=0.01, identical=False, **more):
    first, second = np.asarray(first, float), np.asarray(second, float)
    return judge_accuracy(
        (first.mean(), first), (second.mean(), second), identical=identical,
        higher_is_better=more.pop("higher_is_better", True), margin=margin, level=level, **more,
    )  # fmt: skip


def answers(lost, won, both=950, neither=30):
    first = [1.0] * (both + lost) + [0.0] * (won + neither)
    second = [1.0] * both + [0.0] * lost + [1.0] * won + [0.0] * neither
    return first, second


def test_mcnemar_is_the_exact_binomial_test_on_changed_answers():
    verdict = accuracy(*answers(lost=25, won=5))
    by_hand = sum(math.comb(30, k) for k in range(25, 31)) / 2**30
    assert verdict.p_value == pytest.approx(by_hand)
    assert verdict.status == "regressed"
    assert verdict.test == "McNemar, exact: 25 lost, 5 won"


def test_few_changed_answers_are_told_and_no_alarm():
    assert accuracy(*answers(lost=3, won=2)).status == "changed"
    assert accuracy(*answers(lost=20, won=12)).status == "inconclusive"  # beyond the margin, and may be luck
    assert accuracy(*answers(lost=2, won=30)).status == "improved"


def test_identical_outputs_are_identical_whatever_the_level():
    first, _ = answers(lost=0, won=0)
    assert accuracy(first, first, identical=True).status == "identical"


def test_values_are_compared_by_permutation_both_ways():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.1, 0.2, 300)
    worse = first + rng.normal(0.004, 0.01, 300)
    assert accuracy(first, worse, higher_is_better=False).status == "regressed"
    assert accuracy(first, worse, higher_is_better=True).status == "improved"
    noise = first + rng.normal(0, 0.02, 300)
    assert accuracy(first, noise - (noise - first).mean(), higher_is_better=False).status == "changed"


def replicates(metric, contributions):
    """The jackknife of a metric that is a mean, so that what it should find is known."""
    found = replicate(lambda kept: metric + contributions[kept].mean(), [str(n) for n in range(len(contributions))])
    assert len(found.values) == 50
    return found


@pytest.mark.parametrize(("loss", "status"), [(0.03, "regressed"), (-0.03, "improved"), (0.0, "changed")])
def test_metric_of_the_whole_dataset_is_judged_by_its_jackknife(loss, status):
    rng = np.random.default_rng(0)
    first = rng.normal(0, 0.1, 400)
    second = first + rng.normal(-loss, 0.05, 400)
    second += -loss - (second - first).mean()
    verdict = judge_accuracy(
        (0.8 + first.mean(), None), (0.8 + second.mean(), None), identical=False, higher_is_better=True, margin=0.005,
        level=0.01, replicates=(replicates(0.8, first), replicates(0.8, second)),
    )  # fmt: skip
    assert verdict.status == status
    by_hand = stats.t.ppf(0.975, 399) * (second - first).std(ddof=1) / 20
    assert verdict.loss.high - verdict.loss.value == pytest.approx(by_hand / (0.8 + first.mean()), rel=0.25)
    assert (verdict.p_value < 1e-10) == (loss != 0)


def test_metric_without_anything_to_test_it_by_is_judged_alone():
    verdict = judge_accuracy(
        (0.8, None), (0.7, None), identical=False, higher_is_better=True, margin=0.005, level=0.01
    )  # fmt: skip
    assert (verdict.status, verdict.p_value) == ("regressed", None)


def all_signs(differences):
    """The permutation test by its definition: the share of all signs with as large a sum."""
    sums = np.zeros(1)
    for size in np.abs(differences):
        sums = np.concatenate([sums + size, sums - size])
    return np.mean(sums >= differences.sum() - 1e-9)


def drawn_signs(differences, count=20_000):
    """The same chance by importance sampling: signs drawn so that the sum is about as large, and weighed back."""
    sizes, total, rng = np.abs(differences), differences.sum(), np.random.default_rng(0)
    tilt = optimize.brentq(lambda t: np.sum(sizes * np.tanh(t * sizes)) - total, 0, 1e3)
    signs = np.where(rng.random((count, len(sizes))) < 1 / (1 + np.exp(-2 * tilt * sizes)), 1, -1)
    sums = signs @ sizes
    weights = np.exp(np.log(np.cosh(tilt * sizes)).sum() - tilt * sums)
    return float(np.mean(weights * (sums >= total)))


def signed(sizes, total):
    """The sizes with signs that make their sum about so large."""
    excess, signs = sizes.sum() - total, np.ones(len(sizes))
    for place in np.argsort(-sizes):
        if 2 * sizes[place] <= excess:
            signs[place], excess = -1, excess - 2 * sizes[place]
    return signs * sizes


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 3.0])
def test_few_differences_are_permuted_exactly(shift):
    differences = np.random.default_rng(1).normal(shift, 1, 14)
    assert permutation_of_signs(differences) == pytest.approx(all_signs(differences))
    assert permutation_of_signs(np.append(differences, [0.0] * 40)) == pytest.approx(all_signs(differences))


@pytest.mark.parametrize("draw", ["standard_normal", "standard_exponential", "standard_cauchy"])
@pytest.mark.parametrize(("count", "score"), [(21, 2.0), (21, 3.0), (300, 3.0), (300, 5.0), (2000, 6.0)])
def test_many_differences_are_permuted_as_far_out_as_it_takes(draw, count, score):
    sizes = np.minimum(np.abs(getattr(np.random.default_rng(2), draw)(count)), 20)
    total = min(score * np.linalg.norm(sizes), 0.9 * sizes.sum())
    differences = signed(sizes, total)
    found = permutation_of_signs(differences)
    assert found == pytest.approx(drawn_signs(differences), rel=0.15 if count > 21 else 0.4)


def test_few_samples_that_gain_much_are_no_false_alarm_where_they_are_missing():
    """Equal models of which one gains on few samples what it loses on all others: the worst for any test of a mean."""
    rng, level = np.random.default_rng(0), 0.001
    draws = 1 - rng.exponential(size=(30_000, 100))
    likely = draws[draws.sum(axis=1) > 2.5 * np.linalg.norm(draws, axis=1)]  # of the others no p-value is so small
    by_signs = np.array([permutation_of_signs(each) for each in likely])
    corrected = np.array([corrected_student(each)[0] for each in likely])
    assert np.sum(by_signs <= level) > 3 * 30_000 * level
    assert np.sum(np.maximum(by_signs, corrected) <= level) < 2 * 30_000 * level


def test_correction_for_skewness_costs_nothing_where_there_is_none():
    differences = np.random.default_rng(0).normal(0.2, 1, 400)
    differences = np.concatenate([differences, 2 * differences.mean() - differences])  # symmetric
    assert corrected_student(differences)[1] == pytest.approx(
        stats.ttest_1samp(differences, 0).statistic, rel=0.01
    )  # fmt: skip


def test_whole_numbers_are_permuted_with_their_ties():
    differences = np.random.default_rng(3).integers(1, 4, 22).astype(float)
    differences[[2, 5, 9, 12]] *= -1
    assert permutation_of_signs(differences) == pytest.approx(all_signs(differences), rel=0.05)


@pytest.mark.parametrize("cells", [1, 50, 500])
def test_a_large_loss_is_an_alarm_however_many_cells_there_are(cells):
    """99,999 permutations show no chance below 1 in 100,000, which a check of 500 cells has to."""
    rng = np.random.default_rng(0)
    first = rng.uniform(20, 40, 1000)
    verdict = accuracy(first, first * 0.72 + rng.normal(0, 3, 1000), level=check_level(GateConfig(), cells))
    assert verdict.status == "regressed"
    assert verdict.p_value < 1e-100


@pytest.mark.parametrize("gain", [0.01, 0.3])
def test_an_improvement_has_its_own_p_value_and_interval(gain):
    rng = np.random.default_rng(0)
    first = rng.uniform(20, 40, 1000)
    verdict = accuracy(first, first * (1 + gain) + rng.normal(0, 0.3, 1000), level=1e-6)
    assert verdict.status == "improved"
    assert verdict.p_value < 1e-6
    assert verdict.loss.low < -gain < verdict.loss.high < 0
    assert accuracy(*answers(lost=5, won=25)).p_value == accuracy(*answers(lost=25, won=5)).p_value
    assert accuracy(*answers(lost=5, won=25)).test == "McNemar, exact: 5 lost, 25 won"


def test_an_undecided_loss_says_how_many_more_samples_would_decide():
    verdict = accuracy(*answers(lost=20, won=9))
    assert verdict.status == "inconclusive"
    text = accuracy_check("search", "x", verdict, "accuracy", (), 29).text
    share = f"{verdict.more_samples} more samples would decide, or a margin of 1.14 %"
    assert share in text
    times = 1 + verdict.more_samples / 1009
    assert 1.1 < times < 2.5
    longer = answers(lost=round(20 * times * 1.1), won=round(9 * times * 1.1), both=round(950 * times * 1.1))
    assert accuracy(*longer).status == "regressed"
    assert accuracy(*answers(lost=20, won=9), margin=0.0114).status == "changed"


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_gain_is_never_a_regression(won, both):
    assert accuracy(*answers(lost=0, won=won, both=both)).status in ("changed", "improved")


@pytest.mark.parametrize(
    ("limits", "runtimes", "checks"),
    [
        ({}, False, 6),
        ({}, True, 7),
        ({"max_size_increase": 1}, False, 6),  # exact
        ({"max_compile_time_increase": 10, "max_memory_increase": 10}, True, 9),
    ],
)
def test_levels_of_all_checks_of_a_night_add_up_to_the_nights(limits, runtimes, checks):
    gate = GateConfig(false_alarms_a_night=0.01, **limits)
    assert checks_a_cell(gate, runtimes=runtimes) == checks
    assert check_level(gate, 200, checks) * 200 * checks == pytest.approx(0.01)
    assert check_level(gate, 0) > 0


def regressed(cause="search", quantity="latency"):
    return Check(cause, quantity, "x", "regressed", "6 % slower")


def test_cell_is_what_its_worst_check_is():
    passed, changed = Check("search", "accuracy", "x", "pass", ""), Check("search", "accuracy", "x", "changed", "")
    assert GateResult(1, "", (passed, changed)).status == "changed"
    assert GateResult(1, "", (passed, regressed(), changed)).status == "regressed"
    assert GateResult(1, "", (passed,)).status == "pass"


def test_waiver_holds_until_its_date_and_then_tells_loudly():
    today = date(2026, 3, 1)
    waiver = Waiver(cell="net-CPU", check="latency", reason="known, ticket 7", until=today + timedelta(days=3))
    result = GateResult(1, "", (regressed(), regressed("quantization", "accuracy")))
    waived = apply_waivers(result, "net-CPU", [waiver], today)
    assert [bool(check.waived) for check in waived.checks] == [True, False]
    assert waived.status == "regressed"
    assert apply_waivers(GateResult(1, "", (regressed(),)), "net-CPU", [waiver], today).status == "waived"
    assert apply_waivers(result, "other-CPU", [waiver], today) == result
    over = apply_waivers(GateResult(1, "", (regressed(),)), "net-CPU", [waiver], today + timedelta(days=4))
    assert over.status == "regressed"
    assert over.notes == ("the waiver of latency ended on 2026-03-04: known, ticket 7",)


def test_growth_is_reported_and_gated_only_with_a_limit():
    assert growth_check("search", "size", "x", 1.0, 1.5, "MB", None).status == "pass"
    assert growth_check("search", "size", "x", 1.0, 1.5, "MB", 0.2).status == "regressed"


def test_growth_of_what_is_measured_has_its_interval():
    verdict = judge_latency(rounds(1.5, 0.05, np.random.default_rng(0)), 0.2, 0.01)
    check = measured_growth_check("search", "memory", "x", (100.0, 150.0, "MB"), verdict, 1.0)
    assert check.status == "regressed"
    assert check.change.low > 1.2
    assert check.text.startswith("100 -> 150 MB: 5")
    assert "% more [" in check.text


def stored(identifiers, **changes):
    count = len(identifiers)
    values = {
        "metric": "accuracy", "metrics": {"accuracy": 0.5}, "identifiers": np.array(identifiers),
        "digests": np.arange(count, dtype=np.uint64), "texts": np.array([str(n) for n in range(count)]),
        "values": np.linspace(0, 1, count),
    }  # fmt: skip
    return Answers(**{**values, **changes})


NOTHING = Contents(*(np.empty(0, dtype=kind) for kind in (np.str_, np.uint64, np.uint64, np.str_, np.bool_)))


def test_answers_are_matched_by_name_and_survive_the_file(tmp_path):
    first, second = stored(["a", "b", "c"]), stored(["c", "a", "b"])
    matched = second.ordered_as(first)
    assert matched.identifiers.tolist() == ["a", "b", "c"]
    assert matched.digests.tolist() == [1, 2, 0]
    numbers = np.arange(3, dtype=np.uint64)
    contents = Contents(first.identifiers, numbers, numbers + 3, np.array(["1", "2", "3"]), numbers > 1)
    write_answers(tmp_path / "x.npz", {"fp32": first, "int8": stored(["a"], values=None)}, contents)
    for name, value in vars(read_contents(tmp_path / "x.npz")).items():
        np.testing.assert_array_equal(value, getattr(contents, name))
    read = read_answers(tmp_path / "x.npz")
    assert read["fp32"].texts.tolist() == first.texts.tolist()
    assert read["fp32"].metrics == first.metrics
    assert read["int8"].values is None
    with pytest.raises(CellError, match="samples"):
        stored(["a", "x", "c"]).ordered_as(first)
    with np.load(tmp_path / "x.npz") as arrays:
        np.savez(tmp_path / "old.npz", **{key: value for key, value in arrays.items() if not key.startswith("data.")})
    assert read_contents(tmp_path / "old.npz") is None, "releases up to 0.1.0 did not say"
    (tmp_path / "x.npz").write_bytes(b"broken")
    with pytest.raises(CellError, match=r"answers in .* cannot be read"):
        read_answers(tmp_path / "x.npz")


# What a cell's samples can show


def classifiers(count, changed, rng, **more):
    """Answers of two classifiers, of whose right and wrong ones a share differs, half of it either way."""
    first = (rng.random(count) < 0.9).astype(float)
    moved = rng.random(count) < changed
    second = np.where(moved, 1 - first, first)
    names = [str(n) for n in range(count)]
    made = (stored(names, values=each, metrics={"accuracy": each.mean()}, **more) for each in (first, second))
    return tuple(made)


@pytest.mark.parametrize("cells", [1, 500])
def test_a_loss_that_is_said_to_be_found_is_found(cells):
    """The smallest loss of a cell's samples, made and judged: about 95 of 100 datasets show it."""
    rng, level = np.random.default_rng(0), check_level(GateConfig(), cells)
    count, margin = 20_000, 0.005
    resolution = resolve(*classifiers(count, 0.01, rng), margin, level)
    assert resolution.suffices
    lost = resolution.smallest * 0.9
    found = []
    for _ in range(300):
        draws = rng.random(count)
        first = np.where(draws < 0.9, 1.0, 0.0)
        second = np.where(draws < 0.005 + lost, 0.0, np.where((draws > 0.9) & (draws < 0.905), 1.0, first))
        found.append(accuracy(first, second, level=level).status == "regressed")
    assert 0.9 <= np.mean(found) <= 0.998


def test_samples_that_cannot_show_the_margin_say_how_many_would():
    rng, level = np.random.default_rng(0), check_level(GateConfig(), 1)
    few = resolve(*classifiers(300, 0.02, rng), 0.005, level)
    assert not few.suffices
    assert few.smallest > 0.02
    enough = resolve(*classifiers(few.needed, 0.02, rng), 0.005, level)
    assert enough.smallest == pytest.approx(0.0075, rel=0.1)
    assert resolve(*classifiers(300, 0.02, rng), 0.0, level).needed == 0


def test_values_and_whole_datasets_have_a_resolution_too():
    rng, level = np.random.default_rng(0), check_level(GateConfig(), 1)
    first = rng.uniform(20, 40, 400)
    second = first + rng.normal(0, 1, 400)
    names = [str(n) for n in range(400)]
    pair = [stored(names, values=each, metrics={"accuracy": each.mean()}) for each in (first, second)]
    by_values = resolve(*pair, 0.005, level)
    whole = [
        replace(each, values=None, replicates=replicate(lambda kept, v=each.values: v[kept].mean(), names))
        for each in pair
    ]
    assert resolve(*whole, 0.005, level).smallest == pytest.approx(by_values.smallest, rel=0.3)
    assert resolve(pair[0], pair[0], 0.005, level) is None, "models that do not differ tell nothing"
