"""A list of trials shows what whole cells have."""

import pytest

from growing_stores import store_night
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.store import Store


@pytest.fixture
def store(tmp_path):
    """A night of two cells, and another in which the first goes on from the night before, and one has no trials."""
    opened = Store(f"sqlite:///{tmp_path / 'store.db'}")
    first, _ = store_night(opened, "one", ["a", "b"], trials=2, operations=4)
    opened.start_run("two", matrix="m", command="", seed=0, require_targets=False, on_missing_device="skip")
    params = opened.load_run("one").cells[0].params
    for name in ("a", "c"):
        cell = opened.start_cell("two", model=name, device="CPU", method="warm_start", params=params)
        if name == "a":
            opened.set_continues(cell, first)
    return opened


@pytest.mark.parametrize("run", ["one", "two", None])
def test_cells_and_trials_are_those_of_the_run(store, run):
    listed, record = store.listed_trials(run), store.load_run(run)
    assert [cell.name for cell in listed] == [cell.name for cell in record.cells]
    assert [cell.best for cell in listed] == [cell.final and cell.final.trial for cell in record.cells]
    for cell, whole in zip(listed, record.cells, strict=True):
        assert [(each.number, each.loss, each.failure) for each in cell.trials] == [
            (each.number, each.loss, each.failure) for each in whole.trials
        ]
        assert [each.measurement.latency.ratio for each in cell.trials] == [
            each.measurement.latency.ratio for each in whole.trials
        ]


def test_trials_of_the_cell_before_are_listed(store):
    assert [len(cell.trials) for cell in store.listed_trials("two")] == [2, 0]


def test_an_unknown_run_is_told(store):
    with pytest.raises(ConfigurationError, match="three"):
        store.listed_trials("three")
