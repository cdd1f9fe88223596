"""Reports lose nothing: one cell's fault stays its own, what is no number is told, and files appear at once."""

import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from builders import accepted, cell_record, estimate, final, latency, measurement, reference, trial
from quantize_zoo.gate import Check
from quantize_zoo.report import (
    make_run_report,
    render_cell,
    render_index,
    render_json,
    report_of,
    sound,
    write_reports,
)
from quantize_zoo.report.benchmark_json import render_benchmark
from quantize_zoo.report.charts import SCRIPT_NAME
from quantize_zoo.report.drawing import bokeh_script
from quantize_zoo.report.json_schema import SCHEMA_FILE
from quantize_zoo.scoring import LayerTime
from quantize_zoo.search import Pruned, Score
from quantize_zoo.store import Final, Holdout, NightRecord, OtherMetric, ReferencePoint, RunnerUp, Store
from quantize_zoo.text import files
from unit.test_gate_and_report import all_cells, good, run_record
from unit.test_outputs import gated, measured
from unit.test_verdict import PASS, SLOWER, held

NAN = math.nan


def written(report, folder):
    """Write the reports; return the documents, read back."""
    done = write_reports(report, folder, newest=False)
    document = json.loads((folder / "results.json").read_text(), parse_constant=pytest.fail)
    json.loads((folder / "benchmark.json").read_text(), parse_constant=pytest.fail)
    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(document)
    ET.parse(folder / "junit.xml")
    return done, document


def test_the_nights_share_one_copy_of_what_is_the_same_in_all(tmp_path):
    """1.3 MB of a report's 1.7 are the charts' script."""
    report = make_run_report(run_record(good()))
    for night in ("first", "second", "second"):
        write_reports(report, tmp_path / night, newest=True)
    first, second = (tmp_path / night / "assets" / SCRIPT_NAME for night in ("first", "second"))
    assert first.samefile(second)
    assert second.read_bytes() == bokeh_script().read_bytes()
    first.unlink()
    first.write_text("edited")
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").symlink_to("first")
    write_reports(report, tmp_path / "third", newest=False)
    assert (tmp_path / "third" / "assets" / SCRIPT_NAME).read_bytes() == bokeh_script().read_bytes()


# A cell whose report cannot be made

# A loss relative to an FP32 metric of 0 is a division by it, which the chart makes of other tools' models.
POINT = ReferencePoint("nncf", estimate(0.5), latency(1.2), None, 1.0)
UNCHARTABLE = replace(good(), reference=reference(accuracy=estimate(0.0)), references=(POINT,))
UNJUDGEABLE = replace(good(), final=replace(final(1, 1.5), trial=7))  # there is no such trial


@pytest.mark.parametrize("cell", [UNCHARTABLE, UNJUDGEABLE])
def test_a_cell_that_cannot_be_reported_is_a_failed_one_and_the_others_are_as_they_should_be(tmp_path, cell):
    bad = replace(cell, model="bad")
    alone, _ = written(make_run_report(run_record(good())), tmp_path / "alone")
    report, document = written(make_run_report(run_record(bad, good())), tmp_path / "both")
    assert report.exit_status == 3
    first, second = document["cells"]
    assert (first["verdict"]["status"], first["verdict"]["cause"]) == ("failed", "report")
    page = (tmp_path / "both" / first["page"]).read_text()
    assert "of this cell cannot be made" in page
    assert "report this message as a fault of quantize-zoo" in page
    assert second == json.loads(render_json(alone))["cells"][0]
    pages = [(tmp_path / name / second["page"]).read_text() for name in ("alone", "both")]
    assert without_ids(pages[0]) == without_ids(pages[1])
    cases = {
        suite.get("name"): len(list(suite.iter("error")))
        for suite in ET.parse(tmp_path / "both" / "junit.xml").getroot()
    }
    assert cases == {"bad-CPU": 1, "net-CPU": 0}
    for name in ("index.html", "summary.md"):
        assert "of this cell cannot be made" in (tmp_path / "both" / name).read_text()


def without_ids(page):
    """The texts of a page; Bokeh's elements have new ids each time."""
    texts = []
    parser = HTMLParser()
    parser.handle_data = texts.append
    parser.feed(page.rpartition("</main>")[0])
    return texts


def test_a_chart_that_cannot_be_drawn_takes_no_number_from_the_page(tmp_path):
    _, document = written(make_run_report(run_record(UNCHARTABLE)), tmp_path)
    (cell,) = document["cells"]
    page = (tmp_path / cell["page"]).read_text()
    assert len(cell["trials"]) == 2
    assert "1.500 [1.490, 1.510]" in page
    assert "nncf (1.0 s to make it)" in page


