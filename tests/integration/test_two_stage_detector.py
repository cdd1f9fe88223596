"""A two-stage detector: tensors whose shapes depend on the data, quantized, scored by ``map`` and exported."""

import json

import openvino as ov
import pytest

from matrices import write_matrix
from quantize_zoo.graph import save_model
from two_stage import draw_scenes, two_stage_detector

IMAGES = 60


@pytest.fixture
def matrix(tmp_path):
    draw_scenes(tmp_path, IMAGES)
    save_model(two_stage_detector(), tmp_path / "net.xml")
    dataset = {
        "data_source": "images",
        "annotation_conversion": {
            "converter": "common_object_detection", "annotation_dir": "boxes", "labels_file": "labels.txt",
            "pairs_file": "pairs.txt", "has_background": True, "add_background_to_label_id": True,
        },
        "preprocessing": [{"type": "normalization", "mean": 0, "std": 255}],
        "postprocessing": [{"type": "resize_prediction_boxes"}],
        "metrics": [{"name": "mAP", "type": "map", "ignore_difficult": True}],
    }  # fmt: skip
    return write_matrix(tmp_path, "squares", "ssd", dataset, 30, accuracy_loss=10, holdout=0)


def test_two_stage_detector_is_quantized_scored_and_exported(matrix, tmp_path, quantize_zoo):
    reports = tmp_path / "reports"
    status, _, err = quantize_zoo("run", matrix, "--reports", reports)
    assert status == 0, err
    (cell,) = json.loads((reports / "latest" / "results.json").read_text())["cells"]
    assert cell["status"] == "done"
    assert cell["reference"]["accuracy"]["value"] > 0.95
    assert cell["final"] is not None
    arguments = ("--trial", 0, "--reports", reports, "--output-dir", tmp_path / "out")
    status, _, err = quantize_zoo("export", "squares-CPU[f32]", *arguments)
    assert status == 0, err
    (exported,) = (tmp_path / "out").glob("*.xml")
    net = ov.Core().read_model(exported)
    assert net.output(0).partial_shape[2].is_dynamic
    quantized = [node for node in net.get_ops() if node.get_type_name() == "FakeQuantize"]
    # The data of both layers of the head depend on how many proposals there are.
    assert sum(node.input(0).get_partial_shape().is_dynamic for node in quantized) >= 2
