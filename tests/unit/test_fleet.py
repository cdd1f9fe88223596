"""A fleet: what its configuration may say, which candidate is valid, who is asked first, and what its latency is."""

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from builders import Scorer, accepted, cell_record, estimate, final, latency, option, reference, trial
from kill_store import start_cell, start_run
from quantize_zoo.cell import Cell
from quantize_zoo.commands.stored import trials
from quantize_zoo.config import DeviceSpec, FleetSpec, GateConfig, ModelConfig, OptimizerParams, load_matrix
from quantize_zoo.errors import ConfigurationError, DeviceUnavailableError
from quantize_zoo.errors.components import device_unavailable
from quantize_zoo.matrix import counted_as, expand, unresolved
from quantize_zoo.matrix.desk import Night
from quantize_zoo.matrix.night import _walk_any
from quantize_zoo.matrix.stand_ins import as_run_here, stand_ins
from quantize_zoo.progress import ConsoleProgress
from quantize_zoo.report import render_cell, render_index
from quantize_zoo.report.json_document import json_value
from quantize_zoo.report.markdown import render_markdown
from quantize_zoo.report.wording import by_member
from quantize_zoo.scoring import (
    Answers,
    Contents,
    Estimate,
    Executed,
    ExecutedOperation,
    answers_name,
    write_answers,
)
from quantize_zoo.search import (
    Built,
    Evaluation,
    MemberScore,
    Pruned,
    Score,
    Scored,
    TrialRecorder,
    best_trial,
    combined_latency,
    is_slower,
    loss,
    meets_targets,
)
from quantize_zoo.search.members import asking_order
from quantize_zoo.store import Elsewhere, FleetMember, Store, lead_of
from unit.test_verdict import report_of

CPU, AVX2 = {"device": "CPU", "share": 0.75}, {"device": "CPU", "isa": "AVX2", "share": 0.25}
MODEL = "name: net\nmodel: net.onnx\naccuracy_checker: {models: []}\n"


def fleet(*members, **changes):
    return FleetSpec.model_validate({"fleet": "servers", "members": members or (CPU, AVX2), **changes})


@pytest.fixture
def matrix(tmp_path):
    """Load a matrix whose devices are these."""

    def load(*devices, **changes):
        (tmp_path / "net.onnx").write_text("")
        (tmp_path / "net.yml").write_text(MODEL)
        (tmp_path / "all.yml").write_text(json.dumps({"models": ["net.yml"], "devices": devices, **changes}))
        return load_matrix(tmp_path / "all.yml")

    return load


# Its configuration


def test_it_is_one_cell_of_its_own_name_beside_others(matrix):
    loaded = matrix("CPU", {"fleet": "servers", "members": [CPU, AVX2]})
    cells = expand(loaded)
    assert [cell.key.label for cell in cells] == ["net-CPU", "net-servers"]
    assert cells[1].device.label == "CPU", "the first member leads"
    assert cells[1].fleet.shares == {"CPU": 0.75, "CPU[AVX2]": 0.25}
    assert [cell.key.label for cell in expand(loaded.select([], ["servers"]))] == ["net-servers"]


