"""The parts of the pages: the answer in one line, tiles, matrix, nights, what differs; and the published schemas."""

import json
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import xmlschema

from builders import accepted, estimate, final, option, reference, trial
from quantize_zoo.gate import Check
from quantize_zoo.gate.layers import LayerDeviation, LayerDeviations, LayerTimeChange, LayerTimes, PrecisionTrace
from quantize_zoo.matrix import as_baselines
from quantize_zoo.matrix.compare import Compared, with_comparison
from quantize_zoo.report import make_run_report, render_cell, render_index, render_json, render_junit
from quantize_zoo.report.gate_lines import gate_lines
from quantize_zoo.report.json_schema import SCHEMA_FILE, schema_text
from quantize_zoo.report.overview import answer, matrix, sparks, tiles
from quantize_zoo.scoring import LayerTime
from quantize_zoo.store import NightRecord
from unit.test_gate_and_report import all_cells, broken, good, missing, run_record
from unit.test_outputs import gated, measured

PASS = Check("runtime", "accuracy", "the baseline's FP32 model", "pass", "as before")
SLOW = Check("quantization", "latency", "the baseline's configuration", "regressed", "6.1 % slower [4.9, 7.3]")
MOVED = Check("search", "accuracy", "tonight's best", "changed", "3 answers changed")


def held(*checks, model="net", **changes):
    return gated(*checks, model=model, **changes)


def report_of(*cells, known=()):
    return make_run_report(run_record(*cells), [accepted(held(model=name)) for name in known])


@pytest.mark.parametrize(
    ("cells", "known", "text"),
    [
        ([good(), missing()], [], "2 cells: 1 meets its targets, 1 unavailable"),
        ([held(PASS)], ["net"], "No regression: 1 of 1 cell compared with a baseline"),
        ([held(SLOW), held(MOVED, model="b")], ["net", "b"], "1 regressed: 2 of 2 cells compared with a baseline, 1 c"),
        ([held(SLOW), replace(broken(), model="b")], ["net"], "1 regressed, 1 failed: 1 of 2 cells compared"),
        ([held(PASS)], ["net", "gone"], "No regression: 1 of 1 cell compared with a baseline, 1 missing"),
    ],
)  # fmt: skip
def test_the_answer_is_one_line(cells, known, text):
    assert answer(report_of(*cells, known=known)).startswith(text)


def test_tiles_count_every_cell_once_the_worst_first():
    found = tiles(report_of(held(SLOW), held(PASS, model="b"), held(PASS, model="c"), known=["net", "b", "c", "gone"]))
    assert [(tile.status, tile.count) for tile in found] == [("regressed", 1), ("missing", 1), ("pass", 2)]
    assert sum(tile.count for tile in tiles(report_of(*all_cells()))) == len(all_cells())


def test_matrix_has_models_by_devices_with_holes():
    both = [
        replace(good(), model="a"),
        replace(good(), model="a", device="GPU"),
        replace(good(), model="b", device="GPU"),
    ]
    found = matrix(report_of(*both))
    assert found.devices == ("CPU", "GPU")
    names = [(model, [cell and cell.record.name for cell in cells]) for model, cells in found.rows]
    assert names == [("a", ["a-CPU", "a-GPU"]), ("b", [None, "b-GPU"])]


def nights(*ratios):
    return [NightRecord(f"night{index}", 1.0, None, ratio) for index, ratio in enumerate(ratios)]


def test_nights_are_drawn_within_the_picture():
    report = make_run_report(run_record(good()), nights={"net-CPU": nights(1.5, 1.4, 1.6, 1.5)})
    (spark,) = sparks(report.cells[0])
    points = [tuple(map(float, point.split(","))) for point in spark.points.split()]
    assert len(points) == 4
    assert all(0 <= x <= spark.width and 0 <= y <= spark.height for x, y in points)
    assert points[1][1] > points[0][1] > points[2][1], "a higher ratio is higher"
    assert "1.5 to 1.5, between 1.4 and 1.6" in spark.text
    assert spark.points in render_index(report)
    assert "night3" in render_cell(report, report.cells[0])
    assert sparks(make_run_report(run_record(good()), nights={"net-CPU": nights(1.5)}).cells[0]) == []


