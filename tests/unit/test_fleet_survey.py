"""What is known of a fleet before its first trial: the members' savings together, and what none of them may lose."""

import functools
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from builders import Alone, cell_record, compression, latency, measurement, option, pipeline, reference, trial
from kill_store import start_cell, start_run
from quantize_zoo.cell.surveying import Place, survey_fleet
from quantize_zoo.config import OptimizerParams
from quantize_zoo.errors import CellError
from quantize_zoo.quantization.output_changes import infer_here
from quantize_zoo.report import make_run_report, render_cell
from quantize_zoo.report.json_document import json_value
from quantize_zoo.scoring import Estimate
from quantize_zoo.search import (
    Built,
    Frontier,
    MemberScore,
    MemberSurvey,
    OperationSurvey,
    Scored,
    Survey,
    Timed,
    TrialRecorder,
    combined_latency,
    is_slower,
    of_all,
    run_stage,
)
from quantize_zoo.search.walk import FrontierWalk
from quantize_zoo.store import Store
from unit.test_frontier import chain
from unit.test_gate_and_report import run_record
from unit.test_search import drained, layers, plan
from unit.test_surveying import SAMPLES, wide

PARAMS = OptimizerParams(accuracy_loss=1.0, max_trials=40)


def member(name, share, operations):
    return MemberSurvey(name, share, tuple(operations), None)


def fleet_of(*members, allow_slower=False):
    return Survey(of_all(members), None, 0.0, members=members, allow_slower=allow_slower)


def frontier_of(*members, allow_slower=False):
    return Frontier(of_all(members), members=members, allow_slower=allow_slower)


def drawn_fleet(seed, members, count=6):
    """Members on which the same operations take other times, and some are slower in INT8."""
    rng = np.random.default_rng(seed)
    before = [tuple(f"op{other}" for other in range(index) if rng.random() < 0.4) for index in range(count)]
    changes = rng.uniform(1e-5, 2e-4, count)
    shares = rng.dirichlet(np.full(members, 3.0))
    found = []
    for number in range(members):
        fp32 = rng.uniform(5, 40, count) * rng.uniform(0.3, 3)
        saved = fp32 * rng.normal(0.2, 0.35, count).clip(-0.8, 0.8)
        border = fp32[:, None] * rng.uniform(-0.05, 0.1, (count, 2))
        operations = [
            OperationSurvey(
                f"op{index}", before[index], fp32[index], fp32[index] - saved[index],
                Estimate(saved[index], saved[index] - 0.5, saved[index] + 0.5, "us", 6), *border[index], changes[index],
            )
            for index in range(count)
        ]  # fmt: skip
        found.append(member(f"m{number}", float(shares[number]), operations))
    return found


def saved_shares(members, mask):
    """The share of FP32's time that a choice saves on each member, border by border."""
    found = []
    for each in members:
        chosen = {operation.name: picked for operation, picked in zip(each.operations, mask, strict=True)}
        total = 0.0
        for operation in each.operations:
            here, before = chosen[operation.name], [chosen[name] for name in operation.before]
            total += operation.saved_us.value if here else 0.0
            if here and not all(before):
                total -= max(0.0, operation.entering_us)
            if not here and any(before):
                total -= max(0.0, operation.leaving_us)
        found.append(total / sum(operation.fp32_us for operation in each.operations))
    return np.array(found)


# --- the members together


@pytest.mark.parametrize("allow_slower", [False, True])
@pytest.mark.parametrize("level", [np.inf, 3e-4])
@pytest.mark.parametrize("seed", range(4))
def test_the_program_finds_what_trying_all_finds_on_all_members(seed, level, allow_slower):
    members = drawn_fleet(seed, members=2 + seed % 2)
    shares = np.array([each.share for each in members])
    frontier = frontier_of(*members, allow_slower=allow_slower)
    masks = [np.array(each) for each in product([False, True], repeat=6)]
    masks = [each for each in masks if frontier.change(each) <= level]
    saved = {each.tobytes(): saved_shares(members, each) for each in masks}
    allowed = [each for each in saved.values() if allow_slower or (each >= -1e-9).all()]
    found = saved[frontier.fastest(level).tobytes()]
    assert allow_slower or (found >= -1e-6).all(), "no member is slower than its FP32"
    assert shares @ found == pytest.approx(max(shares @ each for each in allowed), abs=2e-3)
    best = max(np.prod((1 - each) ** -shares) for each in allowed)
    assert np.prod((1 - found) ** -shares) >= 0.985 * best, "nor is the geometric mean far from the best"


