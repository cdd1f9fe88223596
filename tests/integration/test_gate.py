"""Nights against accepted baselines, with real models, real processes and real measurements."""

import json
import re
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import openvino as ov
import pytest
import yaml
from test_accuracy import F32

from matrices import SmallMatrix
from quantize_zoo.config import GateConfig, load_model_config
from quantize_zoo.errors import CellError
from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.comparison import Terms, growth
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import AccuracySession, Side, find_checker, measure_rounds, start_runtime
from quantize_zoo.store import Store

CELL = "net-CPU[f32]"


@pytest.fixture(scope="module")
def accepted(tmp_path_factory, zoo):
    """A finished run of a model that INT8 makes much faster, accepted as the baseline."""
    small = SmallMatrix(tmp_path_factory.mktemp("gate"), zoo)
    shutil.copy(zoo / "embedded" / "digits-resnet.onnx", small.folder / "net.onnx")
    small.edit("net.yml", lambda model: model["optimizer"]["params"].update(max_trials=2, accuracy_loss=50))
    return small


@pytest.fixture
def night(accepted, quantize_zoo):
    """Run a night on the accepted baseline; return status, document and standard error."""

    def invoke(*arguments):
        status, out, err = quantize_zoo("run", accepted.path, "--reports", accepted.reports, "--json", *arguments)
        return status, json.loads(out), err

    if not (accepted.reports / "store.db").exists():
        status, document, err = invoke()
        assert status == 0, err
        assert document["cells"][0]["gate_status"] is None
        arguments = ("--reports", accepted.reports, "--reason", "first release")
        assert quantize_zoo("baseline", "accept", *arguments)[0] == 0
    return invoke


def checks(document):
    return {f"{check['cause']} {check['quantity']} {check['subject']}": check for check in _gate(document)["checks"]}


def _gate(document):
    return document["cells"][0]["gate"]


def test_unchanged_night_passes_and_measures_nothing_twice(night, accepted):
    status, document, err = night("--trials-load-method", "eval")
    assert status == 0, err
    assert document["cells"][0]["gate_status"] == "pass"
    found = checks(document)
    for name in ("the baseline's FP32 model", "the baseline's INT8 model"):
        assert "every output is the same" in found[f"runtime accuracy {name}"]["text"]
    assert "every output is the same" in found["quantization accuracy the baseline's configuration"]["text"]
    assert "not measured" in found["quantization latency the baseline's configuration"]["text"]
    assert found["search size tonight's best"]["bytes_ratio"]["value"] == 1
    assert found["search memory tonight's best"]["bytes_ratio"]["value"] == pytest.approx(1, abs=0.3)
    page = (accepted.reports / "latest" / "index.html").read_text()
    assert "Against the baselines: 1 pass" in page
    assert "Against the baselines: 1 pass" in (accepted.reports / "latest" / "summary.md").read_text()


def test_what_is_accepted_says_what_its_samples_cannot_show(night, accepted, quantize_zoo):
    arguments = ("--reports", accepted.reports, "--reason", "first release")
    status, out, err = quantize_zoo("baseline", "accept", *arguments)
    assert (status, out.strip()) == (0, f"accepted: {CELL}")
    found = re.search(r"100 samples show losses of ([\d.]+) % of accuracy@top1 and more, the margin is 0.5 %", err)
    assert float(found[1]) > 1
    wanted = re.search(r"1.5 times the margin take about (\d+)", err)
    assert int(wanted[1]) > 1000


