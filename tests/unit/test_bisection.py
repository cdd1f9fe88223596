"""Bisection by verdicts that need not decide, whatever the steps are."""

import json
import math
from dataclasses import replace
from datetime import datetime, timezone

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import accepted, estimate
from quantize_zoo import errors
from quantize_zoo.cell import Cell
from quantize_zoo.config import DeviceSpec, ModelConfig, OptimizerParams
from quantize_zoo.errors import CellError, ConfigurationError
from quantize_zoo.gate import Check
from quantize_zoo.gate.bisection import MOST_LOOKS, CheckName, Narrowed, bisect, settle
from quantize_zoo.matrix import Step, baseline_of, limits_of
from quantize_zoo.matrix.bisection import bisect_steps
from quantize_zoo.report import Origin, answer_line, render_bisection, render_bisection_json
from quantize_zoo.report.bisection import BisectionDocument
from quantize_zoo.report.json_schema import BISECTION_SCHEMA_FILE, schema_text
from unit.test_gate_and_report import good, run_record

LATENCY = CheckName("runtime", "latency", "the baseline's INT8 model")
ACCURACY = CheckName("runtime", "accuracy", "the baseline's INT8 model")


# The sequence


@st.composite
def sequences(draw):
    """A length, the first bad position, and positions that cannot be decided."""
    count = draw(st.integers(2, 200))
    turn = draw(st.integers(1, count - 1))
    undecided = draw(st.sets(st.integers(1, count - 1), max_size=count)) - {count - 1}
    return count, turn, undecided


def judged(turn, undecided, asked):
    def judge(position):
        asked.append(position)
        return "undecided" if position in undecided else "bad" if position >= turn else "good"

    return judge


@given(sequences())
def test_turn_is_between_the_last_good_and_the_first_bad_and_nothing_decided_is(drawn):
    count, turn, undecided = drawn
    asked = []
    found = bisect(count, judged(turn, undecided, asked))
    assert found.good < turn <= found.bad
    assert found.good not in undecided
    assert found.bad not in undecided
    assert set(range(found.good + 1, found.bad)) <= undecided
    assert len(asked) == len(set(asked))
    assert {0, count - 1}.isdisjoint(asked)


@given(sequences())
def test_decided_steps_are_found_in_the_logarithm_of_their_number(drawn):
    count, turn, _ = drawn
    asked = []
    assert bisect(count, judged(turn, set(), asked)) == Narrowed(turn - 1, turn)
    assert len(asked) <= math.ceil(math.log2(count - 1)) if count > 2 else not asked


@given(st.lists(st.sampled_from(["good", "bad", "undecided"]), max_size=50))
def test_any_sequence_has_a_turn_that_is_found(between):
    sequence = ["good", *between, "bad"]
    found = bisect(len(sequence), sequence.__getitem__)
    assert sequence[found.good] == "good"
    assert sequence[found.bad] == "bad"
    assert set(sequence[found.good + 1 : found.bad]) <= {"undecided"}


# Looks


def seen(status, low=1.0, high=1.0, name=LATENCY):
    change = replace(estimate((low + high) / 2), low=low, high=high)
    return Check(*name, status, f"{status} [{low}, {high}]", change, margin=0.03)


@pytest.mark.parametrize(
    ("looks", "found", "count"),
    [
        ([seen("regressed", 1.06, 1.1)], "bad", 1),
        ([seen("pass", 0.99, 1.01)], "good", 1),
        ([seen("improved", 0.8, 0.9)], "good", 1),
        ([seen("regressed", 1.035, 1.05), seen("regressed", 1.035, 1.05)], "bad", 2),
        ([seen("pass", 1.0, 1.025), seen("regressed", 1.035, 1.05), seen("regressed", 1.032, 1.05)], "bad", 3),
        ([seen("inconclusive", 1.0, 1.06), seen("pass", 0.98, 1.0)], "good", 2),
        ([seen("inconclusive", 1.0, 1.06)] * 9, "undecided", MOST_LOOKS),
        ([seen("pass", 1.0, 1.02), seen("regressed", 1.031, 1.04)] * 9, "undecided", MOST_LOOKS),
        ([seen("inconclusive", 0.0, 0.02, ACCURACY)], "undecided", 1),
        ([seen("regressed", 0.0, 0.02, ACCURACY)], "bad", 1),
        ([seen("failed", name=ACCURACY)], "undecided", 1),
        ([None], "good", 0),
    ],
)
def test_what_is_near_the_margin_is_looked_at_until_two_in_a_row_agree(looks, found, count):
    status, kept = settle(looks.__getitem__)
    assert (status, kept) == (found, tuple(looks[:count]))


