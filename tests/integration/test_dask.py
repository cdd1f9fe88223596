"""The matrix on real Dask workers on loopback: same results as here, faults, files, security."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import Client

from clusters import COMMAND, Cluster, free_port, pretending, run
from matrices import SmallMatrix
from quantize_zoo.config import load_matrix
from quantize_zoo.engines import ClusterOptions, find_scheduler
from quantize_zoo.engines.cluster_options import require_safe
from quantize_zoo.engines.dask import DaskEngine, connect
from quantize_zoo.engines.dask import worker as tasks
from quantize_zoo.engines.dask.files import Cache, batches, files_of
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.matrix import expand
from quantize_zoo.store import Store

CELL = "net-CPU[f32]"


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


@pytest.fixture(scope="module", params=["local", "dask"])
def finished(request, longer, tmp_path_factory):
    """The same matrix by either executor."""
    reports = tmp_path_factory.mktemp(request.param)
    address = request.getfixturevalue("pair").address if request.param == "dask" else None
    done = run(longer, reports, address=address)
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
    assert cell["final"]["latency"]["speedup"]["low"] < cell["final"]["latency"]["speedup"]["high"]
    assert len(cell["final"]["layers"]["operation"]) > 5
    ACCURACIES[name] = {trial["option_hash"]: trial["accuracy"] for trial in cell["trials"] if trial["accuracy"]}
    measured = {trial["where"] for trial in cell["trials"] if trial["latency_us"] and trial["reused_from"] is None}
    assert (measured == {""}) == (name == "local")
    assert "dashboard: " not in err, "this scheduler has none"


def test_accuracies_of_the_same_options_are_exactly_equal(finished):
    if len(ACCURACIES) < 2:
        pytest.skip("needs both runs")
    common = ACCURACIES["local"].keys() & ACCURACIES["dask"].keys()
    assert common, "the base at least; what a survey has proposed depends on what was measured"
    assert {key: ACCURACIES["local"][key] for key in common} == {key: ACCURACIES["dask"][key] for key in common}


def test_gate_holds_on_workers(longer, pair, finished, quantize_zoo):
    name, _, reports, _ = finished
    if name == "local":
        pytest.skip("tests/integration/test_gate.py")
    assert quantize_zoo("baseline", "accept", "--reports", reports)[0] == 0
    done = run(longer, reports, "--trials-load-method", "eval", address=pair.address)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["gate_status"] == "pass"
    assert {check["cause"] for check in cell["gate"]["checks"]} == {"runtime", "quantization", "search"}


@pytest.mark.release
def test_store_of_a_cluster_may_be_postgresql(longer, pair, postgresql, tmp_path):
    done = run(longer, tmp_path / "r", "--max-trials", "4", "--store", postgresql, address=pair.address)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["workers"]
    (kept,) = Store(postgresql).load_run().cells
    assert [trial.number for trial in kept.trials] == list(range(4))
    assert {worker.name for worker in kept.workers} == {worker["name"] for worker in cell["workers"]}


# A machine has one CPU model: a worker that says it has another stands in for another machine.
OTHER_CPU = """
from dataclasses import replace
from quantize_zoo.engines.dask import worker
real = worker.describe_environment
worker.describe_environment = lambda: replace(real(), cpu="Another CPU")
"""


@pytest.mark.release
def test_cpu_models_are_refused_or_kept_apart(longer, cluster, tmp_path, zoo):
    cluster.start_worker("one")
    cluster.start_worker("two", **pretending(tmp_path, OTHER_CPU))
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
    refused = run(longer, tmp_path / "r", address=cluster.address)
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
    page = (tmp_path / "r" / "latest" / "cells" / "net-CPU[f32]@Another-CPU.html").read_text()
    assert "Another CPU" in page
    assert "measured on" in page
    status = subprocess.run(
        [*COMMAND, "export", "net-CPU[f32]@Another-CPU", "--reports", tmp_path / "r", "--output-dir", tmp_path / "e"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert status.returncode == 0, status.stderr


def test_a_worker_without_the_files_gets_them_once(longer, tmp_path):
    """The cache on its own: the files are sent by content, and found under other paths."""
    shutil.copytree(longer.folder, tmp_path / "client", ignore=shutil.ignore_patterns("reports"))
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


def test_files_are_sent_in_parts(longer, monkeypatch):
    from quantize_zoo.engines.dask import files as module

    files = files_of(expand(load_matrix(longer.path))[0])
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


@pytest.mark.release
def test_run_with_files_that_only_the_client_has(longer, cluster, tmp_path):
    """The workers see an empty folder in place of the client's: in a mount namespace of their own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("hiding a folder from a process needs root and unshare")
    hidden = tmp_path / "empty"
    hidden.mkdir()
    command = [*COMMAND, "worker", "--scheduler", cluster.address, "--name", "blind"]
    script = f'mount --bind {hidden} {longer.folder} && exec "$@"'
    cluster.start("blind", ["unshare", "--mount", "sh", "-c", script, "sh", *command])
    with Client(cluster.address, timeout=30) as client:
        try:
            client.wait_for_workers(1, timeout=60)
        except TimeoutError:
            pytest.skip(f"no mount namespace here: {cluster.log('blind')[-200:]}")
        assert not any(client.run(lambda path: Path(path).exists(), str(longer.path)).values())
    done = run(longer, tmp_path / "r", "--max-trials", "2", address=cluster.address)
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
        (("worker", "--scheduler", "tcp://127.0.0.1:9", "--role", "member,latency"), "member has no other"),
        (("worker",), "no cluster is named"),
        (("run", "--executor", "dask", "--scheduler", "tcp://127.0.0.1:9", "--tls-cert", "/no/file"), "TLS needs"),
    ],
)
def test_bad_use_is_told(quantize_zoo, tmp_path, monkeypatch, arguments, message):
    from quantize_zoo.engines.dask import cluster as module

    monkeypatch.setattr(module, "_ANSWER_SECONDS", 1)
    reports = ("--reports", tmp_path) if arguments[0] == "run" else ()
    status, _, err = quantize_zoo(*arguments, *reports)
    assert status == 2
    assert message in err
    assert "Traceback" not in err


def test_cluster_without_a_worker_or_a_role_is_told(cluster):
    with Client(cluster.address, timeout=30) as client:
        with pytest.raises(ConfigurationError, match="no worker that can be used"):
            DaskEngine(client, "master", 10**9)
        cluster.start_worker("one", role="accuracy")
        client.wait_for_workers(1, timeout=60)
        with pytest.raises(ConfigurationError, match="no worker has the role latency"):
            DaskEngine(client, "master", 10**9)
        cluster.start_worker("two", role="accuracy")
        client.wait_for_workers(2, timeout=60)
        with pytest.raises(ConfigurationError, match="share a machine"):
            DaskEngine(client, "peer", 10**9)


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
            with connect(find_scheduler(ClusterOptions(scheduler=address, **files))) as client:
                client.wait_for_workers(1, timeout=60)
                assert len(client.run(tasks.facts)) == 1
            with (
                pytest.raises(ConfigurationError, match="no Dask scheduler answers"),
                connect(find_scheduler(ClusterOptions(scheduler=f"tcp://127.0.0.1:{port}"))),
            ):
                pass
        finally:
            worker.terminate()
            worker.wait(20)
            scheduler.terminate()