def test_slower_best_is_a_regression_of_the_search_and_nothing_else(night, accepted):
    """Tonight's search may not quantize convolutions any more."""
    params = ("compression", "algorithms", 0, "params")

    def ignore(model):
        place = model
        for key in params:
            place = place[key]
        place["ignored"] = {"operations": [{"type": "Convolution"}]}

    before = (accepted.folder / "net.yml").read_text()
    accepted.edit("net.yml", ignore)
    try:
        status, document, err = night()
        again = accepted.edit(
            "matrix.yml",
            lambda matrix: matrix.update(
                waivers=[{"cell": CELL, "check": "latency", "reason": "a test", "until": "2999-01-01"}]
            ),
        )
        waived = night()
    finally:
        (accepted.folder / "net.yml").write_text(before)
        accepted.edit("matrix.yml", lambda matrix: matrix.pop("waivers", None))
    assert again is None
    found = checks(document)
    check = found["search latency tonight's best"]
    assert check["status"] == "regressed", err
    assert check["time_ratio"]["low"] > 1.03
    assert "confirmed by a second measurement" in check["text"]
    assert found["runtime accuracy the baseline's INT8 model"]["status"] == "pass"
    assert "30 samples that the search never saw" in found["search accuracy tonight's best"]["text"]
    latest = accepted.reports / "latest"
    assert "search latency: regressed: tonight's best" in err
    assert status == 1, err
    assert waived[1]["cells"][0]["gate"]["checks"]
    (latency,) = (each for name, each in checks(waived[1]).items() if name == "search latency tonight's best")
    assert latency["waived"] == "a test (until 2999-01-01)"
    assert "waived: a test" in accepted.cell_page()
    assert "waived: a test" in (latest / "junit.xml").read_text()


def test_fewer_samples_than_the_baseline_had_are_changed_data(night, accepted):
    labels = accepted.folder / "labels.txt"
    before = labels.read_text()
    labels.write_text("".join(f"{line}\n" for line in before.splitlines()[:80]))
    try:
        status, document, _ = night()
    finally:
        labels.write_text(before)
    assert status in (0, 1)  # a busy machine may seem slower
    assert document["cells"][0]["final"] is not None, "what was tuned is kept"
    found = checks(document)
    assert found["data samples the dataset"]["status"] == "data-changed"
    assert found["data samples the dataset"]["text"].startswith("the data changed: 20 samples fewer")
    runtime = found["runtime accuracy the baseline's INT8 model"]
    assert runtime["text"] == "on the 80 of 100 samples that are as they were every output is the same"


def test_vanished_model_of_the_baseline_fails_the_check_only(night, accepted):
    folder = accepted.reports / "baselines"
    (baseline,) = Store(f"sqlite:///{accepted.reports / 'store.db'}").baselines()
    model = folder / baseline.content.int8
    model.rename(model.with_suffix(".away"))
    try:
        status, document, _ = night()
    finally:
        model.with_suffix(".away").rename(model)
    assert status == 3
    assert f"{model} is not there" in _gate(document)["checks"][0]["text"]


def test_baselines_are_shown_moved_and_dropped(night, accepted, quantize_zoo, tmp_path):
    store = ("--reports", accepted.reports)
    status, out, _ = quantize_zoo("baseline", "show", *store, "--json")
    assert status == 0
    (row,) = json.loads(out)
    assert (row["cell"], row["reason"]) == (CELL, "first release")
    assert quantize_zoo("baseline", "export", tmp_path / "kept", *store)[0] == 0
    elsewhere = ("--reports", tmp_path / "other")
    assert quantize_zoo("baseline", "import", tmp_path / "kept", *elsewhere)[0] == 0
    assert json.loads(quantize_zoo("baseline", "show", *elsewhere, "--json")[1])[0]["run"] == row["run"]
    assert quantize_zoo("baseline", "drop", CELL, *elsewhere)[0] == 0
    assert json.loads(quantize_zoo("baseline", "show", *elsewhere, "--json")[1]) == []
    (kept,) = json.loads(quantize_zoo("baseline", "show", "--history", *elsewhere, "--json")[1])
    assert kept["dropped_at"] is not None
    status, _, err = quantize_zoo("baseline", "drop", "net-CPU", *elsewhere)
    assert (status, "there is no cell 'net-CPU'" in err) == (2, True)
    status, _, err = quantize_zoo("baseline", "accept", "--cells", "nett", *store)
    assert (status, "there is no cell 'nett'" in err) == (2, True)
    damaged = next((tmp_path / "kept").glob("*/content.bin"))
    damaged.write_bytes(b"other")
    status, _, err = quantize_zoo("baseline", "import", tmp_path / "kept", *elsewhere)
    assert status == 2
    assert "is missing or damaged" in err