def test_a_verdict_names_the_cause():
    (line,) = gate_lines(report_of(held(PASS, SLOW), known=["net"]))
    assert line.cell == "net on CPU"
    assert line.text.startswith("6.1 % slower [4.9, 7.3]")
    assert "FP32 unchanged; the configuration is the baseline's, so it is calibration" in line.text
    (line,) = gate_lines(report_of(held(replace(PASS, status="changed"), replace(SLOW, status="pass")), known=["net"]))
    assert "so it is OpenVINO's runtime" in line.text


def test_a_waiver_that_is_over_is_told_after_what_is_worse():
    over = "the waiver of latency ended on 2026-03-04: ticket 7"
    cell = held(SLOW, MOVED)
    cell = replace(cell, gate={**cell.gate, "notes": [over]})
    lines = gate_lines(report_of(cell, known=["net"]))
    assert [line.status for line in lines] == ["regressed", "changed", "note"]
    assert lines[-1].text == over


def test_configuration_and_environment_are_held_against_the_baseline():
    environment = replace(reference().environment, openvino="2023.3")
    before = replace(held(), trials=(trial(0, 0.0, 1.25, option(1, 2)),), reference=reference(environment=environment))
    now = replace(held(PASS), trials=(trial(0, 0.0, 1.25, option(1)),), sensitivity={"op1": 0.25})
    report = make_run_report(run_record(now), [accepted(before)])
    cell = report.cells[0]
    assert [row.name for row in cell.operations if row.before] == ["op2"]
    assert cell.operations[1].sensitivity == 0.25
    assert [(row.name, row.before) for row in cell.environment if row.before] == [("openvino", "2023.3")]
    page = render_cell(report, cell)
    assert "1 other than in the baseline" in page
    assert "accepted 2026-01-01 00:00 UTC by me" in page


def test_layers_that_cost_more_in_int8_are_marked():
    layers = (
        LayerTime("conv", 100.0, 60.0, "f32", "i8"),
        LayerTime("fc", 8.0, 40.0, "f32", "i8"),
        LayerTime("q", None, 3.0),
    )
    cell = replace(held(), final=replace(final(0, 1.25), latency=measured(), layers=layers))
    report = make_run_report(run_record(cell))
    page = render_cell(report, report.cells[0])
    assert "Time of all 3 layers" in page
    assert '<tr class="off"><th scope="row">fc</th><td>8.0</td><td>40.0</td><td>-32.0</td>' in page
    assert '<tr><th scope="row">conv</th>' in page


def test_another_run_is_shown_as_a_baseline(tmp_path):
    first, second = (run_record(replace(good(), run_id=name), id=name) for name in ("one", "two"))
    baselines = as_baselines(first)
    shown = with_comparison(second, baselines, [Compared("net-CPU", (SLOW,))], tmp_path / "compare", tmp_path)
    report = make_run_report(shown, baselines)
    assert report.exit_status == 1
    page = render_cell(report, report.cells[0])
    assert "Run one; both sides run today" in page
    assert 'href="../../two/models/net-CPU.xml"' in page


def test_results_follow_the_published_schema():
    assert SCHEMA_FILE.read_text() == schema_text(), "run: python -m quantize_zoo.report.json_schema"
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
    validator.check_schema(validator.schema)
    report = make_run_report(run_record(held(PASS, SLOW), *all_cells()), [accepted(held())], {"net-CPU": nights(1, 2)})
    document = json.loads(render_json(report))
    validator.validate(document)
    document["cells"][0]["trials"][0].pop("accuracy")
    assert not validator.is_valid(document), "the schema takes anything"


def test_the_example_follows_the_published_schema():
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
    example = Path(__file__).parents[2] / "reports" / "example" / "results.json"
    assert validator.is_valid(json.loads(example.read_text()))


@pytest.fixture(scope="module")
def junit_schema(tmp_path_factory):
    """The schema of Jenkins' xUnit plugin, which pytest's own tests use and its source distribution has."""
    folder = tmp_path_factory.mktemp("pytest")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "pytest", "pytest"]
    if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
        pytest.skip("pytest's source distribution cannot be downloaded")
    with tarfile.open(next(folder.glob("pytest-*.tar.gz"))) as archive:
        name = next(name for name in archive.getnames() if name.endswith("junit-10.xsd"))
        text = archive.extractfile(name).read()
    return xmlschema.XMLSchema(text.decode())


