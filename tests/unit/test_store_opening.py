"""Opening a store: migrations as a whole, stores of older releases, and runs whose process is gone."""

import itertools
import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from kill_store import start_cell, start_run
from quantize_zoo.config import DeviceSpec
from quantize_zoo.errors import ConfigurationError, QuantizeZooError
from quantize_zoo.store import Store
from quantize_zoo.store.packing import unpack
from quantize_zoo.store.processes import is_gone, this_process
from quantize_zoo.store.schema import Base
from stores import (
    execute,
    insert,
    is_killed_at,
    make_store_of_0_1_0,
    migrate_as_0_1_0,
    open_store,
    open_store_together,
    processes,
    run_until_killed,
    tables_of,
)

pytestmark = pytest.mark.usefixtures("own_server")

CURRENT = {name: set(table.columns.keys()) for name, table in Base.metadata.tables.items()} | {
    "alembic_version": {"version_num"}
}
NAMED = DeviceSpec(
    device="CPU", inference_precision="f32", device_config={"NUM_STREAMS": 2, "INFERENCE_NUM_THREADS": 1}
).label
RUN = {
    "id": "old", "status": "finished", "matrix": "m", "command": "c", "seed": 0, "version": "0.1.0",
    "started_at": "2026-01-01T00:00:00", "require_targets": False, "on_missing_device": "skip",
}  # fmt: skip


# Migrations happen as a whole


def test_first_migration_that_is_killed_leaves_nothing(sqlite):
    migrate_as_0_1_0(sqlite, "base")
    execute(sqlite, "DROP TABLE alembic_version")
    killed = 0
    while is_killed_at(killed + 1, open_store, sqlite) and tables_of(sqlite) != CURRENT:
        assert tables_of(sqlite) == {}
        killed += 1
    assert killed > 20
    assert tables_of(sqlite) == CURRENT


def test_upgrade_that_is_killed_leaves_the_older_store(sqlite):
    make_store_of_0_1_0(sqlite)
    before = tables_of(sqlite)
    killed = 0
    while is_killed_at(killed + 1, open_store, sqlite) and tables_of(sqlite) != CURRENT:
        assert tables_of(sqlite) == before
        assert execute(sqlite, "SELECT version_num FROM alembic_version") == [("0006",)]
        killed += 1
    assert killed > 15
    assert len(Store(sqlite).load_run("20260101-000000-000").cells) == 3


def test_first_migration_of_an_older_release_that_was_killed_is_done_anew(tmp_path):
    for number in itertools.count(1):
        url = f"sqlite:///{tmp_path}/{number}.db"
        if not is_killed_at(number, migrate_as_0_1_0, url, "0006"):
            break
        Store(url).close()
        assert tables_of(url) == CURRENT
    assert number > 20


@pytest.mark.parametrize("revision", ["0002", "0003", "0004", "0005"])
def test_upgrade_of_an_older_release_that_was_killed_is_resumed(tmp_path, revision):
    for number in itertools.count(1):
        url = f"sqlite:///{tmp_path}/{number}.db"
        migrate_as_0_1_0(url, revision)
        insert(url, {"runs": [RUN]})
        if not is_killed_at(number, migrate_as_0_1_0, url, "0006"):
            break
        assert Store(url).load_run().id == "old"
        assert tables_of(url) == CURRENT
    assert number > 1


def test_processes_that_open_a_new_store_at_once_all_can(url):
    context = processes()
    for _ in range(3):
        barrier = context.Barrier(3)
        started = [context.Process(target=open_store_together, args=(url, barrier)) for _ in range(3)]
        for process in started:
            process.start()
        for process in started:
            process.join()
        assert [process.exitcode for process in started] == [0, 0, 0]
        assert tables_of(url) == CURRENT
        remove_all(url)


def remove_all(url):
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).unlink()
    else:
        execute(url, "DROP SCHEMA public CASCADE")
        execute(url, "CREATE SCHEMA public")


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE songs (title TEXT)"],
        ["CREATE TABLE runs (id TEXT)"],
        ["CREATE TABLE alembic_version (version_num TEXT)", "CREATE TABLE songs (title TEXT)"],
        ["CREATE TABLE alembic_version (version_num TEXT)", "INSERT INTO alembic_version VALUES ('0001')"],
    ],
    ids=["another's table", "a table with our name", "another's first migration", "another's revision"],
)
def test_database_of_another_program_is_refused_and_left_alone(tmp_path, statements):
    url = f"sqlite:///{tmp_path}/other.db"
    for statement in statements:
        execute(url, statement)
    before = tables_of(url)
    with pytest.raises(ConfigurationError, match="another program"):
        Store(url)
    assert tables_of(url) == before


