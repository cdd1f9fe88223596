"""The checker's session against an independent computation, and against the checker's own command."""

import csv
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import pytest
import yaml
from PIL import Image

from builders import plain_int8
from quantize_zoo.config import DeviceSpec, load_model_config
from quantize_zoo.errors import CellError
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import AccuracySession, compile_for_accuracy, find_checker
from quantize_zoo.scoring.contents import read_through
from quantize_zoo.scoring.inputs import InputBudget
from quantize_zoo.scoring.launcher import InputFitter

F32 = DeviceSpec(device="CPU", inference_precision="f32")
NAMES = ["digits-resnet", "digits-mobilenet", "digits-vit"]
OTHER_TASKS = [
    "scenes-ssd", "shapes-unet", "shapes-upscaler", "faces-landmarks", "reviews-transformer", "opinions-encoder",
    "lines-crnn",
]  # fmt: skip


def score(config, model):
    session = AccuracySession(find_checker(), config, model)
    return session.score(compile_for_accuracy(model, F32)), session


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_that_of_a_direct_computation(zoo, name):
    folder = zoo / "embedded"
    model = read_model(folder / f"{name}.onnx")
    result, _ = score(load_model_config(folder / f"{name}.yml"), model)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    hits = []
    for line in (folder / "data" / "digits.txt").read_text().splitlines():
        file, label = line.split()
        image = cv2.resize(cv2.imread(str(folder / "data" / "digits" / file)), (48, 48)).astype(np.float32)
        scores = compiled(((image - 127.5) / 63.75).transpose(2, 0, 1)[None])[0]
        hits.append(float(scores.argmax() == int(label)))
    np.testing.assert_array_equal(result.per_sample["accuracy@top1"], hits)
    assert result.metrics["accuracy@top1"] == np.mean(hits)
    assert 0.90 <= result.metrics["accuracy@top1"] <= 0.985
    assert len(hits) >= 1000


def test_session_scores_models_one_after_the_other(mobilenet):
    model = read_model(mobilenet.model)
    first, session = score(mobilenet, model)
    again = session.score(compile_for_accuracy(model, F32))
    assert first.metrics == again.metrics


@pytest.mark.parametrize("name", ["digits-mobilenet", "faces-landmarks"])
def test_answers_that_are_no_numbers_are_told_and_never_scored(zoo, name):
    """A classifier's argmax of NaN is a class; a metric's mean of NaN is no single number."""
    config = load_model_config(zoo / "embedded" / f"{name}.yml")
    model = read_model(config.model)
    result = model.get_results()[0]
    source = result.input_value(0)
    names = source.get_names()
    nothing = ops.divide(ops.multiply(source, ops.constant(np.float32(0))), ops.constant(np.float32(0)))
    nothing.output(0).set_names(names)
    result.input(0).replace_source_output(nothing.output(0))
    with pytest.raises(CellError, match="of the model is NaN for sample"):
        score(config, model)


def test_fingerprint_follows_the_data(small):
    config = load_model_config(small.folder / "net.yml")
    model = read_model(config.model)
    before = AccuracySession(find_checker(), config, model).fingerprint()
    assert AccuracySession(find_checker(), config, model).fingerprint() == before
    labels = small.folder / "labels.txt"
    labels.write_text(re.sub(r" \d\n", " 0\n", labels.read_text(), count=1))
    assert AccuracySession(find_checker(), config, model).fingerprint() != before


def test_what_messages_say_is_not_made_for_samples_that_need_none(small, monkeypatch):
    """It took a tenth of a pass of a model of 0.1 ms."""
    config = load_model_config(small.folder / "net.yml")
    model = read_model(config.model)
    session = AccuracySession(find_checker(), config, model)
    monkeypatch.setattr(InputFitter, "output_read", None)
    assert session.score(compile_for_accuracy(model, F32)).samples == len(session)


def contents_of(folder, name):
    config = load_model_config(folder / f"{name}.yml")
    session = AccuracySession(find_checker(), config, read_model(config.model))
    return session.contents, session.former_fingerprint()


def test_data_are_the_same_wherever_they_lie(small, tmp_path):
    shutil.copytree(small.folder, tmp_path / "moved")
    (here, former), (there, other) = contents_of(small.folder, "net"), contents_of(tmp_path / "moved", "net")
    assert here.fingerprint == there.fingerprint
    assert former != other, "releases up to 0.1.0 took the folder for a part of the data"