def test_junit_is_valid_by_the_common_schema(junit_schema):
    report = make_run_report(
        run_record(held(PASS, SLOW, MOVED), *all_cells(), require_targets=True), [accepted(held())]
    )
    text = render_junit(report)
    junit_schema.validate(text)
    assert not junit_schema.is_valid(text.replace("<testcase", "<case").replace("</testcase", "</case"))


# In which layers


TIMES = LayerTimes(
    (
        LayerTimeChange("fc", 5.0, 27.0, estimate(22.0, 1.0, "us"), "jit_f32", "ref_f32"),
        LayerTimeChange("relu", None, 3.0, estimate(3.0, 1.0, "us"), note="the baseline has no such layer"),
        LayerTimeChange("conv", 10.0, 0.0, estimate(-10.0, 1.0, "us")),
    ),
    15.0, 30.0, 8,
)  # fmt: skip
DEVIATIONS = LayerDeviations(
    ("1.png",),
    (
        PrecisionTrace(
            "f32",
            (
                LayerDeviation("conv", "Convolution", 0.0, 1e-6),
                LayerDeviation("fc", "MatMul", 0.25, 2.5e-6, 0.0),
                LayerDeviation("odd", "Exp", None, None, 0.25),
                LayerDeviation("lost", "Divide", None, 1e-6, 0.25),
            ),
            LayerDeviation("the outputs", "", 0.125, 1e-6),
        ),
    ),
    ("only the candidate has 1 layer: extra",),
)


@pytest.fixture
def explained():
    """A report of checks that tell in which layers they got worse, as they are stored and read again."""
    return report_of(
        held(
            replace(SLOW, layer_times=TIMES),
            replace(MOVED, layer_deviations=DEVIATIONS),
            replace(MOVED, cause="runtime", layer_deviations=LayerDeviations(skipped="only the answers are stored")),
        ),
        known=["net"],
    )


def test_the_page_of_a_cell_has_the_layers_under_the_check(explained):
    page = render_cell(explained, explained.cells[0])
    assert "most of it in fc: +22.0 us [21.0, 23.0], all layers +15.0 us" in page
    assert page.index('scope="row">fc') < page.index('scope="row">relu') < page.index('scope="row">conv')
    assert '<th scope="row">relu</th><td></td><td>3.0</td><td>3.0 [2.0, 4.0]</td>' in page
    assert "the baseline has no such layer" in page
    assert "the first layer that differs beyond rounding is fc (by 25 %, rounding 0.00025 %)" in page
    assert "<td>25 %</td><td>0.00025 %</td><td>the first beyond rounding</td>" in page
    assert (
        '<tr><th scope="row">odd</th><td>Exp</td><td>25 %</td><td>no number or another shape</td><td>no limit' in page
    )
    assert '<tr class="off"><th scope="row">lost</th>' in page
    assert "only the candidate has 1 layer: extra" in page
    assert "layers are not compared: only the answers are stored" in page


def test_the_layers_are_in_the_lines_of_the_gate_and_in_junit(explained):
    texts = " ".join(line.text for line in gate_lines(explained))
    assert "most of it in fc" in texts
    assert "the first layer that differs beyond rounding is fc" in texts
    assert "most of it in fc" in render_junit(explained)


def test_the_layers_are_in_the_json_by_its_schema(explained):
    document = json.loads(render_json(explained))
    jsonschema.validate(document, json.loads(schema_text()))
    slow, moved, skipped = document["cells"][0]["gate"]["checks"]
    assert slow["in_layers"].startswith("most of it in fc")
    assert [layer["name"] for layer in slow["layer_times"]["layers"]] == ["fc", "relu", "conv"]
    assert slow["layer_times"]["layers"][0]["difference_us"]["value"] == 22.0
    (trace,) = moved["layer_deviations"]["traces"]
    assert [layer["deviation"] for layer in trace["layers"]] == [0.0, 0.25, None, None]
    assert skipped["layer_deviations"]["skipped"] == "only the answers are stored"
