"""The gate's statistics against what they claim, its verdicts, waivers, and the store of baselines."""

import itertools
import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from quantize_zoo.config import GateConfig, Waiver
from quantize_zoo.errors import CellError
from quantize_zoo.gate import (
    Check,
    GateResult,
    apply_waivers,
    check_level,
    growth_check,
    judge_accuracy,
    judge_latency,
    latency_check,
)
from quantize_zoo.gate.latency import LOOKS
from quantize_zoo.scoring import Answers, Contents, read_answers, read_contents, write_answers

MARGIN = 0.03


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


def test_alarms_at_the_margin_itself_are_as_rare_as_the_level_says():
    """The hardest case that is still no regression: the true ratio is the margin."""
    level = 0.01
    count = verdicts(1 + MARGIN, level=level, count=3000, seed=1).count("regressed")
    assert count <= stats.binom.ppf(0.999, 3000, level)


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


def test_metric_of_the_whole_dataset_takes_the_bootstraps_distribution():
    rng = np.random.default_rng(0)
    for loss, status in ((0.03, "regressed"), (-0.03, "improved"), (0.0, "changed")):
        verdict = judge_accuracy(
            (0.8, None), (0.8 - loss, None), identical=False, higher_is_better=True, margin=0.005, level=0.01,
            resampled=rng.normal(-loss, 0.005, 200),
        )  # fmt: skip
        assert verdict.status == status
    assert (
        judge_accuracy(
            (0.8, None), (0.7, None), identical=False, higher_is_better=True, margin=0.005, level=0.01
        ).status
        == "regressed"
    )


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_gain_is_never_a_regression(won, both):
    assert accuracy(*answers(lost=0, won=won, both=both)).status in ("changed", "improved")


def test_levels_of_all_checks_of_a_night_add_up_to_the_nights():
    gate = GateConfig(false_alarms_a_night=0.01)
    assert check_level(gate, 200) * 200 * 6 == pytest.approx(0.01)
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


def stored(identifiers, **changes):
    count = len(identifiers)
    values = {
        "metric": "accuracy", "metrics": {"accuracy": 0.5}, "identifiers": np.array(identifiers),
        "digests": np.arange(count, dtype=np.uint64), "texts": np.array([str(n) for n in range(count)]),
        "values": np.linspace(0, 1, count),
    }  # fmt: skip
    return Answers(**{**values, **changes})


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