def test_stores_of_older_releases_are_known_by_the_name_that_these_gave_the_data(small):
    """A hash over names, annotations as JSON with the folder in them, and inputs, one sample after the other."""
    config = load_model_config(small.folder / "net.yml")
    session = AccuracySession(find_checker(), config, read_model(config.model))
    digest = hashlib.sha256()
    for sample, inputs in zip(session._samples, session.inputs(), strict=True):
        known = [sample.identifier, vars(sample.annotation)]
        digest.update(json.dumps(known, default=str, sort_keys=True).encode())
        digest.update(b"image")
        digest.update(inputs["image"].data)
    assert session.former_fingerprint() == digest.hexdigest()


def test_the_content_of_masks_belongs_to_the_data(zoo, tmp_path):
    """Annotations of segmentation name files, and their own content is no other if one of these is."""
    folder = tmp_path / "embedded"
    shutil.copytree(zoo / "embedded", folder)
    before, _ = contents_of(folder, "shapes-unet")
    mask = next((folder / "data" / "shapes" / "masks").glob(f"{before.identifiers[3].split('.')[0]}.*"))
    with Image.open(mask) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mask)
    after, _ = contents_of(folder, "shapes-unet")
    assert np.flatnonzero(before.annotations != after.annotations).tolist() == [3]
    np.testing.assert_array_equal(before.inputs, after.inputs)


def test_outputs_of_no_sample_are_refused_by_their_shape(zoo):
    """What OpenVINO answers for this model's dynamic batch where it is held to SSE41 and has one core."""
    config = load_model_config(zoo / "embedded" / "opinions-encoder.yml")
    session = AccuracySession(find_checker(), config, read_model(config.model), first=2)
    message = r"adapter 'bert_classification' does not fit .* predicts nothing of shapes \(0, 2\)"
    with pytest.raises(CellError, match=message):
        session.answers_of([{"logits": np.zeros((0, 2), np.float32)}] * 2, config.metric)


@pytest.mark.parametrize("memory_bytes", [10**9, 0])
@pytest.mark.parametrize(("name", "read"), [("shapes-unet", "_mask"), ("shapes-upscaler", "_value")])
def test_ground_truth_is_read_once_while_there_is_memory_and_is_no_part_of_the_data(
    name, read, memory_bytes, zoo, tmp_path, monkeypatch
):
    config = load_model_config(zoo / "embedded" / f"{name}.yml")
    model = read_model(config.model)
    session = AccuracySession(find_checker(), config, model, InputBudget(tmp_path, memory_bytes), first=12)
    before = read_through(session._samples, session._inputs)
    opened = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda *args, **more: opened.append(args) or real(*args, **more))
    compiled = compile_for_accuracy(model, F32)
    assert session.score(compiled).metrics == session.score(compiled).metrics
    assert bool(opened) == (memory_bytes == 0)
    assert all(vars(sample.annotation)[read] is None for sample in session._samples)
    after = read_through(session._samples, session._inputs)
    assert (after[0].fingerprint, after[1]) == (before[0].fingerprint, before[1])


@pytest.mark.parity
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="openvino-dev 2023.3.0 installs on Python 3.8 to 3.11")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", [*NAMES, *OTHER_TASKS])
def test_accuracy_is_that_of_the_checkers_own_command(zoo, name, precision, tmp_path):
    if find_checker().origin != "installed openvino-dev":
        pytest.skip("needs openvino-dev 2023.3.0 installed with its own OpenVINO: tox -e checker-parity")
    folder = zoo / "embedded"
    model = read_model(folder / f"{name}.onnx")
    config = load_model_config(folder / f"{name}.yml")
    if precision == "int8":
        model = plain_int8(model, AccuracySession(find_checker(), config, model).inputs(range(100)))
    save_model(model, tmp_path / "model.xml")
    results, configuration = tmp_path / "results.csv", config.accuracy_checker
    if isinstance(configuration, dict):
        configuration = tmp_path / "accuracy-check.yml"
        configuration.write_text(yaml.safe_dump(config.accuracy_checker))
    command = [Path(sys.executable).parent / "accuracy_check", "-c", configuration]
    command += ["--models", tmp_path, "--source", folder, "--annotations", folder, "-td", "CPU"]
    subprocess.run([*command, "--csv_result", results], capture_output=True, check=True)
    with results.open() as stream:
        found = {row["metric_name"]: float(row["metric_value"]) for row in csv.DictReader(stream)}
    # Read again as the command does: on 2023.3 some quantized models compute other last digits than in memory.
    result, _ = score(config, read_model(tmp_path / "model.xml"))
    for metric, value in result.metrics.items():
        # A metric of several values has a row for each, and one for their mean.
        theirs = found.get(metric, found.get(f"{metric}@mean"))
        if metric in ("psnr", "ssim"):
            # Their value is the mean of two numbers, the mean and the standard deviation over the samples.
            value = np.mean([value, np.std(result.per_sample[metric])])
        assert theirs == pytest.approx(value, rel=1e-12), (metric, found)
