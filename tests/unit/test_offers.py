"""What can be accepted or waived comes with the command that does it, and accepting tells what it leaves out."""

import re
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from builders import cell_record, final, reference, trial, write_some_answers
from quantize_zoo.config import default_matrix_path, load_matrix
from quantize_zoo.gate import Check
from quantize_zoo.graph.files import content_hash
from quantize_zoo.report import make_run_report, render_cell
from quantize_zoo.report.offers import offers
from quantize_zoo.report.place import Place, find_place
from quantize_zoo.store import ErrorRecord, RunPlan, Store
from unit.test_gate_and_report import broken, inaccurate, run_record
from unit.test_verdict import PASS, SLOWER, WAIVED, held

HERE = Place()
RENEWED = replace(PASS, status="data-changed", cause="data", quantity="samples")


def offered(check, place=HERE, cell=None):
    report = make_run_report(run_record(held(check, cell=cell)), place=place)
    return [offer.command for offer in offers(report, report.cells[0], check)]


def test_a_regression_can_be_accepted_or_waived():
    assert offered(SLOWER) == [
        'quantize-zoo baseline accept 20260101 --cells net-CPU --reason "..."',
        "quantize-zoo waive net-CPU 'quantization latency' --until 2026-01-15 --reason \"...\"",
    ]


@pytest.mark.parametrize(
    ("check", "count"),
    [
        (WAIVED, 1), (RENEWED, 1), (replace(PASS, status="improved"), 1), (replace(PASS, status="inconclusive"), 1),
        (PASS, 0), (replace(PASS, status="failed"), 0), (replace(PASS, status="not compared"), 0),
    ],
)  # fmt: skip
def test_what_else_is_found_can_only_be_accepted_or_is_no_finding(check, count):
    commands = offered(check)
    assert len(commands) == count
    assert all("baseline accept" in command for command in commands)


def test_matrix_reports_and_store_are_named_where_they_are_not_the_defaults():
    place = Place("my zoo/matrix.yml", "nightly reports", "postgresql://me:***@host/zoo")
    accept, waive = offered(SLOWER, place)
    assert shlex.split(accept)[-4:] == ["--reports", "nightly reports", "--store", "postgresql://me:***@host/zoo"]
    assert shlex.split(waive)[-2:] == ["--matrix", "my zoo/matrix.yml"]
    assert "--store" not in waive


def test_names_are_quoted_and_a_waiver_holds_on_every_cpu_model():
    cell = cell_record([trial(0, 0.0, 1.5)], final(0, 1.5), model="my net", device="CPU[f32]@AMD-EPYC")
    accept, waive = map(shlex.split, offered(SLOWER, cell=cell))
    assert accept[accept.index("--cells") + 1] == "my net-CPU[f32]@AMD-EPYC"
    assert waive[2] == "my net-CPU[f32]"


def test_one_models_yaml_takes_no_waiver(zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = "sqlite:///reports/store.db"
    assert find_place(str(default_matrix_path()), Path("reports"), store) == Place()
    model = zoo / "embedded" / "digits-resnet.yml"
    place = find_place(str(model), Path("reports"), store)
    assert (place.matrix, place.waivable) == (str(model), False)
    assert len(offered(SLOWER, place)) == 1
    (tmp_path / "mine.yml").write_text("models: [a.yml]\ndevices: [CPU]\n")
    mine = find_place(str(tmp_path / "mine.yml"), Path("other"), "sqlite:///other/store.db")
    assert mine == Place(matrix="mine.yml", reports="other"), "as seen from here"


def test_the_cell_page_has_the_commands_beside_the_finding():
    report = make_run_report(run_record(held(PASS, SLOWER)), place=Place(reports="mine"))
    page = render_cell(report, report.cells[0])
    rows = [row for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL) if "what to do" in row]
    (row,) = [unescape(row) for row in rows]
    assert "quantization latency" in row
    assert 'baseline accept 20260101 --cells net-CPU --reason "..." --reports mine</code>' in row
    assert "waive net-CPU 'quantization latency'" in row
    assert "export net-CPU --run 20260101 --output-dir exported --reports mine" in page


