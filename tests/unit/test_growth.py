"""What grows with operations, trials, cells, nights and files grows no faster than these; ``growth.py`` tells more."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import growth
from growing import Row, exponent, figures_of, told

from quantize_zoo.report import drawing
from quantize_zoo.store import Store


def power(measure, *sizes):
    return exponent(figures_of(Row("", sizes, measure, "")))


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory):
    former, growth._FOLDER = growth._FOLDER, tmp_path_factory.mktemp("growth")
    yield
    former.rmdir()


def test_the_exponent_is_the_slope_of_the_logarithms():
    assert exponent({10: 5.0, 100: 500.0, 1000: 50_000.0}) == pytest.approx(2)
    with pytest.raises(ValueError, match="two sizes at least"):
        exponent({10: 5.0})
    *_, line = told([Row("cost", (100, 10), lambda size: 3.0 * size, "s")])
    assert line == "| cost | 10: 30 s, 100: 300 s | 1.00 |"


def test_a_trial_tells_of_each_operation_which_choice_it_has_and_no_more():
    assert power(growth.bytes_of_a_trial, 30, 150, 500) < 0.5
    assert growth.bytes_of_a_trial(500) < 10_000


def test_what_stays_from_night_to_night_is_stored_once():
    assert power(lambda nights: growth.bytes_of_a_store(nights, 4), 10, 100) < 1
    one_more = growth.bytes_of_a_store(100, 4) - growth.bytes_of_a_store(10, 4)
    assert one_more / (90 * 4) < 0.006, "6 kB a cell, with 3 trials of 30 operations"


def test_a_report_reads_the_last_nights_whatever_was_before():
    assert power(lambda nights: growth.history(nights, 4), 100, 400) < 0.7


def test_where_a_search_starts_is_found_without_the_trials_of_all_nights():
    assert power(growth.one_trial, 10, 50) < 0.8
    assert power(lambda nights: growth.start_of_a_cell(nights, 1), 40, 400) < 1.3


def test_a_list_of_trials_takes_a_fraction_of_what_whole_cells_take():
    folder, _ = growth.stored(1, 20, 5)
    store = Store(growth.url_of(folder))
    store.listed_trials()
    assert growth.seconds(store.listed_trials) < growth.seconds(store.load_run) / 2


def test_a_chart_is_made_once_for_all_cells():
    growth.report(1, 2)
    before = drawing._template.cache_info().misses
    growth.report(1, 8)
    assert drawing._template.cache_info().misses == before


def test_documents_grow_with_the_cells():
    assert power(growth.results, 2, 16) < 1.02
    assert power(growth.overview, 8, 64) < 1.02
    assert growth.overview(8, 1000) == pytest.approx(growth.overview(8, 90), rel=0.1)


def test_files_that_a_worker_wants_are_found_in_one_pass():
    assert power(growth.wanted_files, 1000, 10_000) < 1.5


def test_old_nights_go_in_a_time_like_their_number():
    assert power(lambda nights: growth.pruning(nights, 1), 50, 400) < 1.3
