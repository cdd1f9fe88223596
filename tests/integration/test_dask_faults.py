"""Faults of a Dask cluster, with real processes: killed, hung, lost, out of memory, of another version."""

import contextlib
import json
import os
import signal
import threading
import time

import psutil
import pytest
from distributed import Client

from clusters import kill_when, pretending, run, wait_until
from processes import cell_processes
from quantize_zoo.config import load_matrix
from quantize_zoo.engines.dask import DaskEngine
from quantize_zoo.engines.dask import worker as tasks
from quantize_zoo.errors import CellError
from quantize_zoo.matrix import expand
from quantize_zoo.search import Known


def test_a_killed_worker_costs_no_trial(longer, cluster, tmp_path):
    for name in ("one", "two"):
        cluster.start_worker(name)
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
        victim = next(iter(client.run(os.getpid).values()))
    watcher = kill_when(tmp_path / "r", 3, lambda: os.kill(victim, signal.SIGKILL))
    done = run(longer, tmp_path / "r", address=cluster.address)
    watcher.join()
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert [trial["number"] for trial in cell["trials"]] == list(range(12))
    assert all(trial["failure"] is None for trial in cell["trials"])
    with pytest.raises(ProcessLookupError):
        os.kill(victim, 0)


@pytest.mark.release
def test_a_lost_scheduler_loses_nothing_that_was_finished(longer, cluster, tmp_path):
    cluster.start_worker("one")
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
    watcher = kill_when(tmp_path / "r", 3, cluster.processes["scheduler"].kill)
    done = run(longer, tmp_path / "r", address=cluster.address)
    watcher.join()
    assert done.returncode == 3, done.stderr
    assert "the scheduler is lost" in done.stderr
    assert "warm_start" in done.stderr
    assert "Traceback" not in done.stderr
    kept = len(json.loads(done.stdout)["cells"][0]["trials"])
    assert kept >= 3
    again = run(longer, tmp_path / "r", "--trials-load-method", "warm_start")
    assert again.returncode == 0, again.stderr
    assert len(json.loads(again.stdout)["cells"][0]["trials"]) == 12


def test_a_worker_that_joins_gets_work_and_one_of_other_versions_does_not(longer, cluster, tmp_path):
    cluster.start_worker("one")
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
        told = []
        roster = DaskEngine(client, "master", 10**9, told.append).roster
        assert len(roster.of("accuracy")) == 1
        cluster.start_worker("two")
        client.wait_for_workers(2, timeout=60)
        wait_until(lambda: len(roster.of("accuracy")) == 2)
        # The same program that says it is another version: a worker of a real one needs another installation.
        cluster.start_worker("old", **pretending(tmp_path, "import quantize_zoo; quantize_zoo.__version__ = '0.0.1'"))
        client.wait_for_workers(3, timeout=60)
        wait_until(lambda: told)
        assert len(roster.of("accuracy")) == 2
        assert "quantize-zoo 0.0.1 instead of" in told[0]


def die(limit, key):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_kills_its_worker_is_tried_twice(longer, cluster, monkeypatch):
    cluster.start_worker("one")
    monkeypatch.setattr(die, "__module__", "__main__")  # workers cannot import this module: it travels by value
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
        executor = DaskEngine(client, "master", 10**9)
        with (
            executor.open(expand(load_matrix(longer.path))[0], longer.folder) as cell,
            pytest.raises(CellError, match=r"lost twice: .*died.*died"),
        ):
            executor.work(cell, die)


def session_of(worker_pid):
    """The process of a worker's session."""
    (found,) = cell_processes(worker_pid)
    return found


def set_patience(least, times):
    from quantize_zoo.engines import patience

    patience._LEAST_SECONDS, patience._TIMES = least, times


def test_a_session_that_hangs_is_ended_and_tried_once_more(longer, cluster, monkeypatch):
    cluster.start_worker("one")
    monkeypatch.setattr(set_patience, "__module__", "__main__")  # it travels by value, as above
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
        (worker,) = client.run(os.getpid).values()
        executor = DaskEngine(client, "master", 10**9)
        with executor.open(expand(load_matrix(longer.path))[0], longer.folder) as cell:
            base = cell.prepare().base
            cell.calibrate(base)

            def evaluate():
                return cell.pool.submit(base, Known(), prune=False).result()

            assert evaluate().timed
            before = session_of(worker)
            before.suspend()
            # Only what is stopped may be as slow as this: a session needs seconds to start, and more on a busy machine.
            client.run(set_patience, 5.0, 0.0)
            with pytest.raises(CellError, match=r"hung for 5 s in evaluate.*hung for 5 s in prepare"):
                stop_next(worker, before, evaluate)
            assert not before.is_running()
            client.run(set_patience, 120.0, 20.0)
            assert evaluate().timed, "the worker goes on"


def stop_next(worker, before, call):
    """Call while the session that comes after the one before is stopped too, as soon as it is there."""

    def stop():
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            with contextlib.suppress(psutil.Error, ValueError):
                session = session_of(worker)
                if session.pid != before.pid:
                    session.suspend()
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        call()
    finally:
        thread.join()


def narrow_limit(cluster):
    """The arguments for as much memory as the only worker there is takes itself, and not for a session besides."""
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
        client.run(tasks.facts)  # with what it imports for that
        (pid,) = client.run(os.getpid).values()
        own = psutil.Process(pid).memory_info().rss
    return "--memory-limit", str(int(own * 1.3 + 60e6))


@pytest.mark.release
def test_a_worker_without_enough_memory_costs_no_trial(longer, cluster, tmp_path):
    cluster.start_worker("wide")
    cluster.start_worker("narrow", arguments=narrow_limit(cluster))
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
    done = run(longer, tmp_path / "r", "--max-trials", "4", address=cluster.address)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert [trial["number"] for trial in cell["trials"]] == list(range(4))
    assert all(trial["failure"] is None for trial in cell["trials"])
    assert {worker["name"] for worker in cell["workers"]} == {"wide"}


@pytest.mark.release
def test_an_only_worker_without_enough_memory_is_told(longer, cluster, tmp_path):
    cluster.start_worker("probe")
    limit = narrow_limit(cluster)
    cluster.stop_one("probe")
    cluster.start_worker("narrow", arguments=limit)
    with Client(cluster.address, timeout=30) as client:  # until the other one is gone too
        wait_until(lambda: [each["name"] for each in client.scheduler_info()["workers"].values()] == ["narrow"])
    done = run(longer, tmp_path / "r", address=cluster.address)
    assert done.returncode == 3, done.stderr
    assert "out of memory" in done.stderr