def test_a_cell_without_a_model_offers_no_command_that_would_be_refused():
    report = make_run_report(run_record(broken()))
    assert "baseline accept" not in render_cell(report, report.cells[0])


def store_run(folder, *cells, require_targets):
    """Store a run with the files that accepting takes."""
    reports = folder / "reports"
    store = Store(f"sqlite:///{reports / 'store.db'}")
    plan = RunPlan((*(cell.name for cell in cells), "late-CPU"), whole=True)
    store.start_run(
        "run", matrix="gone.yml", command="", seed=0, require_targets=require_targets, on_missing_device="skip",
        plan=plan,
    )  # fmt: skip
    model, answers = reports / "run" / "models" / "net.xml", reports / "run" / "models" / "net.npz"
    model.parent.mkdir(parents=True)
    model.write_text("model")
    write_some_answers(answers)
    for cell in cells:
        number = store.start_cell("run", model=cell.model, device="CPU", method="cold_start", params=cell.params)
        store.set_reference(number, reference(model_path=str(model), model_hash=content_hash(model)))
        for each in cell.trials:
            store.add_trial(number, each)
        if cell.final is None:
            store.end_cell(number, cell.status, cell.error)
        else:
            hashes = {"model_hash": content_hash(model), "answers_hash": content_hash(answers)}
            store.set_final(number, replace(cell.final, model="models/net.xml", answers="models/net.npz", **hashes))
    store.finish_run("run", "interrupted")
    store.close()
    return reports


@pytest.fixture
def reports(tmp_path):
    died = replace(broken(), model="died", error=ErrorRecord("the process died", "process", "look"))
    return store_run(tmp_path, inaccurate(), died, require_targets=True)


def test_accepting_tells_which_required_targets_are_missed_and_what_is_left_out(quantize_zoo, reports):
    status, out, err = quantize_zoo("baseline", "accept", "--reports", reports, "--reason", "first")
    assert (status, out) == (0, "accepted: net-CPU\n")
    assert err.splitlines() == [
        "net-CPU is accepted and misses a required target: accuracy: no trial is within 1 % of FP32; "
        "the best loses 5.00 %",
        "not accepted: died-CPU: failed: the process died",
        "not accepted: late-CPU: not reached: the run was interrupted before it",
    ]


def test_cells_that_were_not_asked_for_are_not_told(quantize_zoo, reports):
    _, _, err = quantize_zoo("baseline", "accept", "--reports", reports, "--cells", "net-CPU", "--reason", "first")
    assert "not accepted" not in err
    status, _, err = quantize_zoo("baseline", "accept", "--reports", reports, "--cells", "died-CPU")
    assert status == 2
    assert "cell died-CPU has nothing to accept: it is failed" in err


def test_only_what_can_regress_is_waived(quantize_zoo, zoo, tmp_path):
    matrix = tmp_path / "matrix.yml"
    matrix.write_text(f"models: [{zoo / 'embedded' / 'digits-resnet.yml'}]\ndevices: [CPU]\n")
    arguments = ("--until", "2026-12-31", "--reason", "known", "--matrix", matrix)
    assert quantize_zoo("waive", "digits-resnet-CPU", "data samples", *arguments)[0] == 2
    assert quantize_zoo("waive", "digits-resnet-CPU", "search size", *arguments)[0] == 0
    assert load_matrix(matrix).waivers[0].check == "search size"


def test_the_offered_waiver_is_one_that_is_taken(quantize_zoo, zoo, tmp_path):
    matrix = tmp_path / "matrix.yml"
    matrix.write_text(f"models: [{zoo / 'embedded' / 'digits-resnet.yml'}]\ndevices: [CPU]\n")
    cell = cell_record([trial(0, 0.0, 1.5)], final(0, 1.5), model="digits-resnet")
    slower = Check("search", "compile time", "tonight's best", "regressed", "6 % more")
    _, waive = offered(slower, find_place(str(matrix), Path("reports"), ""), cell)
    assert quantize_zoo(*shlex.split(waive)[1:])[0] == 0
    assert load_matrix(matrix).waivers[0].check == "search compile time"
