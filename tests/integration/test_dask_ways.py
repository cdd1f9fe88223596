"""How a scheduler is named, and what is told when that cannot be right: one message, soon, and nothing else."""

import json
import socket
import subprocess
import sys
import time

import pytest
from distributed import Client

from clusters import COMMAND, Cluster, free_port, wait_until
from quantize_zoo.engines import SchedulerAddress
from quantize_zoo.engines.dask.cluster import dashboard_of, serve
from quantize_zoo.errors import ConfigurationError

NOBODY = "tcp://127.0.0.1:9"


def refused(*arguments, seconds=40):
    """Run the command; return its one message. It ends soon, and says nothing beside.

    Quiet machines need less than 10 s, of which the imports take half; the limit is for busy ones.
    """
    started = time.monotonic()
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    first, remedy = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert remedy.startswith("  -> ")
    assert time.monotonic() - started < seconds
    return done.stderr


def of_run(*arguments):
    return refused("run", "--executor", "dask", *arguments)


def of_worker(*arguments):
    return refused("worker", *arguments)


BOTH = pytest.mark.parametrize("refusal", [of_run, of_worker])


def test_options_of_a_cluster_need_its_executor():
    assert "add --executor dask" in refused("run", "--scheduler-file", "none.json", "--insecure")


@BOTH
def test_a_missing_file_of_a_scheduler_is_told_at_once(refusal, tmp_path):
    assert "there is no such file" in refusal("--scheduler-file", tmp_path / "none.json")


@BOTH
def test_an_address_that_nobody_answers_is_told_soon(refusal):
    assert f"no Dask scheduler answers at {NOBODY}" in refusal("--scheduler", NOBODY)


def test_a_tls_address_that_nobody_answers_is_told_soon(certificates):
    files = ("--tls-ca-file", "cert.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    options = [certificates / each if each.endswith(".pem") else each for each in files]
    assert "no Dask scheduler answers at tls:" in of_run("--scheduler", "tls://127.0.0.1:9", *options)


@BOTH
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["nothing", "HTTP"])
def test_a_server_that_is_no_scheduler_is_told_soon(refusal, answer):
    served = (
        "import socket, sys\n"
        "server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "kept = []\n"
        "while True:\n"
        "    kept.append(server.accept()[0])\n"
        "    kept[-1].sendall(sys.argv[2].encode())\n"
    )
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", served, str(port), answer.decode()]) as server:
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            assert "no Dask scheduler answers at" in refusal("--scheduler", f"tcp://127.0.0.1:{port}")
        finally:
            server.kill()


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    """A scheduler without a dashboard, with a file, and a worker."""
    made = Cluster(tmp_path_factory.mktemp("one"))
    port = made.address.rpartition(":")[2]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    made.start("scheduler", [*command, "--no-dashboard", "--scheduler-file", "scheduler.json"])
    file = made.folder / "scheduler.json"
    wait_until(file.exists)
    made.start("one", [*COMMAND, "worker", "--scheduler-file", file])
    with Client(made.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
    yield made
    made.stop()


@BOTH
def test_a_worker_is_no_scheduler(refusal, one_worker):
    with Client(one_worker.address, timeout=30) as client:
        (worker,) = client.scheduler_info()["workers"]
    assert "a Worker answers" in refusal("--scheduler", worker)


def test_a_run_by_a_schedulers_file_names_no_dashboard_where_there_is_none(one_worker, shared_small, tmp_path):
    arguments = (
        "run",
        shared_small.path,
        "--executor",
        "dask",
        "--scheduler-file",
        one_worker.folder / "scheduler.json",
    )
    options = ("--max-trials", "1", "--reports", tmp_path, "--json")
    done = subprocess.run([*COMMAND, *map(str, (*arguments, *options))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cells"][0]["status"] == "done"
    assert "dashboard" not in done.stderr


def test_a_dashboard_that_is_there_is_named(tmp_path):
    made = Cluster(tmp_path)
    port = made.address.rpartition(":")[2]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
    made.start("scheduler", [*command, "--dashboard-address", f"127.0.0.1:{free_port()}"])
    try:
        with Client(made.address, timeout=30) as client:
            assert dashboard_of(client) == client.dashboard_link
    finally:
        made.stop()


@pytest.mark.parametrize("limit", ["banana", "-1", "nan", "inf"])
def test_a_memory_limit_that_is_no_amount_is_refused(limit):
    with pytest.raises(ConfigurationError, match=f"'{limit}' is no amount of memory"):
        serve(SchedulerAddress(NOBODY), ("accuracy",), "127.0.0.1", None, limit)


def test_a_name_that_is_taken_is_told(one_worker):
    with Client(one_worker.address, timeout=30) as client:
        (found,) = client.scheduler_info()["workers"].values()
    command = [*COMMAND, "worker", "--scheduler", one_worker.address, "--name", str(found["name"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "the worker cannot start: " in done.stderr
