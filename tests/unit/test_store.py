"""The store's guarantees."""

import json
import math
import re
import resource
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import TypeAdapter

from builders import accepted, final, latency, option, reference, trial
from kill_store import kill_again_and_again, start_cell, start_run
from quantize_zoo.config import OptimizerParams
from quantize_zoo.errors import CellError, ConfigurationError, QuantizeZooError
from quantize_zoo.search import Trial
from quantize_zoo.store import ErrorRecord, OtherMetric, Reference, ReferencePoint, RunPlan, Store, database
from quantize_zoo.store.packing import unpack
from quantize_zoo.store.schema import Base, Packed
from stores import execute, insert, migrate_as_0_1_0, repack

pytestmark = pytest.mark.usefixtures("own_server")

KILLS = 50


def test_run_comes_back_as_it_went_in(url):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    trials = [trial(0, 0.01, 1.5), trial(1, 0.0, 1.2)]
    for each in trials:
        store.add_trial(cell, each)
    store.set_calibration(cell, 1.5, {})
    store.set_final(cell, final(0, 1.5))
    store.finish_run("run", "finished")
    store.close()
    run = Store(url).load_run()
    (found,) = run.cells
    assert (run.id, run.status, run.seed, found.status, found.calibration_seconds) == (
        "run",
        "finished",
        1,
        "done",
        1.5,
    )
    assert found.reference == reference()
    assert found.final == final(0, 1.5)
    assert found.params.max_trials == 7
    assert [each.option for each in found.trials] == [each.option for each in trials]
    assert [each.score for each in found.trials] == [each.score for each in trials]
    assert found.trials[0].measurement.latency == trials[0].measurement.latency


def test_error_of_a_cell_is_kept(url):
    store = Store(url)
    start_run(store)
    cell = store.start_cell("run", model="net", device="GPU", method="cold_start", params=OptimizerParams())
    store.end_cell(cell, "unavailable", ErrorRecord("no GPU", "device", "buy one"))
    assert store.load_run("run").cells[0].error == ErrorRecord("no GPU", "device", "buy one")


# What is finished stays finished


@pytest.mark.parametrize("status", ["unavailable", "failed", "interrupted"])
def test_cell_that_is_done_stays_done_with_its_best_model(url, status):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    store.add_trial(cell, trial(0, 0.0, 1.5))
    store.set_final(cell, final(0, 1.5))
    store.end_cell(cell, status, ErrorRecord("no answer", "baseline", "wait"))
    (found,) = store.load_run().cells
    assert (found.status, found.final, found.error) == ("done", final(0, 1.5), None)


def test_cell_whose_search_found_no_model_is_done(url):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    store.set_final(cell, None)
    store.end_cell(cell, "interrupted")
    (found,) = store.load_run().cells
    assert (found.status, found.final) == ("done", None)


def test_cells_that_a_run_leaves_running_are_interrupted(url):
    store = Store(url)
    start_run(store)
    cells = [start_cell(store) for _ in range(3)]
    store.set_final(cells[0], None)
    store.end_cell(cells[1], "failed")
    store.finish_run("run", "interrupted")
    assert [cell.status for cell in store.load_run().cells] == ["done", "failed", "interrupted"]


def set_final(store, cell):
    store.set_final(cell, final(0, 1.5))


def end_cell(store, cell):
    store.end_cell(cell, "failed")


def finish_run(store, cell):
    store.finish_run("run", "finished")


@pytest.mark.parametrize("end", [set_final, end_cell, finish_run])
def test_end_of_a_cell_and_of_a_run_is_in_the_file_of_the_database(sqlite, tmp_path, end):
    store = Store(sqlite)
    start_run(store)
    cell = start_cell(store)
    store.add_trial(cell, trial(0, 0.0, 1.5))
    end(store, cell)
    alone = shutil.copy(sqlite.removeprefix("sqlite:///"), tmp_path / "alone.db")
    expected = store.load_run()
    assert Store(f"sqlite:///{alone}").load_run() == expected
    assert len(expected.cells[0].trials) == 1


def test_end_of_a_cell_waits_for_no_reader(sqlite):
    store = Store(sqlite)
    start_run(store)
    cell = start_cell(store)
    with closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        store.add_trial(cell, trial(0, 0.0, 1.5))
        started = time.monotonic()
        store.set_final(cell, final(0, 1.5))
        assert time.monotonic() - started < 10
    assert store.load_run().cells[0].final == final(0, 1.5)