def test_members_without_shares_have_the_same():
    assert fleet("CPU", {"device": "CPU", "isa": "AVX2"}).shares == {"CPU": 0.5, "CPU[AVX2]": 0.5}


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"fleet": "servers", "members": [CPU]}, "members has 1 device: a fleet has two at least"),
        ({"fleet": "servers", "members": []}, "members has no device"),
        (
            {
                "fleet": "servers",
                "members": [{"device": "CPU", "device_config": {"NUM_STREAMS": n}} for n in range(17)],
            },
            "members has 17 devices: a fleet has 16 at most",
        ),
        ({"fleet": "servers", "members": "CPU"}, "members: input should be a list"),
        ({"fleet": "servers", "members": [CPU, CPU]}, "members has CPU more than once"),
        (
            {
                "fleet": "servers",
                "members": [
                    {"device": "CPU", "inference_precision": "f32"},
                    {"device": "CPU", "device_config": {"INFERENCE_PRECISION_HINT": "f32"}},
                ],
            },
            "members has CPU[f32] and CPU[INFERENCE_PRECISION_HINT=f32], which are the same",
        ),
        (
            {"fleet": "servers", "members": [{**CPU, "share": 0}, AVX2]},
            "members.0.share: input should be greater than 0",
        ),
        ({"fleet": "servers", "members": [{**CPU, "share": -1}, AVX2]}, "input should be greater than 0, not -1"),
        ({"fleet": "servers", "members": [{**CPU, "share": 75}, AVX2]}, "input should be less than or equal to 1"),
        ({"fleet": "servers", "members": [{**CPU, "share": "most"}, AVX2]}, "should be a valid number, not 'most'"),
        ({"fleet": "servers", "members": [{**CPU, "isa": "AVX"}, {**AVX2, "device": "GPU"}]}, "device must be CPU"),
        ({"fleet": "servers", "members": [CPU, {**AVX2, "inference_precision": "bf16"}]}, "isa needs inference_precis"),
        ({"fleet": "servers", "members": [CPU, {"fleet": "old", "members": [CPU, AVX2]}]}, "unknown key"),
        ({"fleet": "servers", "members": ["CPU", AVX2]}, "give all of them a share, or none"),
        ({"fleet": "servers", "members": [CPU, {**AVX2, "share": 0.5}]}, "their shares are 1.25 together"),
        ({"fleet": "GPU", "members": [CPU, AVX2]}, "GPU is a device"),
        ({"fleet": "servers", "members": [CPU, {**AVX2, "models": ["net"]}]}, "models are named beside members"),
        ({"fleet": "servers", "members": [CPU, {**AVX2, "isa": "AVX3"}]}, "unknown value 'AVX3'"),
        ({"fleet": "servers", "members": [CPU, {**AVX2, "shre": 1}]}, "did you mean 'share'?"),
        ({"fleet": "servers", "members": [CPU, {"device": "TPU", "share": 0.25}]}, "devices.0.members.1.device"),
        ({"fleet": "servers", "member": [CPU, AVX2]}, "members"),
        ({"fleet": "servers", "members": [CPU, AVX2], "models": ["nett"]}, "did you mean 'net'?"),
        ({"device": "CPU", "members": [CPU, AVX2]}, "unknown key 'devices.0.members'"),
    ],
)
def test_what_is_wrong_with_it_is_told_with_its_place(matrix, device, message):
    with pytest.raises(ConfigurationError) as caught:
        matrix(device)
    assert message in str(caught.value)
    assert "all.yml:1" in str(caught.value)


@pytest.mark.parametrize("device", ["servers", {"fleet": "all", "members": ["CPU", "servers"]}])
def test_a_fleet_is_no_device_of_another_entry(matrix, device):
    with pytest.raises(ConfigurationError, match="servers is a fleet of this matrix, and no device"):
        matrix({"fleet": "servers", "members": [CPU, AVX2]}, device)


def test_two_fleets_of_one_name_are_refused(matrix):
    with pytest.raises(ConfigurationError, match="the same cell 'net-servers' as by"):
        matrix(*2 * [{"fleet": "servers", "members": [CPU, AVX2]}])


