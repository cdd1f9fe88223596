"""Nights that people have: each staged on a baseline that was accepted the night before, with real models and data.

Every test gets a folder of its own, with a copy of matrix, data, store and baselines: so all of them are moved, too.
"""

import json
import re
import shutil
import signal
import subprocess

import numpy as np
import openvino as ov
import pytest
from PIL import Image

from clusters import COMMAND, wait_until
from matrices import SmallMatrix
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops

CELL, TWIN = "net-CPU[f32]", "twin-CPU[f32]"


class Copied(SmallMatrix):
    """A copy of a small matrix with its reports, elsewhere."""

    def __init__(self, original, folder):
        self.folder = folder
        self.reports = folder / "reports"
        self.path = folder / "matrix.yml"
        shutil.copytree(original.folder, folder, symlinks=True)


@pytest.fixture(scope="module")
def accepted(tmp_path_factory, zoo):
    small = SmallMatrix(tmp_path_factory.mktemp("nights"), zoo)
    save_model(read_model(small.folder / "net.onnx"), small.folder / "net.xml")

    def few_trials(model):
        model["model"] = "net.xml"
        model["optimizer"]["params"]["max_trials"] = 2

    small.edit("net.yml", few_trials)
    shutil.copy(small.folder / "net.yml", small.folder / "twin.yml")
    for suffix in (".xml", ".bin"):
        shutil.copy((small.folder / "net.xml").with_suffix(suffix), (small.folder / "twin.xml").with_suffix(suffix))
    small.edit("twin.yml", lambda model: model.update(name="twin", model="twin.xml"))
    small.edit("matrix.yml", lambda matrix: matrix["models"].append("twin.yml"))
    return small


@pytest.fixture
def here(accepted, quantize_zoo, tmp_path):
    """A copy of the night after which the baseline was accepted."""
    if not (accepted.reports / "store.db").exists():
        status, _, err = quantize_zoo("run", accepted.path, "--reports", accepted.reports)
        assert status == 0, err
        assert quantize_zoo("baseline", "accept", "--reports", accepted.reports, "--reason", "first")[0] == 0
    return Copied(accepted, tmp_path / "elsewhere")


@pytest.fixture
def night(quantize_zoo):
    """Run a night; return exit status, document and standard error."""

    def run(small, *arguments):
        status, out, err = quantize_zoo("run", small.path, "--reports", small.reports, "--json", *arguments)
        return status, json.loads(out), err

    return run


def disturb(path, share=0.35):
    """Change the weights of a model by so much of their spread, in place."""
    model, rng = read_model(path), np.random.default_rng(0)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Constant" and node.get_element_type() == ov.Type.f32 and node.data.ndim == 4:
            changed = node.data + share * node.data.std() * rng.normal(size=node.data.shape).astype(np.float32)
            for target in node.output(0).get_target_inputs():
                target.replace_source_output(ops.constant(changed.astype(np.float32)).output(0))
    draft = path.with_name("draft.xml")
    save_model(model, draft)
    for suffix in (".xml", ".bin"):
        draft.with_suffix(suffix).replace(path.with_suffix(suffix))


def replace_model(path, model):
    draft = path.with_name("draft.xml")
    save_model(model, draft)
    for suffix in (".xml", ".bin"):
        draft.with_suffix(suffix).replace(path.with_suffix(suffix))


