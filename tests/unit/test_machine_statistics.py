"""A cell's statistics go once to each machine, and to its other workers without being sent."""

import tempfile
import time

import pytest

pytest.importorskip("distributed", reason="Dask is an extra")

from distributed import Client, LocalCluster

from builders import option
from quantize_zoo.cell import Cell
from quantize_zoo.config import DeviceSpec
from quantize_zoo.engines.dask import engine as engines
from quantize_zoo.engines.dask import worker as tasks
from quantize_zoo.engines.dask.statistics import Calibrated, MachineStatistics

CONTENTS = {"a.npz": b"minima", "b.npz": b"maxima"}
CALIBRATED = Calibrated(option(0), CONTENTS)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def shared_folder(temporary):
    (found,) = temporary.glob("quantize-zoo-statistics-*")
    return found


def test_workers_of_a_machine_read_what_one_of_them_keeps(temporary):
    one, other = (MachineStatistics(temporary / name) for name in ("one", "other"))
    assert not other.has("key", CALIBRATED.told)
    one.keep("key", CONTENTS)
    assert other.has("key", CALIBRATED.told)
    other.place("key", CALIBRATED.told, temporary / "session")
    assert {path.name: path.read_bytes() for path in (temporary / "session").iterdir()} == CONTENTS
    one.release("key")
    assert not other.has("key", CALIBRATED.told)
    assert not list(shared_folder(temporary).iterdir())


def test_other_contents_under_the_name_are_not_taken_for_them(temporary):
    one = MachineStatistics(temporary / "one")
    one.keep("key", {**CONTENTS, "b.npz": b"of another"})
    assert not one.has("key", CALIBRATED.told)


def test_a_folder_that_others_can_write_is_not_shared(temporary):
    MachineStatistics(temporary / "one")
    shared_folder(temporary).chmod(0o777)
    one, other = (MachineStatistics(temporary / name) for name in ("one", "other"))
    one.keep("key", CONTENTS)
    assert one.has("key", CALIBRATED.told)
    assert not other.has("key", CALIBRATED.told)


@pytest.fixture
def cluster(temporary):
    """An engine for three workers, and the list of what it asks of them: the question, and how many are asked."""
    roles = {"accuracy": 1, "latency": 1}
    with (
        LocalCluster(
            n_workers=3, threads_per_worker=1, processes=False, resources=roles, dashboard_address=None,
            local_directory=str(temporary),
        ) as started,
        Client(started) as client,
    ):  # fmt: skip
        engine = engines.DaskEngine(client, "master", 1_000_000)
        asked, ask = [], engine.roster.ask

        def counting(question, *arguments, **options):
            asked.append((question, len(options.get("workers", ()))))
            return ask(question, *arguments, **options)

        engine.roster.ask = counting
        yield engine, asked


def open_cell(engine, mobilenet, tmp_path):
    return engine.open(Cell(mobilenet, DeviceSpec(device="CPU")), tmp_path / "log")


def test_statistics_are_sent_once_to_a_machine_with_three_workers(cluster, mobilenet, tmp_path):
    engine, asked = cluster
    with open_cell(engine, mobilenet, tmp_path) as cell:
        cell._calibrated = CALIBRATED
        cell.provide(engine.workers(cell, "accuracy"))
        assert [count for question, count in asked if question is tasks.keep_statistics] == [1]
        assert [count for question, count in asked if question is tasks.learn_calibrated] == [3, 2]
        asked.clear()
        cell.provide(engine.workers(cell, "accuracy"))
        assert asked == [], "they have been told"
    assert not list(shared_folder(tmp_path).iterdir())


def test_statistics_that_a_worker_of_the_machine_collected_are_not_sent(cluster, mobilenet, tmp_path):
    engine, asked = cluster
    with open_cell(engine, mobilenet, tmp_path) as cell:
        MachineStatistics(tmp_path / "own").keep(cell.files.key, CONTENTS)
        cell._calibrated = CALIBRATED
        cell.provide(engine.workers(cell, "accuracy"))
        assert [question for question, _ in asked if question is tasks.keep_statistics] == []


def test_64_workers_cost_the_client_less_than_20_ms_a_trial(cluster, mobilenet, tmp_path):
    """What the client does for a call beside Dask's own work: who may work for the cell, and what they lack."""
    engine, _ = cluster
    member = next(iter(engine.roster.members().values()))
    many = {f"tcp://10.0.0.{number}:1": member for number in range(64)}
    engine.roster._refresh = lambda: None
    with open_cell(engine, mobilenet, tmp_path) as cell:
        engine.roster._members = many
        cell._calibrated = CALIBRATED
        cell._provided = dict.fromkeys(many, CALIBRATED)
        started = time.process_time()
        for _ in range(50):
            cell.provide(engine.workers(cell, "accuracy"))
        assert (time.process_time() - started) / 50 < 0.02
