"""The matrix on real Dask workers on loopback: same results as here, faults, files, security."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from distributed import Client

from conftest import SmallMatrix
from quantize_zoo.config import load_matrix
from quantize_zoo.errors import CellError, ConfigurationError
from quantize_zoo.matrix import ClusterOptions, expand
from quantize_zoo.matrix.dask import DaskExecutor, connect
from quantize_zoo.matrix.dask import worker as tasks
from quantize_zoo.matrix.dask.cluster import require_safe
from quantize_zoo.matrix.dask.files import Cache, batches, files_of
from quantize_zoo.store import Store

COMMAND = [sys.executable, "-m", "quantize_zoo"]
CELL = "net-CPU[f32]"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Cluster:
    """A scheduler and workers as a user starts them, each a process with a log."""

    def __init__(self, folder):
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.processes = {}

    def start_scheduler(self):
        port = self.address.rpartition(":")[2]
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
        self._start("scheduler", [*command, "--no-dashboard"], DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")

    def start_worker(self, name, role="accuracy,latency", arguments=(), **environment):
        command = [*COMMAND, "worker", "--scheduler", self.address, "--role", role, "--name", name, *arguments]
        self._start(name, command, **environment)

    def _start(self, name, command, **environment):
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **environment}, cwd=self.folder
            )

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def stop_one(self, name):
        process = self.processes.pop(name)
        process.terminate()
        process.wait(20)

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


def pretending(folder, code):
    """The environment of a process that runs this code at its start."""
    shim = folder / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": str(shim)}


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def small(tmp_path_factory, zoo):
    made = SmallMatrix(tmp_path_factory.mktemp("dask"), zoo)
    made.edit("net.yml", lambda model: model["optimizer"]["params"].update(max_trials=12))
    return made


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    made.start_scheduler()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A cluster with two workers that the tests share which harm nobody."""
    made = Cluster(tmp_path_factory.mktemp("pair"))
    made.start_scheduler()
    for name in ("one", "two"):
        made.start_worker(name)
    with Client(made.address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
    yield made
    made.stop()


def run(small, reports, *arguments, address=None):
    where = ["--executor", "dask", "--scheduler", address] if address else []
    return subprocess.run(
        [*COMMAND, "run", small.path, "--reports", reports, "--json", *where, *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["local", "dask"])
def finished(request, small, tmp_path_factory):
    """The same matrix by either executor."""
    reports = tmp_path_factory.mktemp(request.param)
    address = request.getfixturevalue("pair").address if request.param == "dask" else None
    done = run(small, reports, address=address)
    assert done.returncode == 0, done.stderr
    return request.param, json.loads(done.stdout), reports, done.stderr


ACCURACIES = {}


def test_a_run_is_the_same_by_either_executor(finished):
    name, document, reports, err = finished
    (cell,) = document["cells"]
    assert cell["status"] == "done"
    assert [trial["number"] for trial in cell["trials"]] == list(range(12))
    assert cell["trials"][0]["kind"] == "base"
    assert (reports / "latest" / cell["final"]["model"]).is_file()
    assert (reports / "latest" / "cells" / f"{CELL}.html").is_file()
    assert cell["final"]["latency"]["ratio"]["low"] < cell["final"]["latency"]["ratio"]["high"]
    assert len(cell["final"]["layers"]) > 5
    ACCURACIES[name] = {trial["option_hash"]: trial["accuracy"] for trial in cell["trials"] if trial["accuracy"]}
    measured = {trial["where"] for trial in cell["trials"] if trial["latency_us"] and trial["reused_from"] is None}
    assert (measured == {""}) == (name == "local")
    assert ("dashboard: " in err) == (name == "dask")


def test_accuracies_of_the_same_options_are_exactly_equal(finished):
    if len(ACCURACIES) < 2:
        pytest.skip("needs both runs")
    common = ACCURACIES["local"].keys() & ACCURACIES["dask"].keys()
    assert len(common) >= 3
    assert {key: ACCURACIES["local"][key] for key in common} == {key: ACCURACIES["dask"][key] for key in common}


def test_gate_holds_on_workers(small, pair, finished, quantize_zoo):
    name, _, reports, _ = finished
    if name == "local":
        pytest.skip("tests/integration/test_gate.py")
    assert quantize_zoo("baseline", "accept", "--reports", reports)[0] == 0
    done = run(small, reports, "--trials-load-method", "eval", address=pair.address)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["gate_status"] == "pass"
    assert {check["cause"] for check in cell["gate"]["checks"]} == {"runtime", "quantization", "search"}


def kill_when(path, count, kill):
    """Call ``kill`` once as many trials are stored."""

    def watch():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            time.sleep(0.2)
            with contextlib.suppress(Exception):
                store = Store(f"sqlite:///{path / 'store.db'}")
                if len(store.load_run().cells[0].trials) >= count:
                    kill()
                    return

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def workers_of(cluster):
    with Client(cluster.address, timeout=30) as client:
        return client.run(os.getpid)


def test_a_killed_worker_costs_no_trial(small, cluster, tmp_path):
    for name in ("one", "two"):
        cluster.start_worker(name)
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
        victim = next(iter(client.run(os.getpid).values()))
    watcher = kill_when(tmp_path / "r", 3, lambda: os.kill(victim, signal.SIGKILL))
    done = run(small, tmp_path / "r", address=cluster.address)
    watcher.join()
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert [trial["number"] for trial in cell["trials"]] == list(range(12))
    assert all(trial["failure"] is None for trial in cell["trials"])
    with pytest.raises(ProcessLookupError):
        os.kill(victim, 0)


def test_a_lost_scheduler_loses_nothing_that_was_finished(small, cluster, tmp_path):
    cluster.start_worker("one")
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
    watcher = kill_when(tmp_path / "r", 3, cluster.processes["scheduler"].kill)
    done = run(small, tmp_path / "r", address=cluster.address)
    watcher.join()
    assert done.returncode == 3, done.stderr
    assert "the scheduler is lost" in done.stderr
    assert "warm_start" in done.stderr
    assert "Traceback" not in done.stderr
    kept = len(json.loads(done.stdout)["cells"][0]["trials"])
    assert kept >= 3
    again = run(small, tmp_path / "r", "--trials-load-method", "warm_start")
    assert again.returncode == 0, again.stderr
    assert len(json.loads(again.stdout)["cells"][0]["trials"]) == 12


def test_a_worker_that_joins_gets_work_and_one_of_other_versions_does_not(small, cluster, tmp_path):
    cluster.start_worker("one")
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
        told = []
        roster = DaskExecutor(client, "master", 10**9, told.append).roster
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


def test_store_of_a_cluster_may_be_postgresql(small, pair, postgresql, tmp_path):
    done = run(small, tmp_path / "r", "--max-trials", "4", "--store", postgresql, address=pair.address)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["workers"]
    (kept,) = Store(postgresql).load_run().cells
    assert [trial.number for trial in kept.trials] == list(range(4))
    assert {worker.name for worker in kept.workers} == {worker["name"] for worker in cell["workers"]}


# A machine has one CPU model: a worker that says it has another stands in for another machine.
OTHER_CPU = """
from dataclasses import replace
from quantize_zoo.matrix.dask import worker
real = worker.describe_environment
worker.describe_environment = lambda: replace(real(), cpu="Another CPU")
"""


def test_cpu_models_are_refused_or_kept_apart(small, cluster, tmp_path, zoo):
    cluster.start_worker("one")
    cluster.start_worker("two", **pretending(tmp_path, OTHER_CPU))
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
    refused = run(small, tmp_path / "r", address=cluster.address)
    assert refused.returncode == 2, refused.stderr
    assert "Another CPU" in refused.stderr
    assert "on_mixed_cpus: split" in refused.stderr
    (tmp_path / "split").mkdir()
    copy = SmallMatrix(tmp_path / "split", zoo)
    copy.edit("matrix.yml", lambda matrix: matrix.update(on_mixed_cpus="split"))
    done = run(copy, tmp_path / "r", "--max-trials", "2", address=cluster.address)
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert len(cells) == 2
    assert {cell["device"] for cell in cells} > {"CPU[f32]@Another-CPU"}
    for cell in cells:
        (worker,) = cell["workers"]
        assert (worker["cpu"] == "Another CPU") == (cell["device"] == "CPU[f32]@Another-CPU")
        assert worker["scored"] >= 1
        assert 0 < worker["share"] <= 1
    page = (tmp_path / "r" / "latest" / "cells" / "net-CPU[f32]-Another-CPU.html").read_text()
    assert "Another CPU" in page
    assert "measured on" in page
    status = subprocess.run(
        [*COMMAND, "export", "net-CPU[f32]@Another-CPU", "--reports", tmp_path / "r", "--output-dir", tmp_path / "e"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert status.returncode == 0, status.stderr


def die(limit, key):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_kills_its_worker_is_tried_twice(small, cluster, monkeypatch):
    cluster.start_worker("one")
    monkeypatch.setattr(die, "__module__", "__main__")  # workers cannot import this module: it travels by value
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
        executor = DaskExecutor(client, "master", 10**9)
        with (
            executor.open(expand(load_matrix(small.path))[0], small.folder) as cell,
            pytest.raises(CellError, match=r"lost twice: .*died.*died"),
        ):
            executor.work(cell, die)


def session_of(worker_pid):
    """The process of a worker's session; its other child is multiprocessing's own helper."""
    (found,) = (each for each in psutil.Process(worker_pid).children() if "spawn_main" in " ".join(each.cmdline()))
    return found


def test_a_session_that_hangs_is_ended_and_tried_once_more(small, cluster, monkeypatch):
    from quantize_zoo.matrix.dask import calls

    monkeypatch.setattr(calls, "_LEAST_LIMIT_SECONDS", 5.0)
    monkeypatch.setattr(calls, "_PATIENCE", 0.0)
    cluster.start_worker("one")
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(1, timeout=60)
        (worker,) = client.run(os.getpid).values()
        executor = DaskExecutor(client, "master", 10**9)
        with executor.open(expand(load_matrix(small.path))[0], small.folder) as cell:
            base = cell.prepare().base
            cell.calibrate(base)
            assert cell.build(base).candidate
            before = session_of(worker)
            before.suspend()
            with pytest.raises(CellError, match="hung for 5 s"):  # so does the next one
                stop_next(worker, before, lambda: cell.build(base))
            assert not before.is_running()
            assert cell.build(base).candidate, "the worker goes on"


def stop_next(worker, before, call):
    """Call while the session that comes after the one before is stopped too, as soon as it is there."""

    def stop():
        deadline = time.monotonic() + 60
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


def test_a_worker_without_enough_memory_costs_no_trial(small, cluster, tmp_path):
    cluster.start_worker("wide")
    cluster.start_worker("narrow", arguments=narrow_limit(cluster))
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
    done = run(small, tmp_path / "r", "--max-trials", "4", address=cluster.address)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert [trial["number"] for trial in cell["trials"]] == list(range(4))
    assert all(trial["failure"] is None for trial in cell["trials"])
    assert {worker["name"] for worker in cell["workers"]} == {"wide"}


def test_an_only_worker_without_enough_memory_is_told(small, cluster, tmp_path):
    cluster.start_worker("probe")
    limit = narrow_limit(cluster)
    cluster.stop_one("probe")
    cluster.start_worker("narrow", arguments=limit)
    with Client(cluster.address, timeout=30) as client:  # until the other one is gone too
        wait_until(lambda: [each["name"] for each in client.scheduler_info()["workers"].values()] == ["narrow"])
    done = run(small, tmp_path / "r", address=cluster.address)
    assert done.returncode == 3, done.stderr
    assert "out of memory" in done.stderr


def test_a_worker_without_the_files_gets_them_once(small, tmp_path):
    """The cache on its own: the files are sent by content, and found under other paths."""
    shutil.copytree(small.folder, tmp_path / "client", ignore=shutil.ignore_patterns("reports"))
    cell = expand(load_matrix(tmp_path / "client" / "matrix.yml"))[0]
    files = files_of(cell)
    assert files.here
    assert {Path(path).name for path, _ in files.hashes} >= {"net.onnx", "labels.txt", "accuracy-check.yml"}
    assert len(files.hashes) > 100, "the pictures too"
    cache = Cache(tmp_path / "cache", 10**9)
    missing = cache.missing(files)
    assert len(missing) == len({digest for _, digest in files.hashes})
    sent = list(batches(files, missing))
    assert sorted(digest for batch in sent for digest in batch) == missing
    for batch in sent:
        cache.keep(batch)
    assert cache.missing(files) == []
    assert cache.localized(files) == files.cell
    labels = cell.model.accuracy_checker.parent / "labels.txt"
    labels.write_text(labels.read_text()[::-1])
    assert not files.here, "of the same size, with another content"
    local = cache.localized(files)
    assert local.model.model.is_file()
    assert str(local.model.model).startswith(str(tmp_path / "cache"))
    assert local.model.accuracy_checker.is_file()
    assert sorted(digest for _, digest in files_of(local).hashes) == sorted(digest for _, digest in files.hashes)
    cache.release(files)
    assert not local.model.model.exists()


def test_files_are_sent_in_parts(small, monkeypatch):
    from quantize_zoo.matrix.dask import files as module

    files = files_of(expand(load_matrix(small.path))[0])
    wanted = [digest for _, digest in files.hashes]
    monkeypatch.setattr(module, "_BATCH_BYTES", 20_000)
    sent = list(batches(files, wanted))
    assert len(sent) > 3
    assert sorted(digest for batch in sent for digest in batch) == sorted(set(wanted))


def test_cache_keeps_to_its_size(tmp_path):
    cache = Cache(tmp_path, 1000)
    cache.keep({"a" * 64: b"x" * 600})
    cache.keep({"b" * 64: b"x" * 600})
    assert [path.name[0] for path in tmp_path.glob("[0-9a-f]*")] == ["b"]


def test_run_with_files_that_only_the_client_has(small, cluster, tmp_path):
    """The workers see an empty folder in place of the client's: in a mount namespace of their own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("hiding a folder from a process needs root and unshare")
    hidden = tmp_path / "empty"
    hidden.mkdir()
    command = [*COMMAND, "worker", "--scheduler", cluster.address, "--name", "blind"]
    script = f'mount --bind {hidden} {small.folder} && exec "$@"'
    cluster._start("blind", ["unshare", "--mount", "sh", "-c", script, "sh", *command])
    with Client(cluster.address, timeout=30) as client:
        try:
            client.wait_for_workers(1, timeout=60)
        except TimeoutError:
            pytest.skip(f"no mount namespace here: {cluster.log('blind')[-200:]}")
        assert not any(client.run(lambda path: Path(path).exists(), str(small.path)).values())
    done = run(small, tmp_path / "r", "--max-trials", "2", address=cluster.address)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:8786", "tcp://192.168.0.5:8786", "tcp://some.host:1", "10.0.0.1"])
def test_what_others_can_reach_needs_tls_or_a_word(address):
    with pytest.raises(ConfigurationError, match="can be reached by others"):
        require_safe(address, None, insecure=False)
    require_safe(address, None, insecure=True)
    require_safe("tcp://127.0.0.1:1", None, insecure=False)
    require_safe("tcp://[::1]:1", None, insecure=False)


def test_worker_refuses_to_listen_in_the_open(quantize_zoo):
    status, _, err = quantize_zoo("worker", "--scheduler", "tcp://127.0.0.1:1", "--host", "0.0.0.0")
    assert status == 2
    assert "--tls-ca-file" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--executor", "dask", "--scheduler", "tcp://127.0.0.1:9"), "no Dask scheduler answers"),
        (("run", "--workers", "2"), "add --executor dask"),
        (("worker", "--scheduler", "tcp://127.0.0.1:9", "--role", "speed"), "there is no role 'speed'"),
        (("worker",), "name one"),
        (("run", "--executor", "dask", "--scheduler", "tcp://127.0.0.1:9", "--tls-cert", "/no/file"), "TLS needs"),
    ],
)
def test_bad_use_is_told(quantize_zoo, tmp_path, monkeypatch, arguments, message):
    from quantize_zoo.matrix.dask import cluster as module

    monkeypatch.setattr(module, "_CONNECT_SECONDS", 1)
    reports = ("--reports", tmp_path) if arguments[0] == "run" else ()
    status, _, err = quantize_zoo(*arguments, *reports)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


def test_cluster_without_a_worker_or_a_role_is_told(cluster):
    with Client(cluster.address, timeout=30) as client:
        with pytest.raises(ConfigurationError, match="no worker that can be used"):
            DaskExecutor(client, "master", 10**9)
        cluster.start_worker("one", role="accuracy")
        client.wait_for_workers(1, timeout=60)
        with pytest.raises(ConfigurationError, match="no worker has the role latency"):
            DaskExecutor(client, "master", 10**9)
        cluster.start_worker("two", role="accuracy")
        client.wait_for_workers(2, timeout=60)
        with pytest.raises(ConfigurationError, match="share a machine"):
            DaskExecutor(client, "peer", 10**9)


def test_tls_cluster_works_and_others_are_kept_out(tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make certificates")
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    subject = ["-subj", "/CN=localhost", "-days", "1"]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, *subject],
        check=True, capture_output=True,
    )  # fmt: skip
    shutil.copy(cert, ca)
    files = {"tls_ca_file": ca, "tls_cert": cert, "tls_key": key}
    port = free_port()
    options = [f"--{name.replace('_', '-')}={path}" for name, path in files.items()]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--protocol", "tls", "--no-dashboard", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as scheduler:
        address = f"tls://127.0.0.1:{port}"
        worker = subprocess.Popen([*COMMAND, "worker", "--scheduler", address, *options], stderr=subprocess.DEVNULL)
        try:
            with connect(ClusterOptions(scheduler=address, **files)) as client:
                client.wait_for_workers(1, timeout=60)
                assert len(client.run(tasks.facts)) == 1
            with (
                pytest.raises(ConfigurationError, match="no Dask scheduler answers"),
                connect(ClusterOptions(scheduler=f"tcp://127.0.0.1:{port}")),
            ):
                pass
        finally:
            worker.terminate()
            worker.wait(20)
            scheduler.terminate()
