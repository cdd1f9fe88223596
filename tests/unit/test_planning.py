"""What a night does with each cell, from what the last ones found."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize_zoo.cell import Cell
from quantize_zoo.config import DeviceSpec, load_matrix
from quantize_zoo.matrix.planning import (
    SETTLED_NIGHTS,
    as_planned,
    expected_seconds,
    gain_of,
    names_of,
    overrun,
    plan_night,
    shared_out,
)
from quantize_zoo.store import PastNight
from unit.test_config import MODEL

NIGHT = PastNight(100.0, 80.0, 20, "cold_start", "a", 1.5, alarmed=False)


@pytest.fixture
def cells(tmp_path):
    """Three cells, whose searches make 20 trials, and what changes their parameters."""

    def make(**changes):
        model = load_matrix(write_model(tmp_path)).models[0].with_optimizer({"max_trials": 20, **changes})
        return [Cell(model.model_copy(update={"name": name}), DeviceSpec(device="CPU")) for name in "xyz"]

    return make


def write_model(folder):
    (folder / "net.onnx").touch()
    path = folder / "net.yml"
    path.write_text(MODEL)
    return path


def plans(cells, *nights, seconds=None, stored=()):
    history = {names_of(cell): past for cell, past in zip(cells, nights, strict=True)}
    return plan_night(cells, history, dict(zip(map(names_of, cells), stored, strict=False)), seconds)


def test_without_a_limit_cells_do_what_their_configuration_says(cells):
    settled = [NIGHT] * SETTLED_NIGHTS
    found = plans(cells(), settled, [], [replace(NIGHT, alarmed=True)])
    assert [(each.method, each.minutes, each.why) for each in found] == [("cold_start", None, "as configured")] * 3
    assert [each.seconds for each in found] == [
        100.0,
        None,
        100.0,
    ]  # 20 s beside 20 trials of 4 s; nothing known; the first's


def test_who_searches_and_who_is_only_looked_at(cells):
    settled, improved = [NIGHT] * SETTLED_NIGHTS, [replace(NIGHT, best="b"), *[NIGHT] * SETTLED_NIGHTS]
    x, y, z = plans(cells(), settled, improved, [], seconds=3600)
    assert (x.method, x.trials, x.seconds, x.minutes) == ("eval", 1, 24.0, None)
    assert x.why == f"the best has not changed for {SETTLED_NIGHTS} nights"
    assert (y.method, z.method, z.why) == ("cold_start", "cold_start", "new")


def test_an_alarm_and_a_long_time_without_a_search_end_the_rest(cells):
    settled = [NIGHT] * SETTLED_NIGHTS
    evaluated = [replace(NIGHT, method="eval", trials=1, search_seconds=4.0, seconds=24.0)] * SETTLED_NIGHTS
    x, y, z = plans(
        cells(), [replace(NIGHT, alarmed=True), *settled], [*evaluated, *settled], evaluated[1:] + settled, seconds=3600
    )
    assert (x.method, x.why) == ("cold_start", "alarmed last night")
    assert (y.method, y.why) == ("cold_start", f"not searched for {SETTLED_NIGHTS} nights")
    assert z.method == "eval"


def test_who_gained_more_gets_more(cells):
    gained = [replace(NIGHT, speedup=1.5 * 1.02**-age, best=str(age)) for age in range(8)]
    assert gain_of(gained) == pytest.approx(0.02)
    same = [replace(NIGHT, best=str(age)) for age in range(8)]
    again = [replace(NIGHT, speedup=1.5 * 1.02**-age) for age in range(8)]
    assert gain_of(again) == 0, "measured anew, and no other model"
    x, y, z = plans(cells(max_trials=1000), gained, same, same, seconds=60 + 500)
    assert (x.minutes, y.minutes, z.minutes) == pytest.approx((5, 5 / 3, 5 / 3))  # weights 3, 1, 1
    assert x.trials == pytest.approx(300 / 4, abs=1)
    assert sum(each.seconds for each in (x, y, z)) <= 60 + 500 + 3 * 4  # a trial that has begun is finished


def test_what_one_cannot_use_the_others_get(cells):
    x, y, z = plans(cells(), [NIGHT], [NIGHT], [], seconds=3600)
    assert [each.trials for each in (x, y, z)] == [20, 20, 20]
    # A night in which all is slower than in others cuts nobody while time is left; z is taken for what the others are.
    assert [each.minutes for each in (x, y, z)] == pytest.approx([(3600 - 60) / 3 / 60] * 3)
    limited = plans(cells(max_minutes=1.0), [NIGHT], [NIGHT], [NIGHT], seconds=3600)
    assert [(as_planned(each).model.optimizer.params.max_minutes, each.trials) for each in limited] == [(1.0, 15)] * 3


def test_where_no_time_is_left_stored_ones_are_evaluated_and_new_ones_begun(cells):
    x, y, z = plans(cells(), [NIGHT], [replace(NIGHT, alarmed=True)], [], seconds=10)
    assert (x.method, y.method) == ("eval", "eval")
    assert y.why == "alarmed last night, and no time is left to search"
    assert (z.method, z.minutes) == ("cold_start", 1.0)


def test_an_evaluation_that_is_configured_stays_one(cells):
    x, *_ = plans(cells(trials_load_method="eval"), [], [], [], seconds=3600)
    assert (x.method, x.trials, x.minutes, x.why) == ("eval", 1, None, "as configured")


def test_what_made_no_trial_last_night_is_expected_to_make_none(cells):
    absent = replace(NIGHT, trials=0, search_seconds=0.0, seconds=0.5, best=None, speedup=None)
    x, y, z = plans(cells(), [absent], [NIGHT], [absent, NIGHT])
    assert [(each.trials, each.seconds) for each in (x, y, z)] == [(0, 0.5), (20, 100.0), (0, 0.5)]
    assert expected_seconds([x, y, z]) == 101


def test_a_run_of_what_nobody_knows_takes_what_nobody_knows(cells):
    assert expected_seconds(plans(cells(), [], [], [])) is None
    assert expected_seconds(plans(cells(), [], [NIGHT], [])) == 300


AMOUNTS = st.floats(0, 1e6)


@given(AMOUNTS, st.lists(st.tuples(st.floats(0.1, 100), AMOUNTS), max_size=30))
def test_nothing_is_given_out_twice_and_nothing_is_kept_that_somebody_can_use(amount, wishes):
    weights = {index: weight for index, (weight, _) in enumerate(wishes)}
    most = {index: wanted for index, (_, wanted) in enumerate(wishes)}
    shares = shared_out(amount, weights, most)
    assert shares.keys() == most.keys()
    assert all(0 <= share <= most[index] + 1e-6 for index, share in shares.items())
    assert sum(shares.values()) == pytest.approx(min(amount, sum(most.values())), abs=1e-3)
    units = [shares[index] / weights[index] for index in shares if shares[index] < most[index] - 1e-6]
    assert units == pytest.approx([max(units)] * len(units)) if units else True


def test_a_search_that_ended_by_itself_is_expected_to_do_so_again(cells):
    """Of 20 trials it made 6, since nothing pays; what goes on with it has none to make."""
    early = replace(NIGHT, trials=6, search_seconds=24.0, seconds=44.0, ended=True)
    complete = replace(NIGHT, trials=0, search_seconds=0.0, seconds=20.0)
    cut = replace(early, ended=False)
    x, y, z = plans(cells(), [early], [NIGHT, early], [cut])
    assert [(each.trials, each.seconds) for each in (x, y, z)] == [(6, 44.0), (20, 100.0), (20, 100.0)]
    warm = cells(trials_load_method="warm_start")
    ended, absent = [replace(complete, ended=True), early], [replace(complete, best=None)]
    x, y, z = plans(warm, ended, [complete, NIGHT], absent, stored=(6, 20, 6))
    assert [(each.trials, each.seconds) for each in (x, y, z)] == [(0, 20.0)] * 3
    assert [each.why.partition("; ")[2] for each in (x, y, z)] == [
        "its stored search has ended", "its stored search has all its trials", "no trial last night",
    ]  # fmt: skip


def test_a_search_that_goes_on_makes_what_is_missing_of_its_trials(cells):
    complete = replace(NIGHT, trials=0, search_seconds=0.0, seconds=20.0)
    warm = cells(trials_load_method="warm_start")
    x, y, z = plans(warm, [NIGHT], [complete, NIGHT], [], stored=(20, 12, 5))
    assert [(each.trials, each.seconds) for each in (x, y, z)] == [(0, 20.0), (8, 52.0), (15, None)]
    assert x.why == "as configured; its stored search has all its trials"
    evaluated, *_ = plans(cells(trials_load_method="eval"), [complete, NIGHT], [], [], stored=(20, 20, 20))
    assert (evaluated.trials, evaluated.why) == (1, "as configured")


def test_what_an_ended_search_does_not_take_of_a_night_the_others_get(cells):
    early = replace(NIGHT, trials=6, search_seconds=24.0, seconds=44.0, ended=True)
    x, y, z = plans(cells(), [early], [NIGHT], [NIGHT], seconds=60 + 24 + 2 * 80)
    assert (x.method, x.trials) == ("cold_start", 6)
    assert [60 * each.minutes for each in (x, y, z)] == pytest.approx([24, 80, 80])
    warm = cells(trials_load_method="warm_start")
    x, y, z = plans(warm, [early], [NIGHT], [NIGHT], seconds=60 + 4 + 2 * 80)
    assert (x.method, x.trials, x.minutes) == ("warm_start", 0, pytest.approx(4 / 60)), "enough to see if it is another"
    assert [60 * each.minutes for each in (y, z)] == pytest.approx([80, 80])


@pytest.mark.parametrize(
    ("minutes", "limit", "told"), [(0.2, 0.001, True), (480.5, 480.0, False), (600.0, 480.0, True)]
)
def test_a_night_that_took_clearly_longer_than_it_was_to_says_so(minutes, limit, told):
    assert (
        f"the night took {minutes} minutes, and max_minutes_a_night is {limit:g}" in overrun(minutes, limit)
    ) == told