# Steps

STEPS = tuple(Step(f"2025.{minor}.0") for minor in range(9))


def releases(turn, broken=(), **changes):
    """A look at releases of which latency regresses at one, accuracy at another; some cannot be looked at."""
    looked = []

    def look(position, wanted):
        looked.append((position, wanted))
        if position in broken:
            raise errors.environment_failed(STEPS[position].name, "no disk")
        if position == 0:
            return ()
        slow = position >= turn
        latency = seen("regressed", 1.2, 1.3) if slow else seen("pass", 0.99, 1.0)
        wrong = position >= changes.get("accuracy", 99)
        accuracy = seen("regressed" if wrong else "pass", 0.0, 0.02, ACCURACY)
        return tuple(each for each in (accuracy, latency) if wanted is None or CheckName.of(each) in wanted)

    look.looked = looked
    return look


def bisected(look, steps=STEPS):
    lines = []
    return bisect_steps("net-CPU", "openvino", steps, look, lines.append), lines


@pytest.mark.parametrize("turn", range(1, len(STEPS)))
def test_first_bad_step_and_the_good_one_before_it(turn):
    look = releases(turn)
    found, lines = bisected(look)
    (answer,) = found.answers
    assert (answer.good, answer.bad, answer.check) == (turn - 1, turn, LATENCY)
    assert answer.at(turn).looks[0].status == "regressed"
    assert [position for position, _ in look.looked[:2]] == [0, 8]
    assert all(wanted == {LATENCY} for _, wanted in look.looked[2:])
    assert len(look.looked) <= 2 + 3
    assert f"{STEPS[8].name}: bad: latency regressed [1.2, 1.3] (the baseline's INT8 model)" in lines


def test_checks_that_turn_at_different_steps_have_an_answer_each():
    look = releases(3, accuracy=7)
    found, _ = bisected(look)
    assert {answer.check.quantity: (answer.good, answer.bad) for answer in found.answers} == {
        "accuracy": (6, 7),
        "latency": (2, 3),
    }
    assert len({position for position, _ in look.looked}) == len(look.looked)  # one look serves both


def test_steps_that_cannot_be_looked_at_leave_a_range():
    found, lines = bisected(releases(4, broken=(3, 4, 5)))
    (answer,) = found.answers
    assert (answer.good, answer.bad, found.decided) == (2, 6, False)
    assert "no environment with OpenVINO 2025.4.0 could be made: no disk" in answer.at(4).problem
    assert any("2025.4.0: undecided" in line for line in lines)
    assert answer_line(found, answer).endswith(
        "after 2025.2.0, not later than 2025.6.0; 3 steps between could not be decided"
    )


def test_step_whose_comparison_failed_is_not_taken_for_good():
    failed = Check("runtime", "accuracy", "the baseline", "failed", "the model is not there")
    look = releases(6)
    found, _ = bisected(lambda at, wanted: (failed,) if at == 4 else look(at, wanted))
    (answer,) = found.answers
    assert (answer.at(4).found, answer.good, answer.bad) == ("undecided", 5, 6)


def test_ends_that_do_not_differ_are_told():
    with pytest.raises(CellError, match=r"nothing to bisect: 2025\.8\.0 has not regressed against 2025\.0\.0: .*pass"):
        bisected(releases(99))

    def look(position, wanted):
        return (seen("regressed", 1.2, 1.3),)

    with pytest.raises(CellError, match=r"nothing to bisect: 2025\.0\.0 has regressed as 2025\.8\.0 has"):
        bisected(look)


