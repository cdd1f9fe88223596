"""A fleet on a cluster whose workers say that they are of other kinds: one test machine stands in for several.

A member's worker pretends to be on a machine of its own whose CPU has SSE41 at most; that it is asked, and what comes
of it, is real.
"""

import json
import os
import signal

import pytest
import yaml
from distributed import Client

from clusters import Cluster, kill_when, pretending
from quantize_zoo.config import load_matrix
from quantize_zoo.engines.dask import DaskEngine, engine
from quantize_zoo.errors import WorkerDiedError
from quantize_zoo.matrix import expand

MEMBERS = [{"device": "CPU", "isa": "SSE41", "share": 0.4}, {"device": "CPU", "isa": "AVX2", "share": 0.6}]
LEADING = ("AVX2", "A CPU with AVX2", "")
OLD = ("SSE41", "An old CPU", ", host='old'")
PRETENDED_KIND = """
from dataclasses import replace
from quantize_zoo.engines.dask import worker
from quantize_zoo.scoring import MachineKind
real = worker.facts
def facts(dask_worker=None):
    kind = MachineKind("{1}", ("{0}",), {{"CPU": "{1}"}})
    return replace(real(dask_worker), kind=kind{2})
facts.__module__, facts.__qualname__ = worker.__name__, "facts"
worker.facts = facts
"""


@pytest.fixture(scope="module")
def two_kinds(tmp_path_factory):
    """A cluster of a worker that leads, and one of a member's kind."""
    made = Cluster(tmp_path_factory.mktemp("kinds"))
    made.start_scheduler()
    for name, role, kind in (("new", "accuracy,latency", LEADING), ("old", "member", OLD)):
        folder = made.folder / name
        folder.mkdir()
        made.start_worker(name, role, **pretending(folder, PRETENDED_KIND.format(*kind)))
    with Client(made.address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
    yield made
    made.stop()


@pytest.fixture
def fleet(small):
    devices = [{"fleet": "servers", "members": MEMBERS, "allow_slower": True}]
    small.path.write_text(yaml.safe_dump({"models": ["net.yml"], "devices": devices, "portability": False}))
    small.edit("net.yml", lambda model: model["optimizer"]["params"].update(max_trials=2))
    return small


def pid_of_old(cluster):
    with Client(cluster.address, timeout=30) as client:
        known = client.scheduler_info(n_workers=-1)["workers"]
        (address,) = (each for each, worker in known.items() if worker["name"] == "old")
        return client.run(os.getpid, workers=[address])[address]


def test_a_member_runs_on_a_machine_of_its_kind_also_after_its_worker_was_killed(fleet, two_kinds, quantize_zoo):
    reports = two_kinds.folder / "reports"  # outside of the folder that the data are in
    victim = pid_of_old(two_kinds)
    watcher = kill_when(reports, 1, lambda: os.kill(victim, signal.SIGKILL))
    where = ("--executor", "dask", "--scheduler", two_kinds.address)
    status, out, err = quantize_zoo("run", fleet.path, "--reports", reports, "--json", *where)
    watcher.join()
    assert status == 0, err
    (cell,) = json.loads(out)["cells"]
    assert cell["status"] == "done"
    old, new = cell["reference"]["fleet"]
    assert (old["name"], old["machine"], old["elsewhere"], old["played"]) == ("CPU[SSE41]", "An old CPU", True, False)
    assert not new["elsewhere"], "it leads, although it is the second: the machine is of its kind"
    assert "CPU[SSE41] on An old CPU" in cell["reference"]["identity"]["environment"]
    assert "member CPU[SSE41] is on a machine of its kind: An old CPU, another worker" in err
    assert "An old CPU" not in {worker["cpu"] for worker in cell["workers"]}
    trials = cell["trials"]
    assert [each["failure"] for each in trials] == [None] * len(trials)
    assert [each["environment"] for each in cell["final"]["members"]] == ["CPU[SSE41]", "CPU[AVX2]"]
    assert all(each["latency"] for each in cell["final"]["members"])
    assert "on a machine of its kind: An old CPU" in (reports / "latest" / "cells" / "net-servers.html").read_text()


def test_a_cell_ends_when_no_machine_of_a_members_kind_is_left(fleet, two_kinds, monkeypatch):
    monkeypatch.setattr(engine, "_PLACE_SECONDS", 1.0)
    with Client(two_kinds.address, timeout=30) as client:
        executor = DaskEngine(client, "master", 10**9)
        with executor.open(expand(load_matrix(fleet.path))[0], fleet.folder) as cell:
            assert cell.files.cell.device.label == "CPU[AVX2]"
            assert cell.files.cell.places == (("CPU[SSE41]", "An old CPU"),)
            two_kinds.stop_one("old")
            with pytest.raises(WorkerDiedError, match=r"no worker is left for the member CPU\[SSE41\]"):
                cell.prepare()
