"""Models with states: they begin anew with each sample, or go on along the sequences that the dataset names."""

import json

import numpy as np
import openvino as ov
import pytest
from openvino.op.util import Variable, VariableInfo
from test_accuracy import F32

from builders import parameter
from matrices import write_matrix
from quantize_zoo.config import load_model_config
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.quantization import collect_statistics
from quantize_zoo.quantization.instrumentation import Extremes
from quantize_zoo.scoring import AccuracySession, compile_for_accuracy, find_checker
from quantize_zoo.scoring.split import split_sequences

CLASSES, VIDEOS, STEPS = 4, 24, 5


def summing_model():
    """Scores of all frames so far: state = state + frame x weights, which are the identity."""
    frame = parameter((1, CLASSES), "frame")
    info = VariableInfo()
    info.data_shape, info.data_type, info.variable_id = ov.PartialShape([1, CLASSES]), ov.Type.f32, "state"
    variable = Variable(info)
    before = ops.read_value(ops.constant(np.zeros((1, CLASSES), np.float32)), variable)
    own = ops.matmul(frame, ops.constant(np.eye(CLASSES, dtype=np.float32)), False, True)
    after = ops.add(own, before)
    after.set_friendly_name("after")
    result = ops.result(ops.softmax(after, 1))
    return ov.Model([result], [ops.assign(after, variable)], [frame], "summing")


@pytest.fixture
def videos(tmp_path):
    """A matrix on videos, each a few frames with a little evidence for its class; returns frames and labels."""
    rng = np.random.default_rng(0)
    frames, labels, database = [], [], {}
    for number in range(VIDEOS):
        label = number % CLASSES
        folder = tmp_path / "videos" / f"class{label}" / f"video{number}"
        folder.mkdir(parents=True)
        steps = rng.normal(size=(STEPS, CLASSES)).astype(np.float32)
        steps[:, label] += 0.8
        for index, step in enumerate(steps):
            np.save(folder / f"image_{index + 1:05d}.npy", step)
        (folder / "n_frames").write_text(f"{STEPS + 1}\n")
        database[f"video{number}"] = {"subset": "validation", "annotations": {"label": f"class{label}"}}
        frames.append(steps)
        labels.append(label)
    names = [f"class{label}" for label in range(CLASSES)]
    (tmp_path / "annotation.json").write_text(json.dumps({"labels": names, "database": database}))
    save_model(summing_model(), tmp_path / "net.xml")
    dataset = {
        "data_source": "videos", "reader": "numpy_reader",
        "annotation_conversion": {
            "converter": "clip_action_recognition", "annotation_file": "annotation.json", "data_dir": "videos",
            "numpy_input": True, "clip_duration": 1, "temporal_stride": 1, "clips_per_video": STEPS,
        },
        "metrics": [{"name": "accuracy", "type": "accuracy"}],
    }  # fmt: skip
    write_matrix(tmp_path, "videos", "classification", dataset, 50, accuracy_loss=20, holdout=0.25)
    return np.stack(frames), np.array(labels)


def test_states_go_on_along_the_sequences_of_the_dataset(videos, tmp_path):
    frames, labels = videos
    net = read_model(tmp_path / "net.xml")
    session = AccuracySession(find_checker(), load_model_config(tmp_path / "net.yml"), net)
    assert len(session) == VIDEOS * STEPS
    assert len(set(session.sequences)) == VIDEOS
    carried = frames.cumsum(axis=1).argmax(axis=2) == labels[:, None]
    alone = frames.argmax(axis=2) == labels[:, None]
    assert carried.mean() > alone.mean() + 0.1
    compiled = compile_for_accuracy(net, F32)
    assert session.score(compiled).metrics["accuracy"] == pytest.approx(carried.mean(), abs=1e-9)
    session.sequences = None  # a dataset that says nothing of sequences
    assert session.score(compiled).metrics["accuracy"] == pytest.approx(alone.mean(), abs=1e-9)


def test_statistics_are_those_of_states_that_go_on(videos, tmp_path):
    frames, _ = videos
    net = read_model(tmp_path / "net.xml")
    session = AccuracySession(find_checker(), load_model_config(tmp_path / "net.yml"), net)
    samples = session.inputs()
    found = collect_statistics(net, [Extremes("after:0", None, 0.0)], samples).extremes("after:0", None)
    sums = frames.cumsum(axis=1).max(axis=2).ravel()
    np.testing.assert_allclose(np.sort(found.statistic("max")[:, 0]), np.sort(sums), rtol=1e-5)
    alone = collect_statistics(net, [Extremes("after:0", None, 0.0)], list(samples)).extremes("after:0", None)
    np.testing.assert_allclose(np.sort(alone.statistic("max")[:, 0]), np.sort(frames.max(axis=2).ravel()), rtol=1e-5)


def test_sequences_are_held_out_as_wholes_and_keep_their_order():
    sequences = [name for name in "abcdefgh" for _ in range(STEPS)]
    split = split_sequences(sequences, 0.25)
    assert sorted(split.tuning + split.holdout) == list(range(len(sequences)))
    assert len({sequences[index] for index in split.holdout}) == 2
    assert not {sequences[index] for index in split.holdout} & {sequences[index] for index in split.tuning}
    for first in range(0, len(split.scoring), STEPS):
        steps = split.scoring[first : first + STEPS]
        assert list(steps) == list(range(steps[0], steps[0] + STEPS))


def test_a_model_with_states_runs_end_to_end(videos, tmp_path, quantize_zoo):
    reports = tmp_path / "reports"
    status, _, err = quantize_zoo("run", tmp_path / "matrix.yml", "--reports", reports)
    assert status == 0, err
    (cell,) = json.loads((reports / "latest" / "results.json").read_text())["cells"]
    assert cell["status"] == "done"
    assert any("states go on along 24 sequences" in note for note in cell["reference"]["notes"])
    frames, labels = videos
    carried = frames.cumsum(axis=1).argmax(axis=2) == labels[:, None]
    assert cell["reference"]["accuracy"]["value"] == pytest.approx(carried.mean(), abs=0.1)
    status, _, err = quantize_zoo("export", "videos-CPU[f32]", "--reports", reports, "--output-dir", tmp_path / "out")
    assert status == 0, err
    (exported,) = (tmp_path / "out").glob("*.xml")
    assert len(ov.Core().read_model(exported).get_sinks()) == 1