@pytest.mark.parametrize(("position", "name"), [(0, "2025.0.0"), (8, "2025.8.0")])
def test_end_that_cannot_be_looked_at_or_decided_is_told(position, name):
    with pytest.raises(CellError, match="could be made") as raised:
        bisected(releases(4, broken=(position,)))
    assert raised.value.where == f"{name}, --over openvino"

    def look(at, wanted):
        return (seen("inconclusive", 1.0, 1.06) if at == position else seen("regressed", 1.2, 1.3),)

    with pytest.raises(CellError, match=f"cannot be decided whether {name} is good or bad"):
        bisected(look)


def test_kind_of_an_ends_error_stays_as_it_is():
    def look(position, wanted):
        raise errors.unknown_model_name("net", ["other"])

    with pytest.raises(ConfigurationError, match="the matrix has no model"):
        bisected(look)


# What is told

ORIGIN = Origin("bisect-1", datetime(2026, 1, 1, tzinfo=timezone.utc), 61.0, "quantize-zoo bisect net-CPU", "run")


def test_document_has_both_verdicts_and_all_that_was_seen():
    found, _ = bisected(releases(4, broken=(2,)))
    document = json.loads(render_bisection_json(found, ORIGIN))
    (answer,) = document["answers"]
    assert (answer["good"], answer["bad"], answer["decided"], document["decided"]) == (
        "2025.3.0",
        "2025.4.0",
        True,
        True,
    )
    steps = {step["name"]: step for step in answer["steps"]}
    assert [steps[name]["looks"][0]["status"] for name in ("2025.3.0", "2025.4.0")] == ["pass", "regressed"]
    assert steps["2025.4.0"]["looks"][0]["time_ratio"]["low"] == 1.2
    assert steps["2025.7.0"]["found"] is None
    assert answer["order"][:2] == ["2025.0.0", "2025.8.0"]


def test_document_follows_the_published_schema():
    text = BISECTION_SCHEMA_FILE.read_text()
    assert text == schema_text(BisectionDocument), "run: python -m quantize_zoo.report.json_schema"
    validator = jsonschema.Draft202012Validator(json.loads(text))
    validator.check_schema(validator.schema)
    found, _ = bisected(releases(4, broken=(2,)))
    document = json.loads(render_bisection_json(found, ORIGIN))
    validator.validate(document)
    document["answers"][0].pop("good")
    assert not validator.is_valid(document), "the schema takes anything"


def test_page_tells_the_answer_and_escapes_what_others_wrote():
    steps = tuple(replace(step, told="<script>alert(1)</script>") for step in STEPS)
    found, _ = bisected(releases(4), steps)
    page = render_bisection(found, ORIGIN)
    answer = "OpenVINO release 2025.4.0 is the first bad one, 2025.3.0 was good"
    assert f"{answer} (2025.4.0: regressed [1.2, 1.3]; 2025.3.0: pass [0.99, 1.0])" in page
    assert "<script>" not in page
    assert "regressed [1.2, 1.3]" in page
    assert "default-src &#39;none&#39;" in page


# Cells


CPU_CELL = Cell(ModelConfig(name="net", model="net.onnx", accuracy_checker={}), DeviceSpec(device="CPU"))


def night_of(method="cold_start", **params):
    """A night of the cell with these parameters of its search."""
    return run_record(replace(good(), method=method, params=OptimizerParams(**params)))


@pytest.mark.parametrize(
    ("newest", "changes"),
    [
        (None, {}),
        (night_of(), {}),
        (night_of(max_trials=2), {"max_trials": 2}),
        (night_of("fine_tune", max_minutes=5), {"max_minutes": 5}),
        (night_of("eval", max_trials=7), {"max_trials": 1}),
        (run_record(replace(good(), model="other")), {}),
    ],
)
def test_nights_of_commits_are_as_long_as_the_newest_one(newest, changes):
    assert limits_of(newest, CPU_CELL) == changes


def test_baseline_is_the_cells_on_whichever_cpu_model():
    on = {device: accepted(replace(good(), device=device)) for device in ("CPU@A", "CPU@B")}
    for name, device in (("net-CPU", "CPU@A"), ("net-CPU@B", "CPU@B")):
        assert baseline_of(name, CPU_CELL, list(on.values())) is on[device]
    with pytest.raises(ConfigurationError, match=r"cell net-CPU has no baseline.*: other-CPU"):
        baseline_of("net-CPU", CPU_CELL, [accepted(replace(good(), model="other"))])