def test_another_member_leads_where_the_first_is_not_here(matrix):
    loaded = matrix({"fleet": "servers", "members": [{"device": "GPU"}, "CPU", {"device": "CPU", "isa": "AVX2"}]})
    (cell,) = expand(loaded)
    assert [each.device.label for each in stand_ins(cell, loaded)] == ["CPU", "CPU[AVX2]"]
    assert {each.key.label for each in stand_ins(cell, loaded)} == {"net-servers"}
    required = loaded.model_copy(update={"on_missing_device": "fail"})
    assert stand_ins(cell, required) == []
    assert [each.scored_on_cpu for each in stand_ins(Cell(cell.model, DeviceSpec(device="GPU")), loaded)] == []
    on_cpu = loaded.model_copy(update={"on_missing_device": "score_on_cpu"})
    (cell,) = expand(on_cpu)
    assert cell.absent_on_cpu
    assert [(each.device.label, each.scored_on_cpu) for each in stand_ins(cell, on_cpu)] == [
        ("CPU", False), ("CPU[AVX2]", False), ("GPU", True),
    ], "the CPU stands in for all of them where none is here"  # fmt: skip


def test_commands_run_a_cell_as_what_is_here(matrix):
    gpu = {"device": "GPU", "share": 0.75}
    loaded = matrix("GPU", {"fleet": "servers", "members": [gpu, {**AVX2, "isa": "SSE41"}]})
    assert [as_run_here(cell, loaded).device.label for cell in expand(loaded)] == ["GPU", "CPU[SSE41]"]
    on_cpu = loaded.model_copy(update={"on_missing_device": "score_on_cpu"})
    cells = [as_run_here(cell, on_cpu) for cell in expand(on_cpu)]
    assert [(each.device.label, each.scored_on_cpu) for each in cells] == [("GPU", True), ("CPU[SSE41]", False)]


def test_the_member_that_leads_is_here_if_any_is():
    gpu = FleetMember("GPU", 0.5, estimate(0.9), scored_on="CPU")
    assert lead_of((FleetMember("NPU", 0, unavailable="no NPU"), gpu, FleetMember("CPU", 0.5))) == "CPU"
    assert lead_of((gpu,)) == "GPU"
    assert lead_of(()) == ""


# How many checks it has, and what their samples show


def test_a_fleet_counts_as_many_cells_as_it_has_members(matrix):
    loaded = matrix("CPU", {"fleet": "servers", "members": [CPU, AVX2]})
    cells = tuple(expand(loaded))
    assert [cell.counts_as for cell in cells] == [1, 2]
    night = SimpleNamespace(cells=cells[:1], beside={cell.key.label: cell.counts_as for cell in cells})
    assert Night.cells_with(night, {"net-CPU", "net-servers"}) == 3
    assert Night.cells_with(night, {"net-servers"}) == 2
    pairs = [SimpleNamespace(cell=cell, baseline=Path("a"), candidate=Path("b")) for cell in cells]
    assert sum(pair.cell.counts_as for pair in pairs) == 3


def test_the_member_whose_samples_show_the_least_is_told(tmp_path):
    """Of 40 samples on GPU.0 more answers differ between FP32 and INT8 than on the one that leads."""
    kept = accepted_fleet(tmp_path, {"": 1, "GPU.0": 12})
    (line,) = unresolved([kept], tmp_path, GateConfig(), 0.01)
    assert "40 samples show losses of" in line
    assert "and more on GPU.0, the margin is 0.5 %" in line
    assert counted_as(kept) == 2


def test_answers_of_a_former_release_are_those_of_the_member_that_leads(tmp_path):
    (line,) = unresolved([accepted_fleet(tmp_path, {"": 1})], tmp_path, GateConfig(), 0.01)
    assert "and more on CPU, the margin" in line


def accepted_fleet(folder, changed):
    """A baseline of a fleet; by member the answers of INT8 that are others than FP32's, the first is who leads."""
    names = np.array([f"{number}.png" for number in range(40)])

    def answered(wrong):
        values = np.ones(40)
        values[:wrong] = 0
        numbers = np.arange(40, dtype=np.uint64)
        return Answers("accuracy@top1", {"accuracy@top1": float(values.mean())}, names, numbers, names, values)

    answers = {
        answers_name(model, member): answered(wrong if model == "int8" else 0)
        for member, wrong in changed.items()
        for model in ("fp32", "int8")
    }
    (folder / "baselines").mkdir()
    numbers = np.arange(40, dtype=np.uint64)
    contents = Contents(names, numbers, numbers, names, np.ones(40, np.bool_))
    write_answers(folder / "baselines" / "answers.npz", answers, contents)
    members = (FleetMember("CPU", 0.5), FleetMember("GPU.0", 0.5))
    cell = cell_record([trial(0, 0.0, 1.5)], final(0, 1.5), reference=reference(fleet=members), device="servers")
    return accepted(cell, answers="answers.npz").content