def test_what_the_sums_promise_the_geometric_mean_keeps():
    members = drawn_fleet(7, members=3)
    frontier = frontier_of(*members)
    found = frontier.fastest(np.inf)
    saved = saved_shares(members, found)
    shares = np.array([each.share for each in members])
    assert frontier.speedup(found) == pytest.approx(np.prod((1 - saved) ** -shares))
    assert frontier.speedup(found) >= 1 / (1 - shares @ saved)


def test_a_fleet_whose_members_are_alike_is_surveyed_as_one_of_them():
    one = tuple(chain(4, change=lambda index: 10.0 ** (index - 6), entering=lambda _: 1.0))
    together = of_all([member("a", 0.7, one), member("b", 0.3, one)])
    for each, alone in zip(together, one, strict=True):
        assert (each.name, each.before, each.change) == (alone.name, alone.before, alone.change)
        told = (each.fp32_us, each.int8_us, each.saved_us.value, each.entering_us, each.leaving_us)
        assert told == pytest.approx((20.0, 10.0, 10.0, 1.0, 0.0))
        assert each.saved_us.high - each.saved_us.value < 0.5, "two tell more than one"


def test_a_slow_member_counts_by_its_share_and_not_by_its_time():
    slow = chain(2, fp32=lambda _: 2000.0, saved=lambda index: [200.0, 0.0][index])
    fast = chain(2, fp32=lambda _: 2.0, saved=lambda index: [-0.1, 1.0][index])
    first, second = of_all([member("slow", 0.1, slow), member("fast", 0.9, fast)])
    assert first.saved_us.value < 0 < second.saved_us.value


# --- what trials correct, and what the walk does with it


def told(number, quantized, ratios, shares, lost=0.0, slower=(), total=6):
    """A trial of a fleet, with the latency ratio of each member."""
    latencies = {name: latency(each) for name, each in ratios.items()}
    scores = tuple(
        MemberScore(name, measurement(1 - lost, 1).accuracy, lost, latency=each) for name, each in latencies.items()
    )
    combined = combined_latency(latencies, shares)
    chosen = option(*(int(name.removeprefix("op")) for name in quantized), total=total)
    found = trial(number, lost, combined.ratio.value, chosen=chosen, members=scores)
    measured = replace(measurement(1 - lost, 1), latency=combined)
    return replace(found, measurement=measured, score=replace(found.score, slower=slower), structure=str(number))


SHARES = {"a": 0.5, "b": 0.5}


def walk_of(*members, count=6, **changes):
    return FrontierWalk(fleet_of(*members, **changes), option(*range(count), total=count), PARAMS)


def test_trials_correct_each_member_by_what_it_measured():
    """Both are said to save alike; on one of them two operations save nothing."""
    walk = walk_of(*(member(name, 0.5, chain(6, saved=lambda _: 10.0)) for name in "ab"))
    true = {"a": np.full(6, 10) / 120, "b": np.array([10, 10, 0, 10, 0, 10]) / 120}
    rng = np.random.default_rng(1)
    for number in range(14):
        mask = rng.random(6) < 0.6
        ratios = {name: float(1 / (1 - each[mask].sum())) for name, each in true.items()}
        walk.tell(told(number, [f"op{index}" for index in np.flatnonzero(mask)], ratios, SHARES))
    first, second = walk.saved()
    assert first / first.mean() == pytest.approx(1.0, abs=0.3)
    assert (second[[2, 4]] < 0.4 * second[[0, 1, 3, 5]].mean()).all()


def test_what_makes_a_member_slower_is_not_asked_again_nor_what_changes_as_much():
    walk = walk_of(*(member(name, 0.5, chain(6, change=lambda index: 2.0**-index)) for name in "ab"))
    walk.tell(told(0, walk.frontier.names, {"a": 2.0, "b": 0.8}, SHARES, slower=("b",)))
    asked = walk.next()
    assert asked is not None
    assert asked < set(walk.frontier.names)