def test_a_regression_of_a_cell_that_cannot_be_reported_stays_one(tmp_path):
    report, document = written(make_run_report(run_record(held(SLOWER, cell=UNCHARTABLE))), tmp_path)
    assert report.exit_status == 1
    assert document["cells"][0]["verdict"]["alarms"] == ["regression", "failure"]


def test_a_stored_comparison_that_cannot_be_read_is_told_of_its_cell_only(tmp_path):
    report, document = written(
        make_run_report(run_record(replace(good(), gate={"checks": 1}), replace(good(), model="b"))), tmp_path
    )
    assert [cell.status for cell in report.cells] == ["failed", "met"]
    assert document["cells"][0]["verdict"]["cause"] == "report"


# What is not a number


def with_nan():
    """Every figure that may be none is none, somewhere."""
    nothing = estimate(NAN)
    measured_so = replace(measurement(0.9, 1.5), accuracy=nothing, metrics={"f1": NAN, "recall": math.inf})
    bad = trial(1, 0, 1, measurement=measured_so, score=Score(NAN, NAN, 0.5), loss=NAN)
    early = trial(2, 0, 1, measurement=None, score=None, loss=math.inf, pruned=Pruned(nothing, NAN))
    lost = replace(good().final, latency=replace(latency(1.5), ratio=nothing, compilations=((NAN, 1.0),) * 2))
    ended = replace(
        lost, trial=0, holdout=Holdout(nothing, nothing, nothing), runner_up=RunnerUp(1, nothing),
        others=(OtherMetric("other", "f1", NAN, math.inf),), layers=(LayerTime("conv", NAN, 1.0),),
    )  # fmt: skip
    return cell_record(
        [trial(0, 0.001, 1.5), bad, early], ended, reference=reference(metrics={"f1": NAN}), sensitivity={"op0": NAN},
    )  # fmt: skip


def test_what_is_not_a_number_is_null_in_every_json_and_told_on_the_page(tmp_path):
    growth = Check("search", "size", "tonight's best", "pass", "0 -> 1 MB", replace(estimate(1.0), value=math.inf))
    report, document = written(
        make_run_report(run_record(with_nan(), held(growth, cell=replace(good(), model="b")))), tmp_path
    )
    first, second = document["cells"]
    assert [cell["verdict"]["cause"] for cell in (first, second)] == ["latency", ""]
    assert first["trials"][1]["metrics"] == {"f1": None, "recall": None}
    assert first["trials"][1]["score"]["accuracy_loss_share"] is None
    assert second["gate"]["checks"][0]["bytes_ratio"]["value"] is None
    page = (tmp_path / first["page"]).read_text()
    assert "not a number" in page
    assert "nan" not in page.replace("nanmean", "").split("<section", 1)[1].split("<script", 1)[0]
    assert json.loads(render_benchmark(report))["benchmarks"] == []


def test_what_is_not_a_number_is_sorted_as_what_is_not_there():
    page = render_index(make_run_report(run_record(with_nan())))
    assert 'data-value="nan"' not in page
    assert "not a number" in page


def test_nights_without_a_number_leave_lines_and_trends_alone():
    nights = [NightRecord(f"n{index}", 1.0, 0.9, 1.5) for index in range(12)]
    lost = NightRecord("n12", 1.0, 0.9, NAN)
    report = make_run_report(run_record(good()), nights={"net-CPU": [*nights, lost]})
    assert [night.speedup for night in report.cells[0].nights][-2:] == [1.5, None]
    assert report.cells[0].trends == ()
    assert "12 nights: 1.5 to 1.5" in render_index(report)
    assert "nan" not in render_cell(report, report.cells[0]).partition('id="nights"')[2].partition("<script")[0]


# Layers


def test_a_layer_below_the_clock_is_told_as_less_than_it():
    layers = (LayerTime("conv", 100.0, 0.0, "f32", "i8"), LayerTime("q", None, 3.0))
    report = make_run_report(run_record(replace(good(), final=replace(final(1, 1.5), layers=layers))))
    page = render_cell(report, report.cells[0])
    assert '<th scope="row">conv</th><td>100.0</td><td>&lt; 1 µs</td>' in page
    assert '<th scope="row">q</th><td></td><td>3.0</td>' in page
    assert '["int8_time",["&lt; 1 ' in page, "the chart tells it too"
    stored = json.loads(render_json(report))["cells"][0]["final"]["layers"]
    assert stored["candidate_us"] == [0.0, 3.0]


# Names


def keys(value):
    if isinstance(value, dict):
        return {key for key, each in value.items() for key in (key, *keys(each))}
    return {key for each in value for key in keys(each)} if isinstance(value, list) else set()


