"""A fleet on a small model, in sets that every CPU has: one model for all members, in every step of a night."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from matrices import session_of
from quantize_zoo.cell import Cell, surveying
from quantize_zoo.config import FleetSpec, GateConfig, load_matrix
from quantize_zoo.errors import CellError
from quantize_zoo.gate.bisection import CheckName
from quantize_zoo.gate.comparison import Terms
from quantize_zoo.gate.releases import ReleasesRequest, releases_level
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.search import Known
from slowed_runtime import wrapper

MEMBERS = [
    {"device": "GPU", "share": 0.1},
    {"device": "CPU", "isa": "AVX2", "share": 0.6},
    {"device": "CPU", "isa": "SSE41", "share": 0.3},
]


def test_a_fleet_goes_through_the_nights_with_one_model(small, quantize_zoo):
    devices = [{"fleet": "servers", "members": MEMBERS, "allow_slower": True}]
    small.path.write_text(yaml.safe_dump({"models": ["net.yml"], "devices": devices, "portability": False}))
    small.edit("net.yml", lambda model: model["optimizer"]["params"].update(max_trials=3))
    reports = ("--reports", small.reports)
    status, out, err = quantize_zoo("run", small.path, *reports, "--json")
    assert status == 0, err
    (cell,) = json.loads(out)["cells"]
    assert (cell["name"], cell["status"]) == ("net-servers", "done")
    fleet = {each["name"]: each for each in cell["reference"]["fleet"]}
    assert fleet["CPU[AVX2]"]["share"] == pytest.approx(2 / 3)
    assert "OpenVINO has no device GPU" in fleet["GPU"]["unavailable"]
    here = "servers (CPU[AVX2] 0.666667, CPU[SSE41] 0.333333, slower members allowed)"
    assert cell["reference"]["identity"]["device"] == here
    for trial in (each for each in cell["trials"] if each["score"]):
        assert {each["name"] for each in trial["members"]} == {"CPU[AVX2]", "CPU[SSE41]"}
        assert trial["score"]["accuracy_loss_share"] == max(each["accuracy_loss_share"] for each in trial["members"])
    final = cell["final"]
    assert [each["environment"] for each in final["members"]] == ["CPU[AVX2]", "CPU[SSE41]"]
    logs = [np.log(each["latency"]["speedup"]["value"]) for each in final["members"]]
    assert np.log(final["latency"]["speedup"]["value"]) == pytest.approx(
        np.average(logs, weights=[2, 1]), rel=1e-4, abs=1e-5
    )
    page = small.cell_page()
    assert "Members of the fleet" in page
    assert "On the members, each with the choice that is best there: CPU[AVX2]" in page, (
        "what operations save was found out on each of them"
    )
    assert [each["trial"] for each in cell["predictions"]["trials"]][:1] == [0]
    whose = "of a fleet accuracy is that of the member that leads, loss that of the member that loses most"
    assert quantize_zoo("report", *reports)[2].startswith(whose)
    for name in ("index.html", "summary.md"):
        assert whose in (small.reports / "latest" / name).read_text().replace("Of a", "of a"), name

    assert quantize_zoo("baseline", "accept", *reports)[0] == 0
    status, out, err = quantize_zoo("run", small.path, *reports, "--trials-load-method", "eval", "--json")
    assert status in (0, 1), err
    (cell,) = json.loads(out)["cells"]
    checks = {(check["quantity"], check["subject"]): check["status"] for check in cell["gate"]["checks"]}
    for member in ("", " on CPU[SSE41]"):
        for model in ("the baseline's FP32 model", "the baseline's INT8 model", "the baseline's configuration"):
            assert checks["accuracy", model + member] == "pass", "the same computes the same on every member"
        assert checks["latency", f"the baseline's configuration{member}"] == "pass", "the same model is not measured"

    status, out, err = quantize_zoo("compare", "latest", "latest", *reports, "--json")
    assert status == 0, err
    (compared,) = json.loads(out)
    assert compared["cell"] == "net-servers"
    assert [(each["subject"], each["quantity"]) for each in compared["checks"] if each["quantity"] == "accuracy"] == [
        ("net-servers.xml", "accuracy"), ("net-servers.xml on CPU[SSE41]", "accuracy"),
    ]  # fmt: skip

    arguments = ("--trial", "0", "--output-dir", small.folder / "exported", *reports)
    status, _, err = quantize_zoo("export", "net-servers", *arguments)
    assert status == 0, err
    assert len(list((small.folder / "exported").glob("*.xml"))) == 1


@pytest.fixture(scope="module")
def base_and_session(shared_small):
    """A fleet's session, ready to evaluate, and its base; the GPU, which is not here, is scored on the CPU."""
    model = load_matrix(shared_small.path).models[0]
    members = ["CPU", {"device": "CPU", "isa": "SSE41"}, "GPU"]
    fleet = FleetSpec.model_validate({"fleet": "servers", "members": members})
    session = session_of(Cell(model, fleet.members[0], fleet=fleet, absent_on_cpu=True), shared_small.folder)
    prepared = session.prepare()
    session.calibrate(prepared.base)
    return prepared.base, session