class OnMembers:
    """Implements ``Candidates`` of a fleet: options whose time and loss add up of their operations' on each member."""

    def __init__(self, saved, shares, *, allow_slower=False):
        self._saved, self._shares, self._allow_slower = saved, shares, allow_slower
        self._rng = np.random.default_rng(0)

    def build(self, chosen):
        mask = np.array([choice.quantize for choice in chosen.operations.values()])
        return Built(mask.tobytes().hex(), mask.tobytes().hex(), 0.0), mask

    def score(self, mask, *, below=math.inf):
        found = measurement(1.0, 1)
        scores = tuple(MemberScore(name, found.accuracy, 0.0) for name in self._shares)
        return Scored(found.accuracy, found.metrics, None, False, 0.0, 0.0, scores)

    def measure(self, mask):
        ratios = {name: 1 / (1 - float(np.array(each)[mask].sum())) for name, each in self._saved.items()}
        found = {name: latency(each * np.exp(0.001 * self._rng.normal())) for name, each in ratios.items()}
        slower = () if self._allow_slower else tuple(name for name, each in found.items() if is_slower(each))
        execution = measurement(1, 1).execution
        return Timed(combined_latency(found, self._shares), execution, 0.0, 0.0, found, slower)


def searched(saved, *, allow_slower=False, until=30, count=12):
    """Search a fleet of two members on which each operation saves such a share, as it is surveyed."""
    members = [
        member(name, 0.5, chain(count, fp32=lambda _: 10.0, saved=lambda index, each=each: 10.0 * count * each[index]))
        for name, each in saved.items()
    ]
    recorder = TrialRecorder(PARAMS, 1.0, members=tuple(saved))
    planned = plan(operations=count, until=until, space=layers(count))
    planned = replace(planned, survey=fleet_of(*members, allow_slower=allow_slower))
    return drained(run_stage(planned, recorder, 0, Alone(OnMembers(saved, SHARES, allow_slower=allow_slower))))


def test_where_one_member_gains_and_the_other_must_not_lose_fp32_is_kept():
    saved = {"a": [0.03] * 12, "b": [-0.01] * 12}
    found, why = searched(saved)
    assert why.startswith("no INT8 model is predicted to be more than 1.0")
    assert why.endswith("keep FP32")
    assert len(found) <= 8


def test_where_a_member_may_lose_the_mean_decides():
    saved = {"a": [0.03] * 12, "b": [-0.01] * 12}
    found, why = searched(saved, allow_slower=True, until=12)
    assert (len(found), why) == (12, "")


def test_a_fleet_finds_what_gains_on_one_member_and_costs_the_other_nothing():
    saved = {"a": [0.04] * 12, "b": [0.02] * 6 + [-0.05] * 6}
    found, _ = searched(saved, until=10)
    allowed = [each for each in found if each.score and not each.score.slower]
    best = max(allowed, key=lambda each: each.score.latency_ratio)
    assert all(each.latency.ratio.value > 0.99 for each in best.members)
    # Six on both, and of the others so many as the second member has saved: two of them.
    assert best.score.latency_ratio >= 0.98 * (1 / (1 - 0.04 * 8) / (1 - 0.02)) ** 0.5


# --- how it is surveyed


def played(slow=1.0, failing=False, log=None, name=""):
    """Rounds of a member on which FP32 takes 20 microseconds a layer and INT8 half of that, times ``slow``."""

    def rounds(models):
        if failing:
            raise CellError("no profile", where="there", remedy="none")
        while True:
            if log is not None:
                log.append(name)
            plain = dict.fromkeys(("first", "second", "third"), ("kernel", 20.0 * slow))
            quantized = dict.fromkeys(plain, ("kernel", 10.0 * slow))
            yield [
                plain,
                quantized,
                {**plain, "second": ("kernel", 11.0 * slow)},
                {**quantized, "second": plain["second"]},
            ]

    return rounds


@functools.cache
def convolutions():
    return pipeline(wide(), SAMPLES, compression())


def surveyed(*places):
    pipe = convolutions()
    return survey_fleet(pipe, pipe._model, pipe.base, places, 100, allow_slower=False)