def test_a_name_has_one_meaning_in_the_results():
    checks = [
        Check("search", quantity, "x", "pass", "", estimate(1.5))
        for quantity in ("accuracy", "latency", "size", "memory", "compile time")
    ]
    ended = Final(
        1,
        measured(),
        "models/net-CPU.xml",
        Holdout(estimate(1.0), estimate(0.99), estimate(0.01)),
        RunnerUp(0, estimate(1.1)),
    )
    cell = held(*checks, cell=replace(good(), final=ended))
    (found,) = json.loads(render_json(make_run_report(run_record(cell))))["cells"]
    params = found.pop("params")
    assert params["accuracy_loss"] == 1.0, "percent, as the YAML has it"
    assert found["trials"][0]["score"] == {
        "accuracy_loss_share": 0.02,
        "speedup": 1.9,
        "quantization_ratio": 0.25,
        "size_ratio": None,
        "slower": [],
    }
    assert found["trials"][0]["objective"] == -1.9
    assert found["final"]["holdout"]["accuracy_loss_share"]["value"] == 0.01
    assert found["final"]["runner_up"]["time_ratio"]["value"] == 1.1
    assert found["final"]["latency"]["speedup"]["value"] == pytest.approx(1.25)
    changes = ("accuracy_loss_share", "time_ratio", "bytes_ratio")
    assert [[name for name in changes if check[name]] for check in found["gate"]["checks"]] == [
        ["accuracy_loss_share"], ["time_ratio"], ["bytes_ratio"], ["bytes_ratio"], ["time_ratio"]
    ]  # fmt: skip
    assert not {"accuracy_loss", "loss", "ratio", "latency_ratio", "change"} & keys(found)


def test_results_name_each_cell_and_its_page(tmp_path):
    cells = [replace(good(), model=name) for name in ("net", "a/b", "../x" * 80)]
    _, document = written(make_run_report(run_record(*cells)), tmp_path)
    assert [cell["name"] for cell in document["cells"]] == [cell.name for cell in cells]
    assert document["cells"][0]["page"] == "cells/net-CPU.html"
    assert {cell["page"] for cell in document["cells"]} == {
        f"cells/{path.name}" for path in (tmp_path / "cells").iterdir()
    }


# Whole or not at all


@pytest.mark.parametrize("older", [True, False])
def test_an_interrupted_report_leaves_no_half_and_no_draft(tmp_path, monkeypatch, older):
    folder = tmp_path / "reports" / "20260101"
    (folder / "logs").mkdir(parents=True)
    if older:
        write_reports(make_run_report(run_record(good())), folder, newest=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    through = files.Path.write_bytes

    def interrupted(path, content):
        if path.name == "junit.xml":
            raise KeyboardInterrupt
        return through(path, content)

    monkeypatch.setattr(files.Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_reports(make_run_report(run_record(*all_cells())), folder, newest=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert (tmp_path / "reports" / "latest").exists() == older


def test_the_overview_is_renamed_last(tmp_path, monkeypatch):
    renamed = []
    rename = files.Path.replace
    monkeypatch.setattr(files.Path, "replace", lambda self, to: renamed.append(to.name) or rename(self, to))
    write_reports(make_run_report(run_record(*all_cells())), tmp_path / "run", newest=False)
    assert renamed[-1] == "index.html"
    assert len(renamed) == 14


# The newest run


def test_a_page_is_a_draft_before_the_next_is_made(tmp_path, monkeypatch):
    drafted = []

    def rendered(report, cell):
        drafted.append(len(list((tmp_path / "run").rglob("cells/*.html"))))
        return render_cell(report, cell)

    monkeypatch.setattr(sound, "render_cell", rendered)
    cells = all_cells()
    write_reports(make_run_report(run_record(*cells)), tmp_path / "run", newest=False)
    assert drafted == list(range(len(cells)))


def test_an_old_run_that_is_rendered_again_does_not_become_the_latest(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    for run_id in ("one", "two"):
        store.start_run(run_id, matrix="m.yml", command="run", seed=0, require_targets=False, on_missing_device="skip")
    for run_id in ("one", "two", "one"):
        report = report_of(store.load_run(run_id), store, tmp_path)
        assert report.newest == (run_id == "two")
        write_reports(report, tmp_path / run_id, newest=report.newest)
    assert (tmp_path / "latest").resolve() == tmp_path / "two"


def test_results_with_baselines_follow_the_schema(tmp_path):
    cell = gated(PASS, SLOWER)
    written(make_run_report(run_record(cell, *all_cells()), [accepted(cell)]), tmp_path)
