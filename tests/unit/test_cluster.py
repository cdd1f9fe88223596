"""What a cluster's client decides, without a cluster."""

from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="Dask is an extra")

from hypothesis import given
from hypothesis import strategies as st

from quantize_zoo.cell import Cell
from quantize_zoo.config import DeviceSpec
from quantize_zoo.engines.dask.files import files_of
from quantize_zoo.engines.dask.leases import share_out
from quantize_zoo.engines.dask.usage import Usage
from quantize_zoo.engines.dask.worker import Done, Facts
from quantize_zoo.engines.fetching import fetch
from quantize_zoo.graph import canonical_path
from quantize_zoo.search import Built, Evaluation, Scored, Timed

WORKERS = st.lists(st.sampled_from([f"w{number}" for number in range(12)]), unique=True)
CELLS = st.lists(st.sampled_from("abcd"), unique=True, min_size=1)


@given(leases=st.dictionaries(st.sampled_from([f"w{number}" for number in range(12)]), st.sampled_from("abcd")),
       cells=CELLS, workers=WORKERS)  # fmt: skip
def test_workers_are_shared_out_evenly_and_few_move(leases, cells, workers):
    shared = share_out(leases, cells, workers)
    assert shared.keys() == set(workers)
    counts = [list(shared.values()).count(cell) for cell in cells]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == len(workers)
    assert share_out(shared, cells, workers) == shared
    before = {cell: sum(leases.get(worker) == cell for worker in workers) for cell in cells}
    kept = sum(leases.get(worker) == cell for worker, cell in shared.items())
    # The most that any even division could keep: the fullest cells get the larger shares.
    least, more = divmod(len(workers), len(cells))
    ranked = sorted(before.values(), reverse=True)
    assert kept == sum(min(count, least + (place < more)) for place, count in enumerate(ranked))


def test_no_cell_no_lease():
    assert share_out({"w1": "a"}, [], ["w1", "w2"]) == {}


FACTS = {
    "tcp://1": Facts("host-a", "one", "CPU A", {}),
    "tcp://2": Facts("host-a", "one", "CPU A", {}),  # the same worker after its nanny restarted it
    "tcp://3": Facts("host-b", "two", "CPU A", {}),
}


def test_usage_adds_up_by_worker(monkeypatch):
    built = Built("candidate", "structure", 0.1)
    scored = Scored(accuracy=None, metrics={}, per_sample=None, hopeless=False, compile_seconds=0.0, seconds=0.0)
    timed = Timed(None, None, 0.0, 0.0)
    usage = Usage(100.0, FACTS.__getitem__)
    usage.add(Done(Evaluation(built, scored), "tcp://1", 2.0), measures=False)
    usage.add(Done(Evaluation(built, scored, timed), "tcp://2", 3.0), measures=False)
    usage.add(Done((timed, "host-b"), "tcp://3", 1.0), measures=True)
    usage.add(Done("prepared", "tcp://3", 1.5), measures=False)
    one, two = usage.until(110.0)
    assert (one.name, one.host, one.scored, one.measured, one.seconds, one.share) == ("one", "host-a", 2, 1, 5.0, 0.5)
    assert (two.name, two.scored, two.measured, two.seconds, two.share) == ("two", 0, 1, 2.5, 0.25)


def test_a_cell_of_a_cpu_model_is_told_apart(mobilenet):
    from quantize_zoo.config import DeviceSpec

    plain = Cell(mobilenet, DeviceSpec(device="CPU"))
    assert plain.key.device_label == "CPU"
    other = Cell(mobilenet, DeviceSpec(device="CPU"), cpu="AMD EPYC 7B13 64-Core Processor (x)")
    assert other.key.device_label == "CPU@AMD-EPYC-7B13-64-Core-Processor-x"
    assert other.key.label.partition("@")[0] == plain.key.label


def test_a_cells_files_have_one_root_also_where_the_reports_are_named_relative(mobilenet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = canonical_path(mobilenet.model, mobilenet.input_shapes, Path("reports", "models"))
    kept.parent.mkdir(parents=True)
    kept.write_text("")  # made by an earlier night
    cell = fetch(Cell(mobilenet, DeviceSpec(device="CPU")), Path("reports", "models"), Path("log"))
    assert cell.model.model == kept.absolute()
    assert kept.absolute().is_relative_to(files_of(cell).root)