def test_tables_of_ours_with_rows_but_no_version_are_left_alone(url):
    migrate_as_0_1_0(url, "0001")
    insert(url, {"runs": [RUN]})
    execute(url, "DELETE FROM alembic_version")
    with pytest.raises(ConfigurationError, match="another program"):
        Store(url)
    assert execute(url, "SELECT id FROM runs") == [("old",)]


# A store of release 0.1.0


def test_labels_of_an_older_store_name_properties(url):
    make_store_of_0_1_0(url)
    store = Store(url)
    automatic = DeviceSpec(device="AUTO:CPU", device_config={"ENABLE_CPU_PINNING": False})
    devices = ["CPU", automatic.label, f"{NAMED}@AMD-EPYC-7B13"]
    cells = store.load_run("20260101-000000-000").cells
    assert [cell.device for cell in cells] == devices
    assert [cell.reference.identity["device"] for cell in cells] == [*devices[:2], NAMED]
    baselines = store.baselines(history=True)
    assert [baseline.content.device for baseline in baselines] == devices
    assert [baseline.content.reference.identity["device"] for baseline in baselines] == [*devices[:2], NAMED]
    assert [row[0] for row in execute(url, "SELECT device FROM baselines ORDER BY id")] == devices
    (search,) = store.searches("net", devices[1])
    assert len(store.trials(search.cell_id)) == 2


def test_what_an_older_store_has_of_a_cell_stays(url):
    make_store_of_0_1_0(url)
    store = Store(url)
    cell = store.load_run("20260101-000000-000").cells[0]
    assert (cell.status, cell.final.trial, cell.sensitivity) == ("done", 1, {"op0": 0.1})
    assert [(trial.number, trial.loss) for trial in cell.trials] == [(0, -1.2), (1, -1.3)]
    assert cell.trials[1].measurement.metrics == {"accuracy@top1": 0.99}
    (night,) = store.nights("net", "CPU", "20260101-000000-000", 5)
    assert (night.run_id, night.fp32) == (cell.run_id, cell.reference.accuracy.value)
    assert (night.speedup, night.holdout, night.gate_status) == (cell.final.latency.ratio.value, None, None)


def test_passwords_in_an_older_store_are_masked(url):
    make_store_of_0_1_0(url)
    error = {"what": "cannot write to the store postgresql://zoo:s3cret@db/zoo", "where": "store", "remedy": "none"}
    execute(url, "UPDATE cells SET error = :error WHERE id = 4", error=json.dumps(error))
    command = "quantize-zoo run --store postgresql+psycopg://zoo:***@db/zoo"
    store = Store(url)
    assert store.load_run("20260101-000000-000").command == command
    told = store.load_run("20260102-000000-000").cells[0].error
    assert told.what == "cannot write to the store postgresql://zoo:***@db/zoo"


def test_run_of_an_older_store_that_never_ended_is_interrupted(url):
    make_store_of_0_1_0(url)
    run = Store(url).load_run("20260102-000000-000")
    assert (run.status, run.finished_at) == ("interrupted", None)
    assert [cell.status for cell in run.cells] == ["unavailable", "interrupted"]


