"""Each bad input: one clear message, the right exit status, nothing half-written."""

import json
import os

import numpy as np
import pytest

from builders import model, parameter
from quantize_zoo.graph import save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import checker


@pytest.fixture
def run(small, quantize_zoo):
    def invoke(*arguments):
        return quantize_zoo("run", small.path, "--reports", small.reports, *arguments)

    return invoke


def dataset(content):
    return content["models"][0]["datasets"][0]


def refused(result, small, *messages):
    """Exit status 2, the messages, no traceback, and no run was begun."""
    status, out, err = result
    assert status == 2, err
    assert out == ""
    for message in messages:
        assert message in err
    assert "Traceback" not in err
    assert not (small.reports / "store.db").exists()


def cell_failed(result, *messages):
    """Exit status 3, and the messages in the progress and in the report."""
    status, out, err = result
    assert status == 3, err
    assert "Traceback" not in err + out
    for message in messages:
        assert message in err
    return out


def test_missing_matrix(small, quantize_zoo):
    refused(quantize_zoo("run", small.folder / "none.yml", "--reports", small.reports), small, "no such file")


def test_unknown_key(small, run):
    small.edit("net.yml", lambda content: content.update(metrics="x"))
    refused(run(), small, "net.yml:", "unknown key 'metrics'", "did you mean 'metric'")


def test_unknown_metric(small, run):
    small.edit("net.yml", lambda content: content.update(metric="accuracy@top2"))
    refused(run(), small, "metric 'accuracy@top2'", "did you mean 'accuracy@top")


def test_checker_configuration_without_models(small, run):
    (small.folder / "accuracy-check.yml").write_text("models: []\n")
    refused(run(), small, "accuracy checker configuration: it needs a list 'models'")


def test_checker_configuration_without_datasets(small, run):
    (small.folder / "accuracy-check.yml").write_text("models: [{name: x, launchers: [{adapter: y}]}]\n")
    refused(run(), small, "models[0] needs 'datasets'")


def test_reports_that_are_a_file(small, run):
    small.reports.write_text("")
    status, _, err = run()
    assert status == 2
    assert f"cannot write reports to {small.reports}" in err


def test_reports_without_permission(small, run, monkeypatch):
    # As root every folder is writable: the operating system's answer is the one thing replaced here.
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != small.reports and access(path, mode))
    refused(run(), small, "permission denied")


def test_unusable_store(small, run):
    refused(run("--store", "nonsense"), small, "cannot use the store nonsense")


def test_unknown_model_on_the_command_line(small, run):
    refused(run("--models", "nets"), small, "the matrix has no model 'nets'", "did you mean 'net'")


def test_bad_option(small, run):
    status, _, err = run("--trials-load-method", "lukewarm")
    assert status == 2
    assert "'cold_start'" in err


def test_no_accuracy_checker(small, run, monkeypatch, tmp_path):
    if checker.find_checker().origin != f"overlay openvino-dev {checker.OVERLAY_VERSION}":
        pytest.skip(f"this environment has its own: {checker.find_checker().origin}")
    monkeypatch.setattr(checker, "OVERLAY_FOLDER", tmp_path / "none")
    monkeypatch.setattr(checker, "_installed_openvino_dev", lambda: False)
    checker.find_checker.cache_clear()
    try:
        refused(run(), small, "no accuracy checker is installed", "quantize-zoo doctor --install-checker")
    finally:
        checker.find_checker.cache_clear()


def test_empty_dataset(small, run):
    (small.folder / "labels.txt").write_text("")
    cell_failed(run(), "the dataset is empty")


def test_annotation_without_its_image(small, run):
    (small.folder / "images" / "0005.png").unlink()
    cell_failed(run(), "sample '0005.png' cannot be read")


def test_image_that_is_no_image(small, run):
    (small.folder / "images" / "0007.png").write_text("not an image")
    cell_failed(run(), "sample '0007.png' cannot be read")


def test_missing_annotation_file(small, run):
    (small.folder / "labels.txt").unlink()
    cell_failed(run(), "labels.txt")


def test_image_with_two_labels(small, run):
    with (small.folder / "labels.txt").open("a") as labels:
        labels.write("0003.png 1\n0003.png 2\n")
    cell_failed(run(), "sample '0003.png' is annotated twice, with label ")


def test_model_without_inputs(small, run):
    use_model(small, model(ops.relu(ops.constant(np.ones((1, 10), np.float32)))))
    small.edit("net.yml", lambda content: content.pop("input_shapes", None))
    cell_failed(run(), "the model has no input")