@pytest.mark.parametrize("file", [".github/workflows/nightly.yml", ".github/actions/quantize-zoo/action.yml"])
def test_nights_cache_all_files_of_the_store(file):
    text = (Path(__file__).parents[2] / file).read_text()
    steps = re.findall(r"uses: actions/cache/(\w+)@.*?path: \|\n\s+(\S+)\n\s+(\S+)\n", text, re.DOTALL)
    # The second restores what release 0.1.0 saved.
    assert steps == [
        ("restore", "reports/store.db*", "reports/baselines"),
        ("restore", "reports/store.db", "reports/baselines"),
        ("save", "reports/store.db*", "reports/baselines"),
    ]


# What is stored can be read again


def json_texts(url):
    """Return the text of every JSON value in the database."""
    for name, table in Base.metadata.tables.items():
        for column in table.columns:
            if isinstance(column.type, sa.JSON):
                quoted = f'CAST("{column.name}" AS TEXT)'
                yield from (text for (text,) in execute(url, f"SELECT {quoted} FROM {name}") if text is not None)
            if isinstance(column.type, Packed):
                found = execute(url, f'SELECT "{column.name}" FROM {name}')
                yield from (json.dumps(unpack(packed)) for (packed,) in found if packed is not None)


def no_constant(text):
    raise AssertionError(f"{text} is no JSON")


def test_figures_that_are_no_finite_numbers_are_null(url):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    metrics = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.5}
    known = {"a": None, "b": None, "c": None, "d": 0.5}
    first = trial(0, 0.0, 1.5)
    store.set_reference(cell, reference(metrics=metrics))
    store.set_calibration(cell, 1.0, {"conv": math.inf, "add": 0.5})
    store.add_trial(cell, replace(first, measurement=replace(first.measurement, metrics=metrics)))
    others = (OtherMetric("other", "a", math.nan, 0.5),)
    store.set_final(cell, replace(final(0, 1.5), others=others))
    store.set_gate(cell, {"checks": [{"value": math.nan}]}, "pass")
    store.add_baseline(accepted(store.load_run().cells[0]).content)
    (found,) = store.load_run().cells
    assert found.reference.metrics == found.trials[0].measurement.metrics == known
    assert found.sensitivity == {"add": 0.5}
    assert found.final.others == (OtherMetric("other", "a", None, 0.5),)
    assert found.gate == {"checks": [{"value": None}]}
    assert store.baselines()[0].content.reference.metrics == known
    texts = list(json_texts(url))
    assert len(texts) >= 7
    for text in texts:
        json.loads(text, parse_constant=no_constant)


def test_trial_without_the_number_that_it_must_have_is_refused(url):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    broken = trial(0, 0.0, 1.5)
    accuracy = replace(broken.measurement.accuracy, value=math.nan)
    with pytest.raises(CellError, match=r"Trial measurement\.accuracy\.value is not stored"):
        store.add_trial(cell, replace(broken, measurement=replace(broken.measurement, accuracy=accuracy)))
    assert store.load_run().cells[0].trials == ()


def test_times_are_in_utc_whatever_the_zone_of_the_session(url):
    if url.startswith("postgresql"):
        execute(url, "ALTER DATABASE zoo SET timezone TO 'Asia/Tokyo'")
    before = datetime.now(timezone.utc)
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    store.add_trial(cell, trial(0, 0.0, 1.5))
    store.set_final(cell, final(0, 1.5))
    store.finish_run("run", "finished")
    run = store.load_run()
    store.add_baseline(accepted(run.cells[0]).content)
    store.drop_baseline(store.baselines()[0].id)
    (dropped,) = store.baselines(history=True)
    times = [run.started_at, run.finished_at, dropped.accepted_at, dropped.dropped_at]
    assert all(time.utcoffset() == timedelta(0) for time in times)
    assert before <= times[0] <= times[1] <= times[2] <= times[3] <= datetime.now(timezone.utc)


def test_trial_is_stored_once(url):
    store = Store(url)
    start_run(store)
    store.add_trial(start_cell(store), trial(3, 0.0, 1.5))
    ((packed,),) = execute(url, "SELECT trial FROM trials")
    assert "number" not in unpack(packed)
    assert {column.name for column in Base.metadata.tables["trials"].columns} == {"id", "cell_id", "number", "trial"}
    assert store.load_run().cells[0].trials[0] == trial(3, 0.0, 1.5)