# Which candidate is valid, and who is asked


PARAMS = OptimizerParams(accuracy_loss=1, latency_reduce=1)


def member(name, lost, ended=False):
    return MemberScore(name, estimate(1 - lost), lost, ended)


def evaluation(number, *members, ratios=(), slower=(), hopeless=False):
    scored = Scored(members[0].accuracy, {"m": 1.0}, None, hopeless, 0.0, 0.0, members)
    timed = replace(
        Scorer().measure(1),
        members={name: latency(ratio) for name, ratio in ratios},
        latency=combined_latency({name: latency(ratio) for name, ratio in ratios}, dict.fromkeys("ab", 0.5))
        if ratios
        else None,
        slower=slower,
    )
    return Evaluation(Built(f"candidate {number}", f"structure {number}", 0.0), scored, None if hopeless else timed)


def recorded(*evaluations):
    recorder = TrialRecorder(PARAMS, 1.0, members=("a", "b"))
    for number, each in enumerate(evaluations):
        recorder.finish(recorder.draft("search", 0, option(number)), each, 0.1)
    return recorder


def test_a_trial_loses_what_it_loses_on_the_worst_member():
    first = evaluation(0, member("a", 0.002), member("b", 0.02), ratios=[("a", 2.0), ("b", 2.0)])
    (found,) = recorded(first).trials
    assert found.score.accuracy_loss == 0.02
    assert [each.latency.ratio.value for each in found.members] == [2.0, 2.0]


def test_the_best_is_valid_on_all_members_and_slower_on_none():
    trials = recorded(
        evaluation(0, member("a", 0.0), member("b", 0.02), ratios=[("a", 3.0), ("b", 3.0)]),
        evaluation(1, member("a", 0.0), member("b", 0.0), ratios=[("a", 4.0), ("b", 0.5)], slower=("b",)),
        evaluation(2, member("a", 0.0), member("b", 0.001), ratios=[("a", 1.2), ("b", 1.1)]),
    ).trials
    assert best_trial(trials, PARAMS).number == 2
    assert meets_targets(trials[2].score, PARAMS)
    assert not meets_targets(trials[1].score, PARAMS)


def test_what_is_slower_on_a_member_is_worse_for_the_search_than_what_is_not():
    base = Score(0.0, 1.5, 1.0)
    assert loss(replace(base, slower=("b",)), base, PARAMS) > loss(base, base, PARAMS) + 1


def test_a_candidate_that_ended_at_a_member_says_what_it_lost_there():
    first = evaluation(0, member("a", 0.0), member("b", 0.0), ratios=[("a", 1.2), ("b", 1.1)])
    (_, ended) = recorded(first, evaluation(1, member("b", 0.3, ended=True), hopeless=True)).trials
    assert ended.pruned.accuracy_loss == 0.3
    assert [(each.name, each.ended) for each in ended.members] == [("b", True)]


def test_a_structure_that_was_measured_lends_its_latency_on_each_member():
    twin = evaluation(1, member("a", 0.0), member("b", 0.0))
    twin = replace(twin, built=replace(twin.built, structure="structure 0"), timed=None)
    first = evaluation(0, member("a", 0.0), member("b", 0.0), ratios=[("a", 4.0), ("b", 0.5)], slower=("b",))
    (_, found) = recorded(first, twin).trials
    assert [each.latency.ratio.value for each in found.members] == [4.0, 0.5]
    assert found.score.slower == ("b",)
    assert found.measurement.latency_from == 0


