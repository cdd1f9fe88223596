"""The way from a cell's worker to a member's: a server of Dask's with a real process behind it, on loopback."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

pytest.importorskip("distributed", reason="Dask is an extra")

from distributed.core import Server
from distributed.utils import LoopRunner, sync

from quantize_zoo.cell import Cell
from quantize_zoo.config import FleetSpec
from quantize_zoo.engines.dask import DaskEngine, places
from quantize_zoo.engines.dask.files import Cache
from quantize_zoo.engines.dask.places import OPERATION, Connections, Hosting
from quantize_zoo.engines.dask.roster import Member, Roster
from quantize_zoo.engines.dask.worker import Facts
from quantize_zoo.errors import CellError, WorkerDiedError, runtime_died
from quantize_zoo.interrupts import descendants
from quantize_zoo.scoring import MachineKind
from quantize_zoo.scoring.far_process import Close, Give, Open, Request, Take

ONE, OTHER = ("CPU[AVX2]", 0), ("CPU[AVX2]", 1)
SOON = 30.0


@pytest.fixture
def loop():
    runner = LoopRunner(asynchronous=False)
    runner.start()
    yield runner.loop
    runner.stop()


@pytest.fixture
def address(loop, tmp_path):
    """A member's worker, as far as others see it."""

    async def start():
        server = Server({OPERATION: Hosting(tmp_path / "members", Cache(tmp_path / "cache", 10**9)).serve})
        await server.listen("tcp://127.0.0.1:0")
        return server

    server = sync(loop, start)
    yield server.address
    sync(loop, server.close)


@pytest.fixture
def leading(loop, address):
    """Workers that lead: each with connections of its own."""
    worker = SimpleNamespace(loop=loop, connection_args={})
    made = [Connections(worker, {ONE[0]: address}) for _ in range(2)]
    yield made
    for each in made:
        each.close()


def waiting(connections, channel, message):
    """Send a message in a thread; return what tells that it was answered."""
    answered = threading.Event()

    def send():
        connections.relay(channel, message, SOON)
        answered.set()

    threading.Thread(target=send, daemon=True).start()
    return answered


def test_one_at_a_time_has_the_machine_and_gives_it_back_when_its_worker_is_gone(leading, tmp_path):
    first, second = leading
    for each in leading:
        assert each.relay(ONE, Open(None), SOON) is None
    assert "openvino" in second.relay(ONE, Request("hello"), SOON)
    first.relay(ONE, Take(), SOON)
    taken = waiting(second, ONE, Take())
    assert not taken.wait(0.3)
    first.relay(ONE, Give(), SOON)
    assert taken.wait(SOON)
    again = waiting(first, ONE, Take())
    assert not again.wait(0.3)
    second.close()  # in the middle of what it does
    assert again.wait(SOON)
    first.relay(ONE, Close(), SOON)


def test_a_process_ends_with_its_connection(leading):
    before = set(descendants(os.getpid()))
    leading[0].relay(ONE, Open("AVX2"), SOON)
    leading[0].relay(OTHER, Open("AVX2"), SOON)
    assert len(set(descendants(os.getpid())) - before) == 2
    leading[0].relay(ONE, Close(), SOON)
    leading[0].close()
    ended = threading.Event()
    for _ in range(100):
        if not set(descendants(os.getpid())) - before:
            ended.set()
            break
        ended.wait(0.1)
    assert ended.is_set()


def test_what_fails_there_is_told_here(leading):
    leading[0].relay(ONE, Open(None), SOON)
    load = Request("load", {"slot": 0, "model": "none.xml", "device": "CPU", "config": {}})
    with pytest.raises(CellError, match=r"none\.xml"):
        leading[0].relay(ONE, load, SOON)
    assert "openvino" in leading[0].relay(ONE, Request("hello"), SOON)


def test_a_process_that_died_ends_the_session_that_asked_it(leading):
    before = set(descendants(os.getpid()))
    leading[0].relay(ONE, Open(None), SOON)
    (process,) = set(descendants(os.getpid())) - before
    os.kill(process, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="exit status -9"):
        leading[0].relay(ONE, Request("hello"), SOON)


def test_a_process_that_does_not_start_is_told(leading, monkeypatch):
    def start(isa):
        raise runtime_died("python", "no memory")

    monkeypatch.setattr(places, "start_runtime", start)
    with pytest.raises(CellError, match="no memory"):
        leading[0].relay(ONE, Open(None), SOON)


def test_a_worker_that_does_not_answer_is_given_up(leading):
    for each in leading:
        each.relay(ONE, Open(None), SOON)
    leading[0].relay(ONE, Take(), SOON)
    with pytest.raises(WorkerDiedError, match=r"of the member CPU\[AVX2\] is gone: .*0\.5 s"):
        leading[1].relay(ONE, Take(), 0.5)


def test_a_worker_that_is_not_there_is_told(loop):
    nobody = Connections(SimpleNamespace(loop=loop, connection_args={"timeout": 1}), {ONE[0]: "tcp://127.0.0.1:9"})
    with pytest.raises(WorkerDiedError, match=r"the worker tcp://127\.0\.0\.1:9 of the member CPU\[AVX2\] is gone"):
        nobody.relay(ONE, Open(None), SOON)


def test_a_member_whose_worker_left_just_now_is_told(loop):
    left = Connections(SimpleNamespace(loop=loop, connection_args={}), {})
    with pytest.raises(WorkerDiedError, match="none has come in its place"):
        left.relay(ONE, Open(None), SOON)


def roster_of(hosts, kind=None):
    """Workers by address: their machine and their role."""
    roster = Roster.__new__(Roster)
    roster._own = Facts("client", "", "", {})
    roster._members = {
        address: Member(Facts(host, address, "", {}, kind or MachineKind()), frozenset({role}))
        for address, (host, role) in hosts.items()
    }
    return roster


def test_a_call_that_lost_a_members_worker_goes_to_another_on_that_cpu(mobilenet):
    engine = DaskEngine.__new__(DaskEngine)
    engine.roster = roster_of(
        {"a": ("one", "member"), "b": ("two", "member")}, MachineKind("A", ("AVX2",), {"CPU": ""})
    )
    fleet = FleetSpec.model_validate({"fleet": "servers", "members": ["CPU", {"device": "CPU", "isa": "AVX2"}]})
    cell = Cell(mobilenet, fleet.members[0], fleet=fleet, places=(("CPU[AVX2]", "A"),))
    assert engine.members(cell) == {"CPU[AVX2]": ["a", "b"]}
    assert engine.members(cell, failed={"a"}) == {"CPU[AVX2]": ["b"]}
    other = Cell(mobilenet, fleet.members[0], fleet=fleet, places=(("CPU[AVX2]", "B"),))
    assert engine.members(other) == {"CPU[AVX2]": []}


def test_a_members_machine_is_one_that_no_other_worker_and_no_client_is_on():
    hosts = {"a": ("one", "member"), "b": ("two", "member"), "c": ("two", "latency"), "d": ("client", "member")}
    assert list(roster_of(hosts).alone("member")) == ["a"]
