"""What is packed is read back; names of layers are kept once, single times in six digits, all else as it is."""

import random
from dataclasses import replace

import pytest

from builders import final, reference, trial
from growing_stores import measured_latency, operation_names
from kill_store import start_cell, start_run
from quantize_zoo.scoring import LayerTime
from quantize_zoo.store import Store
from quantize_zoo.store.digits import in_digits
from quantize_zoo.store.layers import joined_layers, split_layers
from quantize_zoo.store.packing import _COMMON, pack, unpack
from stores import execute

LAYERS = tuple(
    LayerTime(name, 12.5, None if number % 2 else 0.0, "f32", f"i8_{number % 3}")
    for number, name in enumerate(operation_names(20))
)


def test_values_of_an_earlier_format_are_read():
    import zlib

    stream = zlib.compressobj(9, zdict=_COMMON)
    packed = b"\x01" + stream.compress(b'{"measurement":null}') + stream.flush()
    assert unpack(packed) == {"measurement": None}
    assert unpack(pack({"measurement": None})) == {"measurement": None}


def test_single_times_have_six_digits_and_figures_all_of_theirs():
    value = {
        "latency": {"ratio": {"value": 1 / 3, "low": 2 / 3}, "compilations": [[100 / 3, 200 / 3]]},
        "seconds": {"build": 1 / 3}, "loss": 1 / 7, "others": [{"seconds": 1 / 3}],
    }  # fmt: skip
    assert in_digits(value) == {
        "latency": {"ratio": {"value": 1 / 3, "low": 2 / 3}, "compilations": [[33.3333, 66.6667]]},
        "seconds": {"build": 0.333333}, "loss": 1 / 7, "others": [{"seconds": 0.333333}],
    }  # fmt: skip


@pytest.fixture
def finished(url):
    """A store of three nights of a cell with the same layers, and the cell's final."""
    store = Store(url)
    found = replace(final(0, 1.5), layers=LAYERS, latency=replace(measured_latency(1.5, random.Random(0), 4)))
    for number in range(3):
        start_run(store, f"night{number}")
        cell = start_cell(store, f"night{number}")
        store.set_reference(cell, reference())
        store.add_trial(cell, trial(0, 0.0, 1.5))
        store.set_final(cell, found)
        store.finish_run(f"night{number}", "finished")
    return store, found


def test_layers_are_read_as_they_were_and_their_names_are_kept_once(finished, url):
    store, found = finished
    (cell,) = store.load_run("night2").cells
    assert cell.final.layers == LAYERS
    assert cell.final.latency.ratio == found.latency.ratio
    times = [time for pair in found.latency.compilations for time in pair]
    assert [time for pair in cell.final.latency.compilations for time in pair] == pytest.approx(times, rel=1e-5)
    assert len(execute(url, "SELECT DISTINCT layers_id FROM cells")) == 1


def test_names_stay_as_long_as_a_cell_has_them(finished, url):
    store, _ = finished
    store.delete_runs(["night0", "night1"])
    assert store.load_run("night2").cells[0].final.layers == LAYERS


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"kernels": ["f32"]}, ["a", "b"]),
        ({"candidate_kernel": [7]}, ["a"]),
        ({"candidate_kernel": [-1]}, ["a"]),
        ({"reference_us": None}, ["a"]),
        ({}, None),
    ],
)
def test_columns_that_do_not_belong_together_are_refused(columns, names):
    whole, _ = split_layers({"layers": [{"name": "a", "reference_us": 1.0, "candidate_us": 2.0, "reference_kernel": "",
                                         "candidate_kernel": ""}]})  # fmt: skip
    whole["layers"].update(columns)
    with pytest.raises(ValueError, match=r"cell 1\.final\.layers"):
        joined_layers(whole, names, "cell 1.final")