def test_the_member_on_which_most_fail_is_asked_first():
    fine, bad = member("a", 0.0), member("b", 0.05)
    assert asking_order(("a", "b"), [], 0.01) == ("a", "b")
    assert asking_order(("a", "b"), [(fine, bad)], 0.01) == ("b", "a")
    # Asked first, it ends candidates before the other is asked; that one's rate does not become worse by that.
    assert asking_order(("a", "b"), [(fine, bad), (bad,), (bad,)], 0.01) == ("b", "a")
    known = recorded(evaluation(0, fine, bad, ratios=[("a", 2.0), ("b", 2.0)])).known()
    assert (known.members, known.found) == (("b", "a"), False)


def test_it_is_known_when_a_candidate_is_valid_everywhere():
    assert recorded(evaluation(0, member("a", 0.0), member("b", 0.0), ratios=[("a", 2.0), ("b", 2.0)])).known().found


# Its latency


def test_latency_is_the_geometric_mean_weighted_by_the_shares():
    found = combined_latency({"a": latency(2.0), "b": latency(0.5)}, {"a": 0.75, "b": 0.25})
    assert found.ratio.value == pytest.approx(2**0.75 * 0.5**0.25)
    assert found.reference_us.value / found.candidate_us.value == pytest.approx(found.ratio.value)
    halves = [share * math.log(each.ratio.high / each.ratio.low) / 2 for share, each in (
        (0.75, latency(2.0)), (0.25, latency(0.5)),
    )]  # fmt: skip
    assert math.log(found.ratio.high / found.ratio.value) == pytest.approx(math.hypot(*halves))


def test_members_without_a_latency_do_not_count():
    assert combined_latency({"b": latency(3.0)}, {"a": 0.75, "b": 0.25}).ratio.value == pytest.approx(3.0)


def test_slower_is_what_is_surely_slower():
    slow, unsure = (replace(latency(0.95), ratio=Estimate(0.95, 0.9, high, "x", 5)) for high in (0.99, 1.01))
    assert is_slower(slow)
    assert not is_slower(unsure)
    assert not is_slower(None)


# What is reported


def members_reported():
    return (
        FleetMember("CPU", 0.75, estimate(0.9), "bf16"),
        FleetMember("CPU[AVX2]", 0.25, estimate(0.9), "f32", played=True, machine="CPU A"),
        FleetMember("CPU[SSE41]", 0.0, estimate(0.9), "f32", machine="CPU B", elsewhere=True),
        FleetMember("GPU", 0.0, unavailable="OpenVINO has no device GPU here"),
        FleetMember("NPU", 0.0, estimate(0.9), "f32", scored_on="CPU"),
    )


def reported(*members, slower=()):
    cell = cell_record(
        [trial(0, 0.0, 1.5, members=(member("CPU", 0.0), member("CPU[AVX2]", 0.002)))],
        replace(final(0, 1.5), members=members, slower=slower),
        reference=reference(fleet=members_reported()),
        device="servers",
    )
    return report_of(cell)


def on(name, ratio):
    return Elsewhere(name, "f32", estimate(0.9), estimate(0.89), estimate(0.011, 0.001, ""), None, latency(ratio))


