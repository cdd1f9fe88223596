"""Ctrl-C and SIGTERM at every moment of the real commands: one line, 128 + signal, what was finished is stored."""

import contextlib
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from distributed import Client

from clusters import COMMAND, wait_until
from quantize_zoo.interrupts import descendants
from quantize_zoo.store import Store
from unit.test_interrupts import alive

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
# Both go the same way through the program, so where a test takes half a minute it is one of them.
TO_WHOM = pytest.mark.parametrize(
    ("number", "everybody"), [(signal.SIGTERM, False), (signal.SIGINT, True)], ids=["alone", "the process group"]
)


def begin(*arguments, **environment):
    """The command as a user starts it, in a process group of its own; a background job of a shell ignores SIGINT."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for(process, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"it ended before: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def interrupted(process, number, seconds=20):
    """It ends by the signal with one line; returns what it said on standard error."""
    output, err = process.communicate(timeout=seconds)
    assert process.returncode == 128 + number, err + output
    assert err.count("interrupted by ") == 1, err
    assert f"interrupted by {number.name}" in err.splitlines()  # other processes of a worker may still log after it
    assert "Traceback" not in err
    assert "Abort" not in err
    return err


def maps(process, library):
    with contextlib.suppress(OSError):
        return library in Path(f"/proc/{process.pid}/maps").read_text()
    return False


@pytest.fixture
def silent():
    """A server that takes connections and says nothing: who asks it waits."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


@pytest.fixture(scope="module")
def finished(shared_small):
    """A matrix with a finished run of one trial."""
    arguments = ["run", shared_small.path, "--reports", shared_small.reports, "--max-trials", "1"]
    subprocess.run([*COMMAND, *map(str, arguments)], check=True, capture_output=True)
    return shared_small


@BOTH
@pytest.mark.parametrize("library", ["multiarray", "libopenvino.so"])
def test_while_the_program_is_imported(number, library):
    process = begin("check")
    wait_for(process, lambda: maps(process, library))
    process.send_signal(number)
    assert interrupted(process, number) == f"interrupted by {number.name}\n"


@BOTH
def test_while_a_matrix_is_loaded(number, zoo):
    process = begin("check", zoo / "embedded.yml")
    wait_for(process, lambda: maps(process, "_psutil_linux"))  # the accuracy checker needs it, nothing before
    process.send_signal(number)
    assert interrupted(process, number) == f"interrupted by {number.name}\n"


@BOTH
def test_before_the_first_cell(number, small):
    process = begin("run", small.path, "--reports", small.reports)
    wait_for(process, lambda: (small.reports / "store.db").exists())
    process.send_signal(number)
    interrupted(process, number)


def test_during_trials_what_was_finished_is_stored_and_reported(small):
    number = signal.SIGTERM
    process = begin("run", small.path, "--reports", small.reports, "--max-trials", 500)
    for line in process.stderr:
        if "(3/500)" in line:
            break
    below = descendants(process.pid)
    process.send_signal(number)
    assert "report: " in interrupted(process, number)
    run = Store(f"sqlite:///{small.reports / 'store.db'}").load_run()
    assert (run.status, run.cells[0].status) == ("interrupted", "interrupted")
    assert len(run.cells[0].trials) >= 3
    assert (small.reports / "latest" / "index.html").is_file()
    assert not [each for each in below if alive(each)]


def test_the_second_signal_ends_a_run_at_once_with_all_its_processes(small):
    process = begin("run", small.path, "--reports", small.reports, "--max-trials", 500)
    for line in process.stderr:
        if "(3/500)" in line:
            break
    below = descendants(process.pid)
    assert below
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)  # as somebody presses twice; the report that is written meanwhile takes longer
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 2
    assert process.returncode == 143, err
    assert err.count("interrupted by ") == 1
    assert "Traceback" not in err
    wait_until(lambda: not [each for each in below if alive(each)])


def test_while_the_report_is_written(small):
    number = signal.SIGINT
    process = begin("run", small.path, "--reports", small.reports, "--max-trials", 1)

    def run_is_over():
        with contextlib.suppress(sqlite3.Error), sqlite3.connect(f"file:{small.reports / 'store.db'}?mode=ro") as store:
            return store.execute("SELECT status FROM runs").fetchall() == [("finished",)]
        return False

    wait_for(process, run_is_over, 120)
    process.send_signal(number)
    interrupted(process, number)


COMMANDS = [
    ("report",), ("trials",), ("export", "net-CPU[f32]"), ("compare", "latest", "latest"),
    ("baseline", "accept"), ("baseline", "show"), ("baseline", "drop", "net-CPU[f32]"), ("baseline", "export", "out"),
    ("baseline", "import", "out"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "command"), list(zip(itertools.cycle([signal.SIGINT, signal.SIGTERM]), COMMANDS, strict=False))
)
def test_while_a_command_waits_for_its_store(number, command, silent, tmp_path):
    address, port = silent.getsockname()
    store = f"postgresql+psycopg://{address}:{port}/zoo"
    (tmp_path / "baselines.json").write_text("[]")
    command = [str(tmp_path) if each == "out" else each for each in command]
    process = begin(*command, "--store", store, "--reports", tmp_path / "reports")
    connection, _ = silent.accept()
    with connection:
        process.send_signal(number)
        assert interrupted(process, number, 5) == f"interrupted by {number.name}\n"


@BOTH
@pytest.mark.parametrize("command", [("worker",), ("run", "--executor", "dask")], ids=" ".join)
def test_while_a_command_waits_for_a_scheduler(number, command, silent):
    address, port = silent.getsockname()
    process = begin(*command, "--scheduler", f"tcp://{address}:{port}")
    connection, _ = silent.accept()
    with connection:
        process.send_signal(number)
        assert interrupted(process, number, 5) == f"interrupted by {number.name}\n"


@TO_WHOM
def test_a_worker_that_waits_for_work(number, everybody, cluster):
    process = begin("worker", "--scheduler", cluster.address)
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
    below = descendants(process.pid)
    if everybody:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    interrupted(process, number)
    wait_until(lambda: not [each for each in below if alive(each)])


@TO_WHOM
def test_while_the_process_of_a_cell_is_started(number, everybody, finished):
    process = begin("compare", "latest", "latest", "--reports", finished.reports)
    wait_for(process, lambda: any(b"forkserver" in command_line(each) for each in descendants(process.pid)))
    below = descendants(process.pid)
    if everybody:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert interrupted(process, number) == f"interrupted by {number.name}\n"
    wait_until(lambda: not [each for each in below if alive(each)])


def command_line(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@BOTH
def test_while_pot_quantizes(number, zoo, tmp_path):
    config = tmp_path / "pot.json"
    embedded = zoo / "embedded"
    algorithm = {"name": "DefaultQuantization", "params": {"preset": "performance", "stat_subset_size": 300}}
    content = {
        "model": {"model_name": "net", "model": str(embedded / "digits-resnet.onnx")},
        "engine": {"type": "simplified", "data_source": str(embedded / "data" / "digits")},
        "compression": {"target_device": "CPU", "algorithms": [algorithm]},
    }
    config.write_text(json.dumps(content))
    output = tmp_path / "results"
    process = begin("pot", config, "--output-dir", output)
    wait_for(process, output.exists)
    process.send_signal(number)
    err = interrupted(process, number)
    assert re.fullmatch(rf"(warning: .*\n)*interrupted by {number.name}\n", err)
    assert not list(output.glob("*.xml"))