def test_members_are_profiled_one_after_another():
    log = []
    places = [Place(played(slow, log=log, name=name), infer_here, name, 0.5) for name, slow in (("a", 1.0), ("b", 3.0))]
    found = surveyed(*places)
    assert log == sorted(log)
    assert set(log) == {"a", "b"}
    assert [each.operations[0].fp32_us for each in found.members] == [20.0, 60.0]
    assert found.operations[0].fp32_us == pytest.approx((20 * 60) ** 0.5)
    assert found.speedup.value == pytest.approx(2.0)
    assert [each.speedup.value for each in found.members] == pytest.approx([2.0, 2.0])
    assert all(each.change > 0 for each in found.operations)


def test_a_member_that_cannot_be_profiled_counts_as_a_device_that_tells_no_times(capsys):
    found = surveyed(
        Place(played(), infer_here, "a", 0.5), Place(played(failing=True), None, "b", 0.3), Place(None, None, "c", 0.2)
    )
    assert found.speedup is None
    assert [each.speedup is None for each in found.members] == [False, True, True]
    for silent in found.members[1:]:
        assert {(each.fp32_us, each.int8_us) for each in silent.operations} == {(1.0, 0.0)}
    assert "operations are not surveyed on b: there: no profile" in capsys.readouterr().out
    assert [each.saved_us.value > 0 for each in found.operations] == [True] * 3


def test_an_operation_changes_as_much_as_on_the_member_where_it_changes_most():
    """The second member computes sums that overflow: what the third operation passes on is doubled."""

    def overflowing(model, samples):
        for sample, outputs in zip(samples, infer_here(model, samples), strict=True):
            yield [each * (2 if sample["quantize_zoo_switches"][2] else 1) for each in outputs]

    alone = surveyed(Place(played(), infer_here, "a", 0.5), Place(played(), None, "b", 0.5))
    found = surveyed(Place(played(), infer_here, "a", 0.5), Place(played(), overflowing, "b", 0.5))
    before, changes = ([each.change for each in survey.operations] for survey in (alone, found))
    assert changes[:2] == pytest.approx(before[:2])
    assert changes[2] == pytest.approx(1.0, rel=0.1)
    assert before[2] < 0.1


def test_a_search_that_goes_on_finds_the_members_in_the_store(tmp_path):
    survey = fleet_of(*(member(name, 0.5, chain(4, entering=lambda _: 1.5)) for name in "ab"), allow_slower=True)
    store = Store(f"sqlite:///{tmp_path}/store.db")
    start_run(store)
    cell = start_cell(store)
    store.set_reference(cell, reference(survey=survey))
    assert store.survey(cell) == survey


# --- what is told of it


def test_page_and_json_show_the_survey_of_a_fleet_with_its_members():
    told_of = Estimate(1.9, 1.8, 2.0, "x", 6)
    members = [replace(member(name, 0.5, chain(4)), speedup=told_of if name == "a" else None) for name in "ab"]
    survey = replace(fleet_of(*members), seconds=3.0)
    cell = cell_record([trial(0, 0.001, 1.8, chosen=option(0, 1))], reference=reference(survey=survey))
    report = make_run_report(run_record(cell))
    page = render_cell(report, report.cells[0])
    section = page[page.index('id="survey"') :]
    assert "a 1.90 [1.80, 2.00]" in section
    assert "b tells no times" in section
    assert report.cells[0].predictions.trials[0].predicted_speedup is None
    told_in_json = json_value(report)["cells"][0]
    document, names = told_in_json["reference"]["survey"], told_in_json["operations"]["name"]
    assert [names[each] for each in document["operation"]] == ["op0", "op1", "op2", "op3"]
    assert document["fp32_us"] == pytest.approx([20.0] * 4)
    assert document["output_change"] == pytest.approx([1e-4] * 4)
    assert [(each["name"], each["speedup"] and each["speedup"]["value"]) for each in document["members"]] == [
        ("a", 1.9),
        ("b", None),
    ]
    known = replace(survey, speedup=told_of)
    report = make_run_report(run_record(replace(cell, reference=reference(survey=known))))
    assert report.cells[0].predictions.trials[0].predicted_speedup == pytest.approx(80 / 60)