def test_a_page_has_a_column_for_each_member_and_says_where_it_runs_and_which_is_not_here():
    report = reported(on("CPU", 1.6), on("CPU[AVX2]", 1.2))
    page = render_cell(report, report.cells[0])
    section = page[page.index('id="members"') : page.index('id="trials"')]
    for text in (
        "CPU[AVX2]",
        "played by a limit: CPU A",
        "not here, scored on CPU",
        "OpenVINO has no device GPU here",
        "1.200 [",
    ):
        assert text in section
    assert "on a machine of its kind: CPU B, another worker" in section
    document = json_value(report)["cells"][0]
    assert [each["environment"] for each in document["final"]["members"]] == ["CPU", "CPU[AVX2]"]
    assert [each["name"] for each in document["trials"][0]["members"]] == ["CPU", "CPU[AVX2]"]
    assert [each["share"] for each in document["reference"]["fleet"]] == [0.75, 0.25, 0.0, 0.0, 0.0]
    assert [each["elsewhere"] for each in document["reference"]["fleet"]] == [False, False, True, False, False]
    assert document["reference"]["fleet"][4]["scored_on"] == "CPU"


def test_members_that_the_model_was_never_run_on_are_told_beside_the_verdict_everywhere():
    report = reported(on("CPU", 1.6), on("CPU[AVX2]", 1.2))
    warnings = report.cells[0].verdict.warnings
    assert warnings == (
        "tuned for 4 of 5 members of the fleet; not here: GPU",
        "members of the fleet that are not here were scored on CPU, without latency: NPU",
    )
    for text in (render_index(report), render_markdown(report), render_cell(report, report.cells[0])):
        assert all(each in text for each in warnings)
    assert json_value(report)["cells"][0]["verdict"]["warnings"] == list(warnings)


def test_a_page_says_on_what_the_model_of_a_missing_lead_ran():
    leads = reference(fleet=(FleetMember("GPU", 1.0, estimate(0.9), scored_on="CPU"),), scored_on="CPU")
    report = report_of(cell_record([trial(0, 0.0, 1.5)], final(0, 1.5), reference=leads, device="servers"))
    page = render_cell(report, report.cells[0])
    assert "on CPU, in place of GPU" in page
    assert "are those on CPU, in place of GPU, loss" in page


def test_a_model_that_is_slower_on_a_member_misses_the_latency_target():
    verdict = reported(on("CPU", 1.6), on("CPU[AVX2]", 0.9), slower=("CPU[AVX2]",)).cells[0].verdict
    assert (verdict.status, verdict.cause) == ("missed", "latency")
    assert "slower than FP32 on members of the fleet: CPU[AVX2] 0.90x" in verdict.reason


def test_a_page_tells_the_latencies_of_each_member():
    report = reported(on("CPU", 1.6), on("CPU[AVX2]", 1.25))
    page = render_cell(report, report.cells[0])
    section = page[page.index('id="members"') : page.index('id="trials"')]
    rows = dict(by_member(report.cells[0].record.final.members, members_reported()))
    assert rows["latency FP32 (µs)"][:3] == ["100.0 [99.0, 101.0]", "100.0 [99.0, 101.0]", ""]
    assert rows["latency INT8 (µs)"][:3] == ["62.5 [61.5, 63.5]", "80.0 [79.0, 81.0]", ""]
    assert "80.0 [79.0, 81.0]" in section


def test_a_page_names_the_member_whose_figures_are_not_the_fleets():
    record = reported().cells[0].record
    executed = Executed((ExecutedOperation("op0", "u8", "brgconv"),), ())
    report = report_of(replace(record, reference=replace(record.reference, executed=executed)))
    page = render_cell(report, report.cells[0])
    assert "What CPU executes" in page
    assert "accuracy, compile time and memory are those on CPU, loss and holdout those of the member" in page
    alone = report_of(cell_record([trial(0, 0.0, 1.5)], final(0, 1.5)))
    assert "compile time and memory are those" not in render_cell(alone, alone.cells[0])


def test_a_member_that_is_not_here_has_no_share():
    report = reported()
    page = render_cell(report, report.cells[0])
    shares = page[page.index('<th scope="row">share</th>') :].split("</tr>")[0]
    assert shares.count("<td></td>") == 1  # the GPU's, and none for those that count for nothing