def test_largest_seed_is_stored(url):
    store = Store(url)
    store.start_run(
        "run", matrix="m", command="c", seed=2**32 - 1, require_targets=False, on_missing_device="skip"
    )  # fmt: skip
    assert store.load_run().seed == 2**32 - 1


# Passwords


def test_password_of_the_store_is_neither_shown_nor_stored(postgresql):
    url = postgresql.replace("zoo@", "zoo:s3cret@")
    store = Store(url)
    assert store.url == postgresql.replace("zoo@", "zoo:***@")
    store.start_run(
        "run", matrix="m", command=f"quantize-zoo run --store {url}", seed=1, require_targets=False,
        on_missing_device="skip",
    )  # fmt: skip
    assert store.load_run().command == f"quantize-zoo run --store {store.url}"
    cell = start_cell(store)
    store.end_cell(cell, "failed", ErrorRecord(f"no answer from {url}", "store", "wait"))
    assert store.load_run().cells[0].error.what == f"no answer from {store.url}"
    execute(postgresql, "DROP TABLE trials")
    with pytest.raises(CellError, match=r"cannot write to the store .*zoo:\*\*\*@") as write:
        store.add_trial(cell, trial(0, 0.0, 1.0))
    with pytest.raises(ConfigurationError, match=r"cannot read the store .*zoo:\*\*\*@") as read:
        store.load_run()
    assert "s3cret" not in f"{write.value} {read.value}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://zoo:s3cret@127.0.0.1:1/zoo",
        "postgresql+psycopg://zoo@127.0.0.1:1/zoo?password=s3cret",
        "postgresql+psycopg://zoo@127.0.0.1:s3cret/zoo",
        "postgresql+psycopg://zoo:s3cret",
        "mongodb://zoo:s3cret@host/zoo",
    ],
)
def test_password_of_a_store_that_cannot_be_opened_is_not_shown(url):
    with pytest.raises(ConfigurationError, match="cannot use the store") as error:
        Store(url)
    assert "s3cret" not in str(error.value)


# Reading is told from writing


def test_store_that_is_damaged_cannot_be_read(sqlite):
    store = Store(sqlite)
    start_run(store)
    store.end_cell(start_cell(store), "failed")
    store.close()
    path = Path(sqlite.removeprefix("sqlite:///"))
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with pytest.raises(QuantizeZooError, match=r"cannot (read|use) the store .*malformed") as error:
        Store(sqlite).load_run()
    assert "free disk space" not in str(error.value)


def test_damaged_trial_cannot_be_read(url):
    store = Store(url)
    start_run(store)
    store.add_trial(start_cell(store), trial(0, 0.0, 1.0))
    repack(url, "trials", "trial", lambda value: {"option": value["option"]})
    with pytest.raises(ConfigurationError, match=r"cannot read the store .*trial 0.kind: .*\n.*restore a copy"):
        store.load_run()


