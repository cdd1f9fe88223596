"""Nights that people have: each staged on a baseline that was accepted the night before, with real models and data.

Every test gets a folder of its own, with a copy of matrix, data, store and baselines: so all of them are moved, too.
"""

import json
import re
import shutil

import numpy as np
import openvino as ov
import pytest

from matrices import SmallMatrix
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops

CELL = "net-CPU[f32]"


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
    status, document, err = night(here)
    assert status == 0, err
    checks = found(document)
    assert "every output is the same" in checks["runtime accuracy the baseline's INT8 model"]["text"]
    assert "every output is the same" in checks["quantization accuracy the baseline's configuration"]["text"]
    assert not any(check["cause"] in ("data", "model") for check in checks.values())


# What changed is not the runtime, and not the quantization


def test_a_model_file_that_was_replaced_is_told_first(here, night):
    """With other weights in it FP32 itself loses, which is not quantization's doing."""
    disturb(here.folder / "net.xml")
    status, document, err = night(here)
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
    status, document, err = night(here)
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