def test_trial_of_an_older_store_without_a_number_is_a_failed_one_and_its_json_is_finite(sqlite):
    make_store_of_0_1_0(sqlite)
    ((text,),) = execute(sqlite, "SELECT trial FROM trials WHERE id = 2")
    broken = json.loads(text)
    broken["measurement"]["accuracy"]["value"] = float("nan")
    execute(sqlite, "UPDATE trials SET trial = :text WHERE id = 2", text=json.dumps(broken))
    ((text,),) = execute(sqlite, "SELECT trial FROM trials WHERE id = 4")
    execute(sqlite, "UPDATE trials SET trial = :text WHERE id = 4", text=text.replace('top1": 0.99', 'top1": Infinity'))
    execute(sqlite, """UPDATE cells SET params = '{"max_trials": 7, "max_minutes": Infinity}' WHERE id = 1""")
    first, second, _ = Store(sqlite).load_run("20260101-000000-000").cells
    failed = first.trials[1]
    assert (failed.measurement, failed.score, failed.loss) == (None, None, None)
    assert failed.failure == "the metric is not a finite number"
    assert (first.status, first.final, first.params.max_minutes) == ("done", None, None)
    assert second.trials[1].measurement.metrics == {"accuracy@top1": None}
    assert second.final.trial == 1
    for table, column in (("trials", "trial"), ("cells", "params")):
        for (packed,) in execute(sqlite, f"SELECT {column} FROM {table}"):
            json.dumps(unpack(packed), allow_nan=False)


# Runs whose process is gone


def test_run_of_a_living_process_goes_on_and_is_interrupted_once_that_is_killed(url):
    Store(url).close()
    context = processes()
    ours, theirs = context.Pipe()
    process = context.Process(target=run_until_killed, args=(url, theirs))
    process.start()
    assert ours.recv() == "started"
    run = Store(url).load_run()
    assert (run.status, [cell.status for cell in run.cells]) == ("running", ["done", "running"])
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    run = Store(url).load_run()
    assert (run.status, [cell.status for cell in run.cells]) == ("interrupted", ["done", "interrupted"])


def test_store_of_an_archive_that_nobody_can_write_is_read_as_it_lies(tmp_path, monkeypatch):
    """A folder on a disk that is mounted to be read only, which a test cannot mount: what asks for it is patched."""
    path = tmp_path / "a folder?" / "store.db"
    path.parent.mkdir()
    store = Store(f"sqlite:///{path}")
    start_run(store, "gone")
    store.finish_run("gone", "finished")
    store.close()
    # A run whose process is gone, which nobody can mark as interrupted.
    execute(f"sqlite:///{path}", "UPDATE runs SET status = 'running', process = NULL")
    execute(f"sqlite:///{path}", "PRAGMA wal_checkpoint(TRUNCATE)")
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    monkeypatch.setattr("quantize_zoo.store.database.os.access", lambda *_: False)
    archived = Store(f"sqlite:///{path}", new=False)
    assert [archived.newest_run(), archived.load_run().status] == ["gone", "running"]
    with pytest.raises(QuantizeZooError, match="cannot write to the store"):
        archived.finish_run("gone", "finished")
    archived.close()
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before


def test_run_of_the_process_that_opens_the_store_goes_on(url):
    store = Store(url)
    start_run(store)
    start_cell(store)
    run = Store(url).load_run()
    assert (run.status, run.cells[0].status) == ("running", "running")


@pytest.mark.parametrize(
    ("changes", "sqlite_status", "postgresql_status"),
    [
        ({"boot": "another"}, "interrupted", "interrupted"),
        ({"boot": "another", "machine": "another"}, "interrupted", "running"),
        ({"namespace": "pid:[1]"}, "running", "running"),
        ({"started": 1}, "interrupted", "interrupted"),
    ],
    ids=["machine restarted", "another machine", "another container", "process id used again"],
)
def test_run_is_interrupted_only_where_its_process_is_certainly_gone(url, changes, sqlite_status, postgresql_status):
    store = Store(url)
    start_run(store)
    ((process,),) = execute(url, "SELECT process FROM runs")
    process = json.loads(process) if isinstance(process, str) else process
    execute(url, "UPDATE runs SET process = :process", process=json.dumps({**process, **changes}))
    expected = sqlite_status if url.startswith("sqlite") else postgresql_status
    assert Store(url).load_run().status == expected


def test_process_that_was_killed_but_not_waited_for_is_gone():
    child = subprocess.Popen(["sleep", "60"])
    started = int(Path(f"/proc/{child.pid}/stat").read_text().split()[21])
    identity = replace(this_process(), pid=child.pid, started=started)
    assert not is_gone(identity, one_machine=True)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    assert is_gone(identity, one_machine=True)
    child.wait()
    assert is_gone(identity, one_machine=True)


def test_process_that_this_one_did_not_start_lives():
    init = replace(this_process(), pid=1, started=int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]))
    assert not is_gone(init, one_machine=True)