def test_locked_store_cannot_be_read(postgresql):
    store = Store(f"{postgresql}?options=-clock_timeout%3D100")
    start_run(store)
    with closing(sa.create_engine(postgresql).connect()) as other:
        other.execute(sa.text("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(
            ConfigurationError, match=r"cannot read the store .*lock timeout\n.*wait until no other program"
        ):
            store.load_run()


def test_locked_store_cannot_be_written(sqlite, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_TIMEOUT_SECONDS", 0)
    store = Store(sqlite)
    start_run(store)
    with closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CellError, match=r"cannot write to the store .*locked\n.*wait until no other program"):
            start_cell(store)
        assert store.load_run().cells == ()


# Searches


def test_searches_reach_back_to_the_last_cold_start(url):
    store = Store(url)
    start_run(store)
    methods = ["cold_start", "cold_start", "fine_tune", "eval", "warm_start"]
    cells = [start_cell(store, method=method) for method in methods]
    for number, cell in enumerate(cells):
        store.add_trial(cell, trial(0, 0.0, 1.0 + number))
    start_cell(store)  # without a trial it is no search
    found = store.searches("net", "CPU")
    assert [(each.cell_id, each.method) for each in found] == [
        (cells[4], "warm_start"), (cells[2], "fine_tune"), (cells[1], "cold_start"),
    ]  # fmt: skip
    assert found[0].identity == reference().identity
    assert store.searches("net", "GPU") == []


def test_searches_that_do_not_fit_are_passed_over_but_for_the_newest(url):
    """Also a cold start: the newest one that fits is the last."""
    store = Store(url)
    start_run(store)
    methods = {"cold_start": "a", "warm_start": "a", "fine_tune": "b"}
    cells = []
    for method, data in [*methods.items(), ("cold_start", "b"), ("cold_start", "c")]:
        cells.append(start_cell(store, method=method))
        store.add_trial(cells[-1], trial(0, 0.0, 1.5))
        store.set_reference(cells[-1], reference(identity={"dataset": data}))
    found = store.searches("net", "CPU", lambda identity: identity["dataset"] == "a")
    assert [each.cell_id for each in found] == [cells[4], cells[1], cells[0]]


def test_a_run_keeps_what_it_meant_to_do(url):
    store = Store(url)
    store.start_run(
        "1", matrix="m.yml", command="run", seed=0, require_targets=False, on_missing_device="skip",
        plan=RunPlan(("net-CPU",), whole=True),
    )  # fmt: skip
    assert store.load_run().plan == RunPlan(("net-CPU",), whole=True)
    start_run(store)
    assert store.load_run("run").plan is None


def test_trials_of_a_cell_come_after_those_that_it_continues(url):
    store = Store(url)
    start_run(store)
    cells = [start_cell(store) for _ in range(3)]
    for number, cell in enumerate(cells):
        store.add_trial(cell, trial(number, 0.0, 1.0))
        if number:
            store.set_continues(cell, cells[number - 1])
    newest = store.searches("net", "CPU")[0].cell_id
    assert [each.number for each in store.trials(newest)] == [0, 1, 2]
    assert [store.trial(newest, number) for number in range(3)] == list(store.trials(newest))
    assert [len(each.trials) for each in store.load_run().cells] == [1, 2, 3]


def test_models_of_other_tools_come_back(url):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    point = ReferencePoint("nncf", reference().accuracy, latency(1.3), None, 2.0)
    store.set_references(cell, [point])
    assert store.load_run().cells[0].references == (point,)


def test_trial_number_cannot_be_stored_twice(url):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    store.add_trial(cell, trial(0, 0.0, 1.0))
    with pytest.raises(CellError, match="cannot write to the store"):
        store.add_trial(cell, trial(0, 0.0, 1.1))


def test_two_runs_at_the_same_time_do_not_disturb_each_other(url):
    problems = []

    def run(run_id):
        try:
            store = Store(url)
            start_run(store, run_id)
            cell = start_cell(store, run_id)
            for number in range(25):
                store.add_trial(cell, trial(number, 0.0, 1.0))
        except Exception as error:
            problems.append(error)

    Store(url).close()
    threads = [threading.Thread(target=run, args=(run_id,)) for run_id in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    store = Store(url)
    for run_id in "ab":
        assert [each.number for each in store.load_run(run_id).cells[0].trials] == list(range(25))


def test_threads_share_a_store(url):
    store = Store(url)
    start_run(store)
    cells = [start_cell(store) for _ in range(4)]

    def work(cell):
        for number in range(10):
            store.add_trial(cell, trial(number, 0.0, 1.0))
            store.searches("net", "CPU")
        store.set_final(cell, final(0, 1.0))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, cells))
    found = store.load_run().cells
    assert [(cell.status, len(cell.trials)) for cell in found] == [("done", 10)] * 4


def test_schema_of_the_migrations_is_that_of_the_code(url):
    Store(url).close()
    inspector = sa.inspect(sa.create_engine(url))
    for name, table in Base.metadata.tables.items():
        assert {column["name"]: column["nullable"] for column in inspector.get_columns(name)} == {
            column.name: column.nullable for column in table.columns
        }


def test_the_last_migration_is_known_without_alembic(sqlite):
    Store(sqlite).close()
    assert execute(sqlite, "SELECT version_num FROM alembic_version") == [(database.REVISION,)]


def test_newer_schema_is_refused(url):
    Store(url).close()
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"schema 9999.*\n.*install the release that wrote it"):
        Store(url)


