"""The store's guarantees."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from builders import final, option, reference, trial
from quantize_zoo.config import OptimizerParams
from quantize_zoo.errors import CellError, ConfigurationError
from quantize_zoo.store import ErrorRecord, Store
from quantize_zoo.store.schema import Base

PARAMS = OptimizerParams(max_trials=7)
HERE = Path(__file__).parent


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'sub' / 'store.db'}"


def start_run(store, run_id="run"):
    store.start_run(
        run_id, matrix="m.yml", command="quantize-zoo run", seed=1, require_targets=False, on_missing_device="skip"
    )


def start_cell(store, run_id="run", method="cold_start", key="key"):
    cell = store.start_cell(run_id, model="net", device="CPU", method=method, params=PARAMS)
    store.set_reference(cell, reference(search_key=key))
    return cell


def test_run_comes_back_as_it_went_in(url):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    trials = [trial(0, 0.01, 1.5), trial(1, 0.0, 1.2)]
    for each in trials:
        store.add_trial(cell, each)
    store.set_calibration_seconds(cell, 1.5)
    store.finish_cell(cell, "done", final=final(0, 1.5))
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
    assert found.params == PARAMS
    assert [each.option for each in found.trials] == [each.option for each in trials]
    assert [each.score for each in found.trials] == [each.score for each in trials]
    assert found.trials[0].measurement.latency == trials[0].measurement.latency


def test_per_sample_results_are_kept_once(url):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    first = trial(0, 0.25, 1.5)
    store.add_trial(cell, first)
    store.add_trial(cell, trial(1, 0.25, 1.5, reused_from=0))
    np.testing.assert_array_equal(store.per_sample(cell, 0), first.measurement.per_sample)
    assert store.per_sample(cell, 1) is None


def test_error_of_a_cell_is_kept(url):
    store = Store(url)
    start_run(store)
    cell = store.start_cell("run", model="net", device="GPU", method="cold_start", params=PARAMS)
    store.finish_cell(cell, "unavailable", error=ErrorRecord("no GPU", "device", "buy one"))
    assert store.load_run("run").cells[0].error == ErrorRecord("no GPU", "device", "buy one")


def test_searches_reach_back_to_the_last_cold_start(url):
    store = Store(url)
    start_run(store)
    for number, (method, key) in enumerate(
        [("cold_start", "key"), ("cold_start", "key"), ("fine_tune", "key"), ("cold_start", "other")]
    ):
        store.add_trial(start_cell(store, method=method, key=key), trial(0, 0.0, 1.0 + number))
    assert [each.score.latency_ratio for each in store.searches("key")] == [2.0, 3.0]
    assert store.searches("unknown") == []


def test_trial_number_cannot_be_stored_twice(url):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    store.add_trial(cell, trial(0, 0.0, 1.0))
    with pytest.raises(CellError, match="cannot write to the store"):
        store.add_trial(cell, trial(0, 0.0, 1.1))


def test_two_processes_may_use_one_store(url):
    one, other = Store(url), Store(url)
    start_run(one, "a")
    start_run(other, "b")
    assert one.load_run("b").id == "b"
    assert other.load_run("a").id == "a"


def test_schema_of_the_migrations_is_that_of_the_code(url):
    Store(url).close()
    inspector = sa.inspect(sa.create_engine(url))
    for name, table in Base.metadata.tables.items():
        assert {column["name"]: column["nullable"] for column in inspector.get_columns(name)} == {
            column.name: column.nullable for column in table.columns
        }


def test_newer_schema_is_refused(url):
    Store(url).close()
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match=r"schema 9999.*\n.*install the release that wrote it"):
        Store(url)


def test_database_of_another_program_is_refused(tmp_path):
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    with pytest.raises(ConfigurationError, match="another program"):
        Store(f"sqlite:///{path}")


def test_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "store.db"
    path.write_text("this is not a database" * 100)
    with pytest.raises(ConfigurationError, match="cannot use the store"):
        Store(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["nonsense", "mongodb://x", "sqlite:////proc/none/store.db"])
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


def test_kill_loses_no_finished_trial(url):
    script = textwrap.dedent("""
        import sys
        from builders import trial
        from test_store import Store, start_cell, start_run
        store = Store(sys.argv[1])
        start_run(store)
        cell = start_cell(store)
        for number in range(10_000):
            store.add_trial(cell, trial(number, 0.0, 1.0))
            print(number, flush=True)
    """)
    command = [sys.executable, "-c", script, url]
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parent}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        told = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout.read().splitlines()]
    stored = [each.number for each in Store(url).load_run().cells[0].trials]
    assert stored[: len(told)] == told
    assert len(stored) <= len(told) + 1


def test_options_are_json_without_code(url, tmp_path):
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    store.add_trial(cell, trial(0, 0.0, 1.0, option(1, 2)))
    with sa.create_engine(url).begin() as connection:
        (text,) = connection.execute(sa.text("SELECT trial FROM trials")).one()
    assert '"quantize": true' in text