def slower(path, target):
    """The same answers with a large multiplication of matrices beside them."""
    model = read_model(path)
    flat = ops.reshape(model.inputs[0], np.array([1, -1]), False)
    weights = np.random.default_rng(0).normal(size=(3 * 48 * 48, 400)).astype(np.float32)
    extra = ops.reduce_mean(ops.matmul(flat, ops.constant(weights), False, False), np.array([1]), True)
    result = model.get_results()[0]
    nothing = ops.multiply(extra, ops.constant(np.float32(1e-30)))
    result.input(0).replace_source_output(ops.add(result.input_value(0), nothing).output(0))
    model.reshape([1, 3, 48, 48])
    save_model(model, target)
    return target


@pytest.fixture
def files(night, accepted):
    """The best model of a night, with batch size 1, and a slower one; made once."""
    old, new = accepted.folder / "old.xml", accepted.folder / "new.xml"
    if not new.exists():
        night()
        model = read_model(accepted.reports / "latest" / "models" / f"{CELL}.xml")
        model.reshape([1, 3, 48, 48])
        save_model(model, old)
        slower(old, new)
    return old, new


def test_compare_of_two_files_has_the_gates_status(files, accepted, quantize_zoo):
    old, new = files
    common = ("--model", accepted.folder / "net.yml", "--reports", accepted.reports)
    status, out, err = quantize_zoo("compare", old, new, *common, "--json")
    assert status == 1, err
    (compared,) = json.loads(out)
    found = {check["quantity"]: check for check in compared["checks"]}
    assert found["latency"]["status"] == "regressed"
    assert found["accuracy"]["status"] in ("pass", "changed")
    assert found["size"]["bytes_ratio"]["value"] > 1.5
    status, out, _ = quantize_zoo("compare", old, old, *common)
    assert status == 0
    assert "the same model: not measured" in out


def test_times_and_memory_are_limited_by_their_intervals(files, accepted):
    """The slower model has 11 MB of weights more, and hardly takes ten times as long to compile."""
    old, new = files
    config = load_model_config(accepted.folder / "net.yml")
    model = read_model(old)
    session = AccuracySession(find_checker(), config, model)
    inputs = {port.get_any_name(): str(port.get_partial_shape()) for port in model.inputs}
    bench = Bench(session, F32, config.optimizer.params.benchmark, config.metric, "", inputs, frozenset(), True)
    gate = GateConfig(max_memory_increase=1, max_compile_time_increase=900)
    found = {
        check.quantity: check for check in growth(bench, Terms(gate, 0.001, accepted.folder), old, new, "model", "x")
    }
    assert found["memory"].status == "regressed"
    assert found["memory"].change.low > 1.01
    assert "confirmed by a second measurement" in found["memory"].text
    assert found["compile time"].status in ("pass", "improved")
    assert found["compile time"].change.high < 10
    assert found["size"].change.low is None
    same = {
        check.quantity: check for check in growth(bench, Terms(gate, 0.001, accepted.folder), old, old, "model", "x")
    }
    assert {check.status for check in same.values()} == {"pass"}


def test_compare_of_two_runs(night, accepted, quantize_zoo):
    night()
    status, out, err = quantize_zoo("compare", "latest", "latest", "--reports", accepted.reports, "--json")
    assert status == 0, err
    assert json.loads(out)[0]["cell"] == CELL
    (folder,) = accepted.reports.glob("compare-*")
    assert "No regression: 1 of 1 cell compared" in (folder / "index.html").read_text()
    (page,) = (folder / "cells").glob("*.html")
    model = re.search(r'href="(\.\./[^"]*\.xml)"', page.read_text())[1]
    assert (page.parent / unquote(model)).is_file(), "the page leads to the run's model"
    assert (accepted.reports / "latest").resolve() != folder.resolve()