def test_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "store.db"
    path.write_text("this is not a database" * 100)
    with pytest.raises(ConfigurationError, match="cannot use the store"):
        Store(f"sqlite:///{path}")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mongodb://x",
        "postgresql://host:port/x",
        "sqlite:////proc/none/store.db",
        "sqlite:////tmp/x?timeout=x",
    ],
)
def test_url_that_leads_nowhere_is_refused(url):
    with pytest.raises(ConfigurationError, match="cannot use the store"):
        Store(url)


def test_unknown_run_names_the_nearest(url):
    store = Store(url)
    with pytest.raises(ConfigurationError, match="has no run\n"):
        store.load_run()
    start_run(store, "20260101")
    with pytest.raises(ConfigurationError, match="did you mean '20260101'"):
        store.load_run("2026010")


def test_commits_wait_for_no_disk_where_a_killed_process_loses_nothing(sqlite):
    """Without its log beside it, SQLite is only safe where each commit waits."""
    with closing(Store(sqlite)._engine.raw_connection()) as connection:
        asked = [
            connection.cursor().execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
    assert asked == ["wal", 1]


def test_kill_at_any_moment_loses_no_finished_trial(url):
    told, stored = kill_again_and_again(url, KILLS)
    assert [each.number for each in stored] == list(range(len(stored)))
    # What was told was stored; a trial may have been stored and its process killed before it could tell.
    assert len(told) <= len(stored) <= len(told) + KILLS
    assert set(told) <= {each.number for each in stored}


def add_trials(store, cell, count):
    for number in range(1, count):
        store.add_trial(cell, trial(number, 0.0, 1.0))


def test_full_disk_is_told_and_what_was_stored_stays(sqlite):
    store = Store(sqlite)
    start_run(store)
    cell = start_cell(store)
    store.add_trial(cell, trial(0, 0.0, 1.0))
    log = Path(sqlite.removeprefix("sqlite:///") + "-wal")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow any more, which SQLite meets as it meets a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, limits[1]))
    try:
        with pytest.raises(CellError, match=r"cannot write to the store .*\n.*free disk space"):
            add_trials(store, cell, 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    numbers = [each.number for each in Store(sqlite).load_run().cells[0].trials]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= 1


OLD_TENSOR = {"config": {"bits": 8, "mode": "symmetric", "granularity": "pertensor"}, "range_estimator": "quantile"}
OLD_OPTION = {"conv": {"quantize": True, "activations": OLD_TENSOR, "weights": None}}


def test_older_schema_is_migrated(url):
    """A store of the first release: options name presets, a key stands for what the search belongs to."""
    migrate_as_0_1_0(url, "0001")
    old_reference = {**TypeAdapter(Reference).dump_python(reference(), mode="json"), "search_key": "abc"}
    del old_reference["identity"]
    new = trial(0, 0.0, 1.5)
    plain = TypeAdapter(Trial).dump_python(new, mode="json")
    for key in ("stage", "candidate", "structure", "pruned"):
        del plain[key]
    plain["option"] = OLD_OPTION
    plain["measurement"] |= {"seconds": plain["seconds"]}
    del plain["measurement"]["latency_from"]
    run = {
        "id": "old", "status": "finished", "matrix": "m", "command": "c", "seed": 0, "version": "0.1.0",
        "started_at": "2026-01-01T00:00:00", "require_targets": False,
        "on_missing_device": "skip",
    }  # fmt: skip
    cell = {
        "id": 1, "run_id": "old", "model": "net", "device": "CPU", "status": "done", "method": "cold_start",
        "search_key": "abc", "params": {"max_trials": 40}, "reference": old_reference,
    }  # fmt: skip
    row = {"cell_id": 1, "number": 0, "option_hash": "x", "trial": plain}
    insert(url, {"runs": [run], "cells": [cell], "trials": [row]})
    (found,) = Store(url).load_run("old").cells
    assert found.reference.identity == {}
    assert found.trials[0].option.operations["conv"].activations.range_estimator.max.type == "abs_quantile"
    assert found.trials[0].stage == 0


def test_options_are_json_without_code(sqlite):
    store = Store(sqlite)
    start_run(store)
    cell = start_cell(store)
    store.add_trial(cell, trial(0, 0.0, 1.0, option(1, 2)))
    ((packed,),) = execute(sqlite, "SELECT trial FROM trials")
    assert unpack(packed)["option"]["operations"] == [-1] * 4