def test_what_would_pay_but_for_a_member_is_told_with_keep_fp32():
    """A trial is faster in the mean, and slower on a member; the best is no faster than FP32."""
    faster = Score(0.0, 1.05, 1.0, slower=("CPU[AVX2]",))
    trials = [trial(0, 0.0, 1.05, score=faster), trial(1, 0.0, 1.0)]
    verdict = report_of(cell_record(trials, final(1, 1.0, half=0.02))).cells[0].verdict
    assert verdict.status == "keep-fp32"
    assert verdict.reason.endswith("measurably faster without being slower on members of the fleet: CPU[AVX2]")


@pytest.mark.parametrize(
    ("on_missing", "message", "remedy"),
    [
        ("skip", "no member of the fleet is here: GPU (", "one of them at least"),
        ("fail", "members of the fleet are not here: GPU (", "on_missing_device: skip"),
    ],
)
def test_without_any_member_the_remedy_is_none_that_the_matrix_has_already(matrix, on_missing, message, remedy):
    device = {"fleet": "servers", "members": [{"device": "GPU"}, {"device": "NPU"}]}
    config = matrix(device, on_missing_device=on_missing)
    (cell,) = expand(config)
    night = SimpleNamespace(matrix=config, engine=SimpleNamespace(open=absent))
    with pytest.raises(DeviceUnavailableError) as raised:
        _walk_any([cell, *stand_ins(cell, config)], 0, Path("log"), night)
    assert raised.value.what.startswith(message)
    assert raised.value.what.endswith("; not looked for: NPU") == (on_missing == "fail"), "as it cannot help"
    assert remedy in raised.value.remedy


def absent(cell, log):
    raise device_unavailable(cell.device.device, ("CPU",))


SLOWER = {"score": Score(0.0, 1.05, 1.0, slower=("CPU[AVX2]",))}
ENDED = {
    "measurement": None, "score": None, "loss": math.inf, "pruned": Pruned(estimate(0.8, samples=32), 0.2),
    "members": (member("CPU", 0.0), member("CPU[AVX2]", 0.2)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (SLOWER, "loss 0.00 %, 1.05x, slower than FP32 on CPU[AVX2], none yet"),
        (ENDED, "ended on CPU[AVX2] after 32 samples, which lose 20.00 %, none yet"),
        ({**ENDED, "members": ()}, "ended after 32 samples, which lose 20.00 %, none yet"),
        # Mean IoU is of all samples, and of none alone.
        (
            {**ENDED, "pruned": Pruned(Estimate(0.8, None, None, "", 0), 0.2)},
            "ended on CPU[AVX2] after all samples, which",
        ),
    ],
)
def test_the_terminal_tells_of_a_trial_which_member_is_slower_or_missed(changes, told):
    shown = io.StringIO()
    cell = Cell(ModelConfig(name="net", model="net.onnx", accuracy_checker={}), DeviceSpec(device="CPU"), fleet())
    with ConsoleProgress(Console(file=shown, width=200)) as progress:
        progress.cell_started(cell, 0, 1, None)
        progress.trial_finished(cell, trial(0, 0.0, 1.05, **changes), None)
    assert told in shown.getvalue()


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        (SLOWER, "slower than FP32 on CPU[AVX2]"),
        (ENDED, "ended early on CPU[AVX2]"),
        ({**ENDED, "members": ()}, "ended early"),
    ],
)
def test_a_list_of_trials_tells_which_member_is_slower_or_missed(changes, note, tmp_path, capsys):
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    start_run(store)
    store.add_trial(start_cell(store), trial(0, 0.0, 1.05, **changes))
    trials(reports=tmp_path)
    assert capsys.readouterr().out.splitlines()[-2].rstrip(" │").endswith(f"│ {note}")


def test_the_overview_tells_whose_figures_those_of_a_fleet_are():
    told = "of a fleet accuracy is that of the member that leads"
    assert told in render_index(reported())
    assert told not in render_index(report_of(cell_record([trial(0, 0.0, 1.5)], final(0, 1.5))))