def break_layer(path):
    """Disturb the weights of one convolution in the middle of a model; return its name."""
    model = read_model(path)
    convolutions = [node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"]
    broken = convolutions[len(convolutions) // 2]
    weights = broken.input_value(1).get_node().data
    noise = np.random.default_rng(0).normal(size=weights.shape)
    broken.input(1).replace_source_output(ops.constant((weights + weights.std() * noise).astype(np.float32)).output(0))
    replace_model(path, model)
    return broken.get_friendly_name()


def slow_down(path):
    """Add two operations that give back what they are given, and take their time; return their names."""
    model = read_model(path)
    first = next(node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution")
    targets = list(first.output(0).get_target_inputs())
    inverse = ops.asinh(first)
    inverse.set_friendly_name("expensive_asinh")
    again = ops.sinh(inverse)
    again.set_friendly_name("expensive_sinh")
    for target in targets:
        target.replace_source_output(again.output(0))
    replace_model(path, model)
    return {"expensive_asinh", "expensive_sinh"}


def found(document, number=0):
    return {
        f"{check['cause']} {check['quantity']} {check['subject']}": check
        for check in document["cells"][number]["gate"]["checks"]
    }


def summary(small):
    return (small.reports / "latest" / "summary.md").read_text()


# Moved


def test_baselines_that_are_exported_are_those_of_the_same_data_in_another_folder(here, night, quantize_zoo, tmp_path):
    """Committed with models and data, and checked out on a machine that has nothing else."""
    kept = tmp_path / "kept"
    assert quantize_zoo("baseline", "export", kept, "--reports", here.reports)[0] == 0
    shutil.rmtree(here.reports)
    assert quantize_zoo("baseline", "import", kept, "--reports", here.reports)[0] == 0
    status, document, err = night(here, "--models", "net")
    assert status == 0, err
    checks = found(document)
    assert "every output is the same" in checks["runtime accuracy the baseline's INT8 model"]["text"]
    assert "every output is the same" in checks["quantization accuracy the baseline's configuration"]["text"]
    assert not any(check["cause"] in ("data", "model") for check in checks.values())


# What changed is not the runtime, and not the quantization


def test_a_model_file_that_was_replaced_is_told_first(here, night):
    """With other weights in it FP32 itself loses, which is not quantization's doing."""
    disturb(here.folder / "net.xml")
    status, document, err = night(here, "--models", "net")
    assert status == 1, err
    first, *rest = document["cells"][0]["gate"]["checks"]
    assert (first["cause"], first["status"]) == ("model", "regressed")
    assert re.match(
        r"the model file changed \(\w{12} -> \w{12}\): FP32 0\.\d+ -> 0\.\d+, accuracy@top1 loses", first["text"]
    )
    assert document["cells"][0]["verdict"]["cause"] == "model"
    assert {check["status"] for check in rest if check["cause"] == "runtime"} == {"pass"}
    page = summary(here)
    assert "the model file changed, and its FP32 loses" in page
    assert "FP32 unchanged" not in page
    assert page.index("the model file changed (") < page.index("the baseline's configuration")


def test_labels_that_were_edited_and_images_that_were_added_are_a_status_of_their_own(here, night, zoo):
    labels = here.folder / "labels.txt"
    lines = labels.read_text().splitlines()
    name, label = lines[0].split()
    lines[0] = f"{name} {(int(label) + 1) % 10}"
    more = (zoo / "embedded" / "data" / "digits.txt").read_text().splitlines()[100:110]
    for line in more:
        shutil.copy(zoo / "embedded" / "data" / "digits" / line.split()[0], here.folder / "images")
    labels.write_text("\n".join([*lines, *more]) + "\n")
    status, document, err = night(here, "--models", "net")
    assert status == 0, err
    cell = document["cells"][0]
    assert (cell["gate_status"], cell["verdict"]["status"], cell["verdict"]["cause"]) == (
        "data-changed",
        "data-changed",
        "data",
    )
    checks = found(document)
    data = checks["data samples the dataset"]
    assert data["text"].startswith("the data changed: 1 label, 10 samples more")
    assert data["changed_count"] == 11
    assert data["changed"][0]["identifier"] == name
    assert (data["changed"][0]["baseline"], data["changed"][0]["candidate"]) == (
        f"label {label}",
        f"label {(int(label) + 1) % 10}",
    )
    runtime = checks["runtime accuracy the baseline's INT8 model"]
    assert (runtime["status"], runtime["text"]) == (
        "pass", "on the 99 of 100 samples that are as they were every output is the same",
    )  # fmt: skip
    assert checks["quantization accuracy the baseline's configuration"]["status"] in ("pass", "changed", "improved")
    assert "1 data-changed" in summary(here)
    assert f"quantize-zoo baseline accept {document['run']['id']}" in summary(here)
    assert "<skipped" in (here.reports / "latest" / "junit.xml").read_text()


def test_calibration_images_that_changed_are_told_as_the_reason(here, night):
    """All images are brighter: what calibrates is other data, and so is what is scored."""
    for path in (here.folder / "images").iterdir():
        with Image.open(path) as picture:
            brighter = picture.point(lambda value: min(255, value + 30))
        brighter.save(path)
    _, document, _ = night(here, "--models", "net")
    checks = found(document)
    assert checks["data samples the dataset"]["text"] == (
        "the data changed: inputs of 100 samples, 20 of 20 calibration samples are others"
    )
    assert "no sample is as it was" in checks["runtime accuracy the baseline's INT8 model"]["text"]
    assert checks["quantization accuracy the baseline's configuration"]["why"].startswith(
        "20 of 20 calibration samples"
    )


# In which layer


def test_the_page_names_the_layer_that_was_broken(here, night):
    broken = break_layer(here.folder / "net.xml")
    status, document, err = night(here, "--models", "net")
    assert status == 1, err
    check = found(document)["model accuracy the FP32 model"]
    assert check["status"] == "regressed"
    deviations = check["layer_deviations"]
    assert (deviations["skipped"], len(deviations["samples"])) == ("", 4)
    (trace,) = deviations["traces"]
    beyond = [layer for layer in trace["layers"] if layer["deviation"] > layer["rounding"]]
    assert beyond[0]["name"] == broken
    assert beyond[0]["inputs"] <= 1e-5
    assert trace["outputs"]["deviation"] > trace["outputs"]["rounding"]
    assert f"the first layer that differs beyond rounding is {broken} (by " in here.cell_page()
    assert f"the first layer that differs beyond rounding is {broken} (by " in summary(here)


def test_the_page_names_the_layer_that_takes_the_time(here, night):
    added = slow_down(here.folder / "net.xml")
    status, document, err = night(here, "--models", "net")
    assert status == 1, err
    check = found(document)["quantization latency the baseline's configuration"]
    assert check["status"] == "regressed"
    layers = check["layer_times"]["layers"]
    assert {layer["name"] for layer in layers[:2]} == added
    assert layers[0]["difference_us"]["low"] > 0
    assert layers[0]["note"] == "the baseline has no such layer"
    assert f"most of it in {layers[0]['name']}: +" in here.cell_page()


# The search


def test_the_baselines_configuration_is_among_the_trials_of_a_search_with_other_scopes(here, night):
    """A cold start that tunes something else, and would find other configurations only."""

    def other_scope(model):
        params = model["compression"]["algorithms"][0]["params"]
        params |= {"preset": "accuracy", "tuning_scope": ["layer"], "estimator_tuning_scope": []}

    here.edit("net.yml", other_scope)
    status, document, err = night(here, "--models", "net", "--trials-load-method", "cold_start")
    assert status == 0, err
    (cell,) = document["cells"]
    assert [trial["kind"] for trial in cell["trials"]] == ["base", "baseline"]
    assert cell["trials"][1]["failure"] is None
    assert cell["gate_status"] != "regressed"


def test_the_best_of_eval_that_misses_its_target_is_measured_and_shown(here, night):
    """Stored with a lax target; tonight's is one that no INT8 model of such ranges can reach."""

    def clipped(model):
        params = model["compression"]["algorithms"][0]["params"]
        params["activations"] = {"range_estimator": {"max": {"type": "quantile", "outlier_prob": 0.4}}}
        params |= {"tuning_scope": ["layer"], "estimator_tuning_scope": []}

    arguments = ("--models", "net", "--max-trials", "1")
    here.edit("net.yml", clipped)
    here.edit("net.yml", lambda model: model["optimizer"]["params"].update(accuracy_loss=100))
    shutil.rmtree(here.reports)
    assert night(here, *arguments)[0] == 0
    here.edit("net.yml", lambda model: model["optimizer"]["params"].update(accuracy_loss=1))
    status, document, err = night(here, *arguments, "--trials-load-method", "eval")
    assert status == 0, err
    (cell,) = document["cells"]
    (trial,) = cell["trials"]
    assert (trial["kind"], trial["pruned"]) == ("eval", None)
    assert trial["score"]["accuracy_loss_share"] > 0.05
    assert (cell["status"], cell["verdict"]["status"], cell["verdict"]["cause"]) == ("done", "missed", "accuracy")
    assert cell["final"]["latency"] is not None


# Several things in one night


def test_a_crash_and_a_regression_are_both_told_and_the_regression_outlasts_its_cell(here, night, quantize_zoo):
    disturb(here.folder / "net.xml")
    twin = here.folder / "twin.xml"
    whole = twin.read_text()
    twin.write_text("<net>cut off")
    status, document, _ = night(here)
    first = document["run"]["id"]
    assert status == 1
    assert [cell["verdict"]["alarms"] for cell in document["cells"]] == [["regression"], ["failure"]]
    assert "1 regressed, 1 failed" in summary(here)
    assert "the model file changed" in summary(here)

    twin.write_text(whole)
    here.edit("matrix.yml", lambda matrix: matrix.update(models=["twin.yml"]))
    status, document, _ = night(here)
    (absent,) = document["absent"]
    assert (absent["name"], absent["text"], absent["regressed_in"]) == (CELL, "it is no longer in the matrix", first)
    junit = (here.reports / "latest" / "junit.xml").read_text()
    assert f'<testsuite name="{CELL}" tests="1" failures="0" errors="0" skipped="1">' in junit
    assert f"it is no longer in the matrix; in run {first} it regressed: the model file changed" in junit

    assert quantize_zoo("baseline", "drop", CELL, "--reports", here.reports)[0] == 0
    assert quantize_zoo("report", "--reports", here.reports)[0] == 0
    assert json.loads((here.reports / "latest" / "results.json").read_text())["absent"] == []


def test_after_ctrl_c_cells_are_interrupted_or_not_reached(here):
    """Pressed while the first cell's data are read."""
    arguments = ["run", here.path, "--reports", here.reports]
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    before = len(list(here.reports.glob("2*")))
    wait_until(lambda: len(list(here.reports.glob("2*/logs/*.log"))) > 2 * before)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    document = json.loads((here.reports / "latest" / "results.json").read_text())
    assert [cell["gate_status"] for cell in document["cells"]] == ["interrupted"]
    assert [(cell["name"], cell["status"]) for cell in document["absent"]] == [(TWIN, "interrupted")]
    assert "Against the baselines: 2 interrupted" in summary(here)
    assert "new" not in re.findall(r"\*\* (\w+):", summary(here))