def test_compare_of_runs_with_a_device_that_the_matrix_does_not_name(accepted, night, quantize_zoo):
    night("--devices", "CPU", "--max-trials", "1")
    status, out, err = quantize_zoo("compare", "latest", "latest", "--reports", accepted.reports, "--json")
    assert status == 0, err
    assert json.loads(out)[0]["cell"] == "net-CPU"


def wrapper(path, *lines):
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    path.chmod(0o755)
    return path


def test_another_interpreter_takes_turns_with_this_one(files, accepted, quantize_zoo, tmp_path):
    """The same release behind another path, so two processes: nothing has changed, and nothing is found."""
    other = wrapper(tmp_path / "python", f'exec {sys.executable} "$@"')
    old, _ = files
    common = ("--model", accepted.folder / "net.yml", "--reports", accepted.reports, "--baseline-python", other)
    status, out, err = quantize_zoo("compare", old, old, *common, "--json")
    assert status == 0, err
    found = {check["quantity"]: check for check in json.loads(out)[0]["checks"]}
    assert found["latency"]["status"] in ("pass", "inconclusive")
    assert found["accuracy"]["status"] in ("pass", "changed")


def test_interpreter_without_openvino_is_told(files, accepted, quantize_zoo, tmp_path):
    lacking = wrapper(tmp_path / "python", f'exec {sys.executable} -S "$@"')
    old, _ = files
    common = ("--model", accepted.folder / "net.yml", "--reports", accepted.reports, "--baseline-python", lacking)
    status, out, _ = quantize_zoo("compare", old, old, *common, "--json")
    assert status == 3
    text = json.loads(out)[0]["checks"][0]["text"]
    assert "ended: ModuleNotFoundError" in text
    assert "check that this interpreter has openvino and numpy" in text


def test_process_that_hangs_is_given_up(tmp_path):
    hanging = wrapper(tmp_path / "python", "sleep 600")
    started = time.perf_counter()
    with pytest.raises(CellError, match=r"has not answered 'hello' for 0\.5 s"), start_runtime(hanging, limit=0.5):
        pass
    assert time.perf_counter() - started < 300


def test_process_that_dies_in_between_is_told(files):
    old, _ = files
    with start_runtime() as process:
        process._process.kill()
        with pytest.raises(CellError, match="ended: exit status -9"):
            process.load(Side(old, "CPU", {}))


def test_rounds_see_a_slowdown_of_known_size(files):
    """A model against itself, against the slower one, and the other way round."""
    properties = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"}
    old, new = (Side(path, "CPU", properties) for path in files)
    sample = {"image": np.zeros((1, 3, 48, 48), np.float32)}

    def ratio(first, second):
        return np.exp(np.median([next(found) for found in [measure_rounds(first, second, [sample])] for _ in range(6)]))

    # The slower one is bound by memory, whose speed drifts apart from that of the cores: so by sides, not to the digit.
    assert 1 / 1.1 < ratio(old, old) < 1.1
    assert ratio(old, new) > 1.1
    assert ratio(new, old) < 1 / 1.1


def test_runtimes_of_the_matrix_are_found_beside_it(accepted, quantize_zoo):
    accepted.edit("matrix.yml", lambda matrix: matrix.update(runtimes=[{"name": "old", "python": "none/python"}]))
    try:
        status, _, err = quantize_zoo("check", accepted.path)
    finally:
        accepted.edit("matrix.yml", lambda matrix: matrix.pop("runtimes"))
    assert status == 2
    assert "runtimes.0.python" in err


def test_openvino_is_named_by_the_process():
    with start_runtime() as process:
        assert process.openvino == ov.get_version()


def test_store_that_baselines_were_never_in_has_none(tmp_path, quantize_zoo):
    status, _, err = quantize_zoo("baseline", "show", "--reports", tmp_path)
    assert status == 2
    assert "has no run" in err


def test_gate_configuration_is_checked_with_its_line(small, quantize_zoo):
    small.path.write_text(yaml.safe_dump({"models": ["net.yml"], "devices": ["CPU"], "gate": {"max_drop": 1}}))
    status, _, err = quantize_zoo("check", small.path)
    assert status == 2
    assert "unknown key 'gate.max_drop'" in err
    assert Path(small.path).name in err
