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

from clusters import kill_when, pretending
from quantize_zoo.engines.dask import engine

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


@pytest.fixture
def two_kinds(cluster, tmp_path):
    """A cluster of a worker that leads, and one of a member's kind."""
    for name, role, kind in (("new", "accuracy,latency", LEADING), ("old", "member", OLD)):
        folder = tmp_path / name
        folder.mkdir()
        cluster.start_worker(name, role, **pretending(folder, PRETENDED_KIND.format(*kind)))
    with Client(cluster.address, timeout=30) as client:
        client.wait_for_workers(2, timeout=60)
    return cluster


@pytest.fixture
def fleet(small):
    devices = [{"fleet": "servers", "members": MEMBERS, "allow_slower": True}]
    small.path.write_text(yaml.safe_dump({"models": ["net.yml"], "devices": devices, "portability": False}))
    return small


def pid_of_old(cluster):
    with Client(cluster.address, timeout=30) as client:
        known = client.scheduler_info(n_workers=-1)["workers"]
        (address,) = (each for each, worker in known.items() if worker["name"] == "old")
        return client.run(os.getpid, workers=[address])[address]


def test_a_member_runs_on_a_machine_of_its_kind_also_after_its_worker_was_killed(fleet, two_kinds, quantize_zoo):
    victim = pid_of_old(two_kinds)
    watcher = kill_when(fleet.reports, 1, lambda: os.kill(victim, signal.SIGKILL))
    where = ("--executor", "dask", "--scheduler", two_kinds.address)
    status, out, err = quantize_zoo("run", fleet.path, "--reports", fleet.reports, "--json", *where)
    watcher.join()
    assert status == 0, err
    (cell,) = json.loads(out)["cells"]
    assert cell["status"] == "done"
    members = {each["name"]: each for each in cell["reference"]["fleet"]}
    assert (members["CPU[SSE41]"]["machine"], members["CPU[SSE41]"]["elsewhere"]) == ("An old CPU", True)
    assert not any(each["played"] or each["unavailable"] for each in members.values() if each["elsewhere"])
    assert not members["CPU[AVX2]"]["elsewhere"], "it leads, for the machine is of its kind"
    assert "CPU[SSE41] on An old CPU" in cell["reference"]["identity"]["environment"]
    assert "member CPU[SSE41] is on a machine of its kind: An old CPU, another worker" in err
    trials = cell["trials"]
    assert [each["failure"] for each in trials] == [None] * len(trials)
    assert [each["environment"] for each in cell["final"]["members"]] == ["CPU[SSE41]", "CPU[AVX2]"]
    assert all(each["latency"] for each in cell["final"]["members"])
    assert "on a machine of its kind: An old CPU" in fleet.cell_page()


def test_a_cell_ends_when_no_machine_of_a_members_kind_is_left(fleet, two_kinds, quantize_zoo, monkeypatch):
    monkeypatch.setattr(engine, "_PLACE_SECONDS", 2.0)
    watcher = kill_when(fleet.reports, 1, lambda: two_kinds.stop_one("old"))
    where = ("--executor", "dask", "--scheduler", two_kinds.address)
    status, out, err = quantize_zoo("run", fleet.path, "--reports", fleet.reports, "--json", *where)
    watcher.join()
    assert status == 3, err
    assert "no worker is left for the member CPU[SSE41], which ran on An old CPU" in err
    assert "Traceback" not in err
    assert len(json.loads(out)["cells"][0]["trials"]) >= 1
