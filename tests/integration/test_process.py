"""The process of a cell: what hangs is ended, and nothing outlives the one that started it."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest

from clusters import wait_until
from quantize_zoo.cell.session import CellSession
from quantize_zoo.config import load_matrix
from quantize_zoo.engines import LocalEngine
from quantize_zoo.engines.patience import Patience
from quantize_zoo.errors import WorkerDiedError
from quantize_zoo.matrix import expand


def test_a_call_may_take_twenty_times_as_long_as_those_before_it():
    patience = Patience(3600.0)
    assert patience.limit("prepare") == 3600.0
    patience.took("prepare", 400.0)
    assert patience.limit("evaluate") == 8000.0, "the first of its kind, in a cell that has shown to be slow"
    patience.took("evaluate", 1.0)
    patience.took("evaluate", 30.0)
    assert patience.limit("evaluate") == 600.0
    patience.took("compare", 0.1)
    assert patience.limit("compare") == 120.0


def test_one_cell_learns_nothing_from_another():
    small, large = Patience(1800.0), Patience(1800.0)
    small.took("evaluate", 0.1)
    assert large.limit("evaluate") == 1800.0


def test_a_stricter_first_limit_holds_for_all():
    patience = Patience(5.0)
    patience.took("evaluate", 0.1)
    assert patience.limit("evaluate") == 5.0


def test_a_process_that_hangs_is_ended_with_the_call_it_hangs_in(small, tmp_path):
    (cell,) = expand(load_matrix(small.path))
    engine = LocalEngine(tmp_path / "statistics", tmp_path / "inputs")
    with engine.start(replace(cell, hang_seconds=600.0), tmp_path / "log") as process:
        process.call(CellSession.prepare)
        process.patience = Patience(1.0)
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(WorkerDiedError, match=r"it hung for 1 s in references"):
            process.call(CellSession.references)
        assert not psutil.pid_exists(process.pid) or psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE


def test_an_interrupt_ends_the_process_in_the_middle_of_a_call(small, tmp_path):
    (cell,) = expand(load_matrix(small.path))
    engine = LocalEngine(tmp_path / "statistics", tmp_path / "inputs")
    found = {}

    def interrupted():
        with engine.open(cell, tmp_path / "log") as work:
            found["pid"] = work._process.pid
            os.kill(found["pid"], signal.SIGSTOP)  # it would never answer
            work.pool.submit(None, None, prune=False)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not psutil.pid_exists(found["pid"])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the processes of cells are spawned")
def test_a_process_whose_server_is_gone_can_be_ended_and_the_next_one_started(small, tmp_path):
    """multiprocessing takes it for ended then, and kills it no more; the server may be another's, as in pytest."""
    forkserver._forkserver._stop()
    forkserver.set_forkserver_preload(["json"])
    forkserver.ensure_running()
    (cell,) = expand(load_matrix(small.path))
    engine = LocalEngine(tmp_path / "statistics", tmp_path / "inputs")
    with engine.start(cell, tmp_path / "log") as process:
        process.call(CellSession.prepare)
        orphan = psutil.Process(process.pid)
        orphan.parent().kill()
        with engine.start(cell, tmp_path / "log") as other:
            assert other.call(CellSession.prepare).reference.accuracy.value > 0
        assert process.call(CellSession.references) is not None
        os.kill(process.pid, signal.SIGSTOP)
    wait_until(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)


RUN = """
import sys, time
from pathlib import Path
from quantize_zoo.cell.session import CellSession
from quantize_zoo.config import load_matrix
from quantize_zoo.engines import LocalEngine
from quantize_zoo.matrix import expand

def sleep(session):
    time.sleep(600)

if __name__ == "__main__":
    folder = Path(sys.argv[2])
    (cell,) = expand(load_matrix(Path(sys.argv[1])))
    with LocalEngine(folder / "statistics", folder / "inputs").start(cell, folder / "log") as process:
        process.call(CellSession.prepare)
        print(process.pid, flush=True)
        process.call(sleep)
"""


def test_a_busy_process_is_gone_when_the_one_that_started_it_is_killed(small, tmp_path):
    script = tmp_path / "night.py"
    script.write_text(RUN)
    run = subprocess.Popen([sys.executable, script, small.path, tmp_path], stdout=subprocess.PIPE, text=True)
    cell = psutil.Process(int(run.stdout.readline()))
    run.kill()
    run.wait()
    gone, alive = psutil.wait_procs([cell], timeout=60)
    assert (gone, alive) == ([cell], [])


def test_signals_of_the_terminal_do_not_reach_a_cells_process(small, tmp_path):
    """It would end before what it was asked for is stored: who started it decides."""
    (cell,) = expand(load_matrix(small.path))
    with LocalEngine(tmp_path / "statistics", tmp_path / "inputs").start(cell, tmp_path / "log") as process:
        for each in (signal.SIGINT, signal.SIGTERM):  # also while it imports
            os.kill(process.pid, each)
        assert process.call(CellSession.prepare).reference.samples > 0
        for each in (signal.SIGINT, signal.SIGTERM):
            os.kill(process.pid, each)
        assert process.call(CellSession.references) == ()


def test_latency_is_measured_while_nobody_computes(small, tmp_path):
    """Who computes beside the evaluations holds the pool's lock; the process waits for it before it measures."""
    (cell,) = expand(load_matrix(small.path))
    with LocalEngine(tmp_path / "statistics", tmp_path / "inputs").open(cell, tmp_path / "log") as work:
        base = work.prepare().base
        work.calibrate(base)
        from quantize_zoo.search import Known

        done = threading.Event()
        with work.pool.busy():
            future = work.pool.submit(base, Known(), prune=False)
            future.add_done_callback(lambda _: done.set())
            assert not done.wait(3), "scored, and waiting for quiet"
        assert done.wait(60)
        assert future.result().timed is not None


def test_logs_of_hostile_names_stay_in_their_folder(small, quantize_zoo):
    before = set(Path(small.folder).parent.rglob("*.log"))
    hostile = ["/../../../evil", "X" * 240, "-x", "a b"]  # what a device's properties say is part of a cell's name
    devices = [{"device": "GPU", "device_config": {"CACHE_DIR": each}} for each in hostile]
    small.edit("matrix.yml", lambda matrix: matrix.update(devices=devices))
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports)
    assert status == 0, err
    assert (small.reports / "latest" / "index.html").is_file()
    pages = list((small.reports / "latest" / "cells").glob("*.html"))
    assert len(pages) == 4
    new = set(Path(small.folder).parent.rglob("*.log")) - before
    assert all(path.is_relative_to(small.reports) for path in new)
