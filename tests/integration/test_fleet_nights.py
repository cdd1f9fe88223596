"""A fleet on a small model, in sets that every CPU has: one model for all members, in every step of a night."""

import json

import numpy as np
import pytest
import yaml

from matrices import session_of
from quantize_zoo.cell import Cell, surveying
from quantize_zoo.config import FleetSpec, load_matrix
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.search import Known

MEMBERS = [
    {"device": "CPU", "isa": "AVX2", "share": 0.6},
    {"device": "CPU", "isa": "SSE41", "share": 0.3},
    {"device": "GPU", "share": 0.1},
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
    assert "On the members: CPU[AVX2]" in page, "what operations save was found out on each of them"
    assert [each["trial"] for each in cell["predictions"]["trials"]][:1] == [0]

    assert quantize_zoo("baseline", "accept", *reports)[0] == 0
    status, out, err = quantize_zoo("run", small.path, *reports, "--trials-load-method", "eval", "--json")
    assert status in (0, 1), err
    (cell,) = json.loads(out)["cells"]
    checks = {(check["quantity"], check["subject"]): check["status"] for check in cell["gate"]["checks"]}
    for subject in ("the baseline's configuration", "the baseline's configuration on CPU[SSE41]"):
        assert checks["accuracy", subject] == "pass", "the same configuration computes the same on every member"
        assert ("latency", subject) in checks

    arguments = ("--trial", "0", "--output-dir", small.folder / "exported", *reports)
    status, _, err = quantize_zoo("export", "net-servers", *arguments)
    assert status == 0, err
    assert len(list((small.folder / "exported").glob("*.xml"))) == 1


def test_a_fleet_is_surveyed_on_each_of_its_members(small, monkeypatch):
    monkeypatch.setattr(surveying, "_SECONDS", 0.0)  # as few rounds as can be
    model = load_matrix(small.path).models[0]
    fleet = FleetSpec.model_validate({"fleet": "servers", "members": MEMBERS})
    session = session_of(Cell(model, fleet.members[0], fleet=fleet), small.folder)
    prepared = session.prepare()
    session.calibrate(prepared.base)
    found = session.survey(prepared.base)
    assert [(each.name, each.share) for each in found.members] == [
        ("CPU[AVX2]", pytest.approx(2 / 3)),
        ("CPU[SSE41]", pytest.approx(1 / 3)),
    ]
    assert all(each.speedup is not None for each in found.members), "both tell times"
    assert found.speedup.low <= found.speedup.value <= found.speedup.high
    first, second = ([operation.fp32_us for operation in each.operations] for each in found.members)
    assert sum(second) > sum(first), "SSE computes four numbers at once, AVX2 eight"
    session.evaluate(prepared.base, Known(), prune=False)  # the members' processes go on


def test_a_candidate_ends_at_the_first_member_that_is_surely_missed(small):
    """The model is spoiled after FP32 was scored, so that whatever is asked about loses everything."""
    model = load_matrix(small.path).models[0]
    fleet = FleetSpec.model_validate({"fleet": "servers", "members": ["CPU", {"device": "CPU", "isa": "SSE41"}]})
    session = session_of(Cell(model, fleet.members[0], fleet=fleet), small.folder)
    prepared = session.prepare()
    session.calibrate(prepared.base)
    others = session.elsewhere(session._cell.model.model, 0.0)
    assert not {each.environment for each in others} & {"CPU", "CPU[SSE41]"}, "members are known already"
    assert all("ten trials" in each.skipped for each in others)
    order = ("CPU[SSE41]", "CPU")
    build = session._pipeline.build

    def spoiled(option):
        net = build(option)
        last = net.outputs[0].get_node().input_value(0)
        net.outputs[0].get_node().input(0).replace_source_output(ops.multiply(last, np.float32(-1)).output(0))
        return net

    session._pipeline.build = spoiled
    found = session.evaluate(prepared.base, Known(members=order, found=True), prune=True).scored
    assert [each.name for each in found.members] == ["CPU[SSE41]"]
    assert found.hopeless
    assert found.members[0].accuracy_loss > 0.5
    whole = session.evaluate(prepared.base, Known(members=order), prune=False, measure=False).scored
    assert [each.name for each in whole.members] == list(order)
    assert not whole.hopeless
    worst = max(each.accuracy_loss for each in whole.members)
    assert whole.accuracy_loss.value == pytest.approx(worst)
    assert whole.accuracy_loss.low < worst < whole.accuracy_loss.high
    assert whole.members[0].accuracy_loss == pytest.approx(whole.members[1].accuracy_loss, abs=0.05)