def test_a_fleet_is_surveyed_on_each_of_its_members(base_and_session, monkeypatch):
    """Tests are held to AVX2, so is who leads; the CPU that stands in for the GPU is not asked."""
    base, session = base_and_session
    monkeypatch.setattr(surveying, "_SECONDS", 0.0)  # as few rounds as can be
    found = session.survey(base)
    assert [(each.name, each.share) for each in found.members] == [
        (name, pytest.approx(1 / 2)) for name in ("CPU", "CPU[SSE41]")
    ]
    assert all(each.speedup is not None for each in found.members), "both tell times"
    assert found.speedup.low <= found.speedup.value <= found.speedup.high
    first, second = ([operation.fp32_us for operation in each.operations] for each in found.members)
    assert sum(second) > sum(first), "SSE computes four numbers at once, AVX2 eight"
    session.evaluate(base, Known(), prune=False)  # the members' processes go on


def test_a_member_that_is_not_here_is_scored_on_the_cpu_and_not_measured(base_and_session):
    base, session = base_and_session
    rows = {each.name: each for each in session._fleet.members}
    assert rows["GPU"].scored_on == "CPU"
    assert rows["GPU"].share == pytest.approx(1 / 3)
    found = session.evaluate(base, Known(), prune=False)
    assert session._fleet._others["GPU"].finished(session._cell.model.model, session._samples).figures.latency is None
    assert [each.name for each in found.scored.members] == ["CPU", "CPU[SSE41]", "GPU"]
    assert found.scored.members[2].accuracy == found.scored.members[0].accuracy, "the same CPU"
    assert list(found.timed.members) == ["CPU", "CPU[SSE41]"]
    assert "GPU scored on CPU 0.333333" in session._identity["device"]


@pytest.mark.parametrize("fails", ["crashes", "hangs"])
def test_a_member_that_fails_costs_one_candidate(base_and_session, monkeypatch, fails):
    base, session = base_and_session
    member = session._fleet._others["CPU[SSE41]"]
    whole = session.evaluate(base, Known(), prune=False, measure=False).scored
    if fails == "crashes":
        os.kill(member._process._process.pid, signal.SIGKILL)
    else:
        monkeypatch.setattr(member._process, "_limit", 1e-6)
    told = "ended: exit status -9" if fails == "crashes" else "has not answered"
    with pytest.raises(CellError, match=rf"fleet: on CPU\[SSE41\]: the process of .* {told}"):
        session.evaluate(base, Known(), prune=False, measure=False)
    again = session.evaluate(base, Known(), prune=False, measure=False).scored
    assert again.members == whole.members


def test_releases_are_compared_on_every_member(base_and_session, tmp_path):
    """What a bisection looks at; the newer interpreter answers wrongly."""
    _, session = base_and_session
    model, newer = session._cell.model.model, wrapper(tmp_path / "python", sys.executable, "2025.1.0", 0.0, "wrong")
    names = frozenset(
        CheckName("runtime", "accuracy", f"the baseline's INT8 model{on}") for on in ("", " on CPU[SSE41]", " on GPU")
    )
    terms = Terms(GateConfig(), releases_level(GateConfig(), 3), tmp_path)
    older, metric = Path(sys.executable), session._cell.model.metric
    checks = session.compare_releases(ReleasesRequest(metric, model, model, older, newer, terms, names))
    assert {CheckName.of(check) for check in checks} == names
    assert {check.status for check in checks} == {"regressed"}
    bench = session._fleet.benches[1]
    under = bench.answers_under(older, model)
    assert (under.digests == bench.answers(bench.read(model)).digests).all(), "other processes have the member's limit"


def test_compressed_integers_are_offered_where_every_member_runs_them(base_and_session, monkeypatch):
    _, session = base_and_session
    monkeypatch.setattr("quantize_zoo.scoring.devices.cpu_flags", lambda: {"avx512f"})
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "")
    monkeypatch.setattr(session._fleet._others["GPU"], "_isa", "")
    assert session._reference_problem("nncf-weights").startswith("CPU[SSE41]: held to SSE41 on a CPU with AVX-512")
    monkeypatch.setattr(session._fleet._others["CPU[SSE41]"], "_isa", "AVX512_CORE")
    assert session._reference_problem("nncf-weights") == ""


def test_a_candidate_ends_at_the_first_member_that_is_surely_missed(base_and_session, monkeypatch):
    """The model is spoiled after FP32 was scored, so that whatever is asked about loses everything."""
    base, session = base_and_session
    others = session.elsewhere(session._cell.model.model, 0.0)
    assert not {each.environment for each in others} & {"CPU", "CPU[SSE41]"}, "members are known already"
    assert all("ten trials" in each.skipped for each in others)
    order = ("CPU[SSE41]", "CPU", "GPU")
    build = session._pipeline.build

    def spoiled(option):
        net = build(option)
        last = net.outputs[0].get_node().input_value(0)
        net.outputs[0].get_node().input(0).replace_source_output(ops.multiply(last, np.float32(-1)).output(0))
        return net

    monkeypatch.setattr(session._pipeline, "build", spoiled)
    found = session.evaluate(base, Known(hopeless=0.01, members=order, found=True), prune=True).scored
    assert [each.name for each in found.members] == ["CPU[SSE41]"]
    assert found.hopeless
    assert found.members[0].accuracy_loss > 0.5
    whole = session.evaluate(base, Known(members=order), prune=False, measure=False).scored
    assert [each.name for each in whole.members] == list(order)
    assert not whole.hopeless
    worst = max(each.accuracy_loss for each in whole.members)
    assert whole.accuracy_loss.value == pytest.approx(worst)
    assert whole.accuracy_loss.low < worst <= whole.accuracy_loss.high
    assert whole.members[0].accuracy_loss == pytest.approx(whole.members[1].accuracy_loss, abs=0.05)