def test_unknown_converter(small, run):
    small.edit("accuracy-check.yml", lambda content: dataset(content)["annotation_conversion"].update(converter="x"))
    refused(run(), small, "accuracy-check.yml:", "the accuracy checker has no annotation converter 'x'")


def test_unknown_adapter(small, run):
    small.edit(
        "accuracy-check.yml", lambda content: content["models"][0]["launchers"][0].update(adapter="clasification")
    )
    refused(run(), small, "the accuracy checker has no adapter 'clasification'", "did you mean 'classification'")


def test_adapter_that_does_not_fit(small, run):
    adapter = {"type": "ssd"}
    small.edit("accuracy-check.yml", lambda content: content["models"][0]["launchers"][0].update(adapter=adapter))
    cell_failed(run(), "does not fit the model's outputs (probabilities)")


def test_launcher_input_that_the_model_does_not_have(small, run):
    value = {"name": "picture", "type": "INPUT", "value": ".*"}
    small.edit("accuracy-check.yml", lambda content: content["models"][0]["launchers"][0].update(inputs=[value]))
    cell_failed(run(), "accuracy_checker: launcher: accuracy checker configuration: ")


@pytest.mark.parametrize(
    ("value", "told"),
    [({"name": "picture"}, "inputs[0] needs 'type'"), ("picture", "inputs[0] is 'picture': must be a mapping")],
)
def test_launcher_input_that_is_none(small, run, value, told):
    small.edit("accuracy-check.yml", lambda content: content["models"][0]["launchers"][0].update(inputs=[value]))
    refused(run(), small, f"accuracy-check.yml:7: {told}")


def test_model_whose_input_does_not_fit_the_data(small, run):
    small.edit("accuracy-check.yml", lambda content: dataset(content)["preprocessing"][0].update(size=32))
    cell_failed(run(), "input 'image' of the model takes (?, 3, 48, 48), the preprocessed data are (1, 3, 32, 32)")


def use_model(small, net):
    save_model(net, small.folder / "net.xml")
    small.edit("net.yml", lambda content: content.update(model="net.xml"))


def test_model_without_quantizable_operations(small, run):
    image = parameter((1, 3, 48, 48))
    use_model(small, model(ops.relu(image), image))
    cell_failed(run(), "model 'net' has no operation that the hardware configuration CPU quantizes")


def test_model_with_nan_weights(small, run):
    image = parameter((1, 3, 48, 48))
    conv = ops.convolution(
        image, ops.constant(np.full((10, 3, 48, 48), np.nan, np.float32)), [1, 1], [0, 0], [0, 0], [1, 1]
    )
    scores = ops.reshape(conv, np.array([1, 10]), special_zero=False)
    weights = ops.constant(np.eye(10, dtype=np.float32))
    use_model(small, model(ops.matmul(scores, weights, False, True), image))
    cell_failed(run("--max-trials", "1"), "NaN or infinite values")


def test_file_that_is_no_model(small, run):
    (small.folder / "net.onnx").write_text("not a model")
    refused(run(), small, "net.yml:", "net.onnx is no model: it is in none of the formats that OpenVINO reads")


def test_required_device_that_is_missing(small, run):
    small.edit("matrix.yml", lambda content: content.update(devices=["GPU"], on_missing_device="fail"))
    status, _, err = run()
    assert status == 3
    assert "OpenVINO has no device GPU here" in err


def test_failed_cell_stands_in_the_report(small, run):
    (small.folder / "labels.txt").write_text("")
    document = json.loads(cell_failed(run("--json"), "the dataset is empty"))
    assert document["cells"][0]["verdict"]["status"] == "failed"
    assert "the dataset is empty" in small.cell_page()


def test_report_without_a_store(small, quantize_zoo):
    status, _, err = quantize_zoo("report", "--reports", small.reports)
    assert status == 2
    assert "has no run" in err


def test_target_that_is_required_and_missed(small, run):
    small.edit("net.yml", lambda content: content["optimizer"]["params"].update(latency_reduce=1000, max_trials=1))
    small.edit("matrix.yml", lambda content: content.update(require_targets=True))
    status, _, err = run()
    assert status == 1, err


def test_fp32_model_that_is_never_right(small, run):
    """Labels begin elsewhere: ``check`` reads one sample, of which nothing can be told; no trial is begun."""
    lines = [line.split() for line in (small.folder / "labels.txt").read_text().splitlines()]
    (small.folder / "labels.txt").write_text("".join(f"{name} {(int(label) + 2) % 10}\n" for name, label in lines))
    cell_failed(run(), "accuracy@top1 is 0.0 on", "see that labels begin where the model's do (has_background")
    results = json.loads((small.reports / "latest" / "results.json").read_text())
    assert results["cells"][0]["trials"] == []
