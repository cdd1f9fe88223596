"""A two-stage detector with a second NonMaxSuppression: its input is static, boxes between and after its stages not."""

import json

import numpy as np
import pytest

from evaluators import evaluate
from fitted_detector import write_detector
from quantize_zoo.config import DeviceSpec, load_model_config
from quantize_zoo.graph import read_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import AccuracySession, compile_for_accuracy, find_checker

F32 = DeviceSpec(device="CPU", inference_precision="f32")


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return load_model_config(write_detector(tmp_path_factory.mktemp("detector")))


@pytest.fixture(scope="module")
def session(detector):
    return AccuracySession(find_checker(), detector, read_model(detector.model))


def test_how_many_boxes_the_second_stage_gets_is_the_pictures_affair(detector, session):
    model = read_model(detector.model)
    (rois,) = [node for node in model.get_ordered_ops() if node.get_type_name() == "ROIAlign"]
    model.add_results([ops.result(rois)])
    compiled = compile_for_accuracy(model, F32)
    counts = {len(compiled(sample)[1]) for sample in session.inputs(range(20))}
    assert len(counts) > 3
    nothing = compiled(np.zeros((1, 3, 96, 96), np.float32))
    assert [nothing[0].shape, len(nothing[1])] == [(1, 1, 0, 7), 0]


def test_map_is_that_of_the_checkers_own_evaluator(detector, session):
    values, launcher = evaluate(detector)
    assert not launcher.dyn_input_layers
    result = session.score(compile_for_accuracy(read_model(detector.model), F32))
    assert result.metrics["mAP"] == pytest.approx(values["mAP"], abs=1e-9)
    assert 0.7 < result.metrics["mAP"] < 1


def test_int8_finds_almost_as_much(detector, tmp_path, quantize_zoo):
    status, out, err = quantize_zoo("run", detector.location, "--devices", "CPU", "--reports", tmp_path, "--json")
    assert status == 0, err
    (cell,) = json.loads(out)["cells"]
    base = cell["trials"][0]
    assert base["kind"] == "base"
    assert base["accuracy"]["value"] > 0.9 * cell["reference"]["accuracy"]["value"] > 0.7
