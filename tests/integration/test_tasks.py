"""The checker's tasks, its datasets, metrics in both directions, and data that are large or broken."""

import json

import cv2
import numpy as np
import openvino as ov
import pytest
import yaml
from test_accuracy import F32

from builders import plain_int8
from quantize_zoo.config import load_model_config
from quantize_zoo.errors import CellError
from quantize_zoo.graph import read_model, save_model
from quantize_zoo.scoring import AccuracySession, InputBudget, compile_for_accuracy, find_checker, inputs


def session_of(config, *arguments):
    return AccuracySession(find_checker(), config, read_model(config.model), *arguments)


@pytest.fixture(scope="module")
def scored(zoo):
    """Session and result of a model of the embedded zoo, each made once."""
    known = {}

    def score(name):
        if name not in known:
            config = load_model_config(zoo / "embedded" / f"{name}.yml")
            model = read_model(config.model)
            session = AccuracySession(find_checker(), config, model)
            known[name] = session, session.score(compile_for_accuracy(model, F32)), model
        return known[name]

    return score


def test_mean_iou_is_that_of_a_direct_computation(scored, zoo):
    _, result, model = scored("shapes-unet")
    compiled = compile_for_accuracy(model, F32)
    folder = zoo / "embedded" / "data" / "shapes"
    confusion = np.zeros((4, 4))
    for file in sorted((folder / "images").iterdir()):
        image = cv2.imread(str(file))[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        answer = compiled(image)[0][0].argmax(0)
        truth = cv2.imread(str(folder / "masks" / f"{file.stem}.png"), cv2.IMREAD_GRAYSCALE)
        np.add.at(confusion, (truth.reshape(-1), answer.reshape(-1)), 1)
    hit = np.diag(confusion)
    iou = hit / (confusion.sum(0) + confusion.sum(1) - hit)
    assert result.metrics["mean_iou"] == pytest.approx(iou.mean(), abs=1e-6)
    assert result.metrics["mean_iou"] > 0.7


def test_landmark_error_is_that_of_a_direct_computation_and_better_when_lower(scored, zoo):
    session, result, model = scored("faces-landmarks")
    compiled = compile_for_accuracy(model, F32)
    folder = zoo / "embedded" / "data" / "faces"
    rows = [line.split(",") for line in (folder / "landmarks.csv").read_text().splitlines()[1:]]
    errors = []
    for name, *values in rows:
        image = cv2.imread(str(folder / "images" / f"{name}.jpg")).transpose(2, 0, 1)[None].astype(np.float32)
        answer = 64 * compiled((image - 127.5) / 63.75)[0][0].reshape(5, 2)
        truth = np.array(values, float).reshape(5, 2)
        errors.append(np.linalg.norm(answer - truth, axis=1).mean() / np.linalg.norm(truth[0] - truth[1]))
    assert result.metrics["normed_error"] == pytest.approx(np.mean(errors), rel=1e-4)
    np.testing.assert_allclose(result.per_sample["normed_error"], errors, rtol=1e-3)
    assert not session.higher_is_better("normed_error")
    assert scored("shapes-unet")[0].higher_is_better("mean_iou")


def test_psnr_is_that_of_a_direct_computation(scored, zoo):
    _, result, model = scored("shapes-upscaler")
    compiled = compile_for_accuracy(model, F32)
    folder = zoo / "embedded" / "data" / "shapes"
    weights, values = np.array([65.738, 129.057, 25.064]) / 256, []
    for file in sorted((folder / "small").iterdir()):
        small = cv2.imread(str(file))[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        answer = np.clip(255 * compiled(small)[0][0].transpose(1, 2, 0), 0, 255).astype(np.uint8)
        truth = cv2.imread(str(folder / "images" / file.name))[:, :, ::-1]
        luma = ((answer.astype(float) - truth) / 255 * weights).sum(2)[2:-2, 2:-2]
        values.append(-10 * np.log10((luma**2).mean()))
    assert result.metrics["psnr"] == pytest.approx(np.mean(values), rel=1e-3)
    assert result.metrics["psnr"] > 28


def test_tokens_reach_the_model_as_integers(scored):
    session, result, _ = scored("reviews-transformer")
    (sample,) = session.inputs([0])
    assert {name: (value.shape, value.dtype) for name, value in sample.items()} == {
        "input_ids": ((1, 32), np.int64),
        "input_mask": ((1, 32), np.int64),
    }
    assert 0.85 < result.metrics["accuracy"] < 1


def test_map_finds_most_objects(scored):
    session, result, _ = scored("scenes-ssd")
    assert 0.5 < result.metrics["mAP"] < 1
    assert "mAP" not in result.per_sample
    assert len(session) == 240


def test_metric_that_is_better_when_lower_is_tuned_downwards(zoo, tmp_path, quantize_zoo):
    config = yaml.safe_load((zoo / "embedded" / "faces-landmarks.yml").read_text())
    config["model"] = str(zoo / "embedded" / "faces-landmarks.onnx")
    config["paths"] = {name: str(zoo / "embedded") for name in ("source", "annotations")}
    params = config["optimizer"]["params"]
    params |= {"max_trials": 3, "latency_reduce": 0.01, "accuracy_loss": 5}
    params["benchmark"]["duration_seconds"] = 0.1
    (tmp_path / "faces.yml").write_text(yaml.safe_dump(config))
    status, out, err = quantize_zoo("run", tmp_path / "faces.yml", "--reports", tmp_path / "reports", "--json")
    assert status == 0, err
    cell = json.loads(out)["cells"][0]
    fp32 = cell["reference"]["accuracy"]["value"]
    assert cell["reference"]["higher_is_better"] is False
    measured = [trial for trial in cell["trials"] if trial["accuracy"]]
    assert measured
    for trial in measured:
        assert trial["score"]["accuracy_loss_share"] == pytest.approx((trial["accuracy"]["value"] - fp32) / fp32)
    holdout = cell["final"]["holdout"]
    lost = (holdout["int8"]["value"] - holdout["fp32"]["value"]) / holdout["fp32"]["value"]
    assert holdout["accuracy_loss_share"]["value"] == pytest.approx(lost)
    (page,) = (tmp_path / "reports" / "latest" / "cells").glob("*.html")
    assert "% above FP32" in page.read_text()


def test_other_datasets_are_scored_with_the_best_model(small, quantize_zoo):
    def second(content):
        first = content["models"][0]["datasets"][0]
        content["models"][0]["datasets"].append({**first, "name": "night", "subsample_size": 40})

    small.edit("accuracy-check.yml", second)
    status, out, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", "1", "--json")
    assert status == 0, err
    others = json.loads(out)["cells"][0]["final"]["others"]
    assert [(other["dataset"], other["metric"]) for other in others] == [
        ("night", "accuracy@top1"),
        ("night", "accuracy@top3"),
    ]
    assert "dataset night" in small.cell_page()


def test_dataset_that_is_tuned_on_is_chosen_by_name(small, quantize_zoo):
    small.edit(
        "accuracy-check.yml",
        lambda content: content["models"][0]["datasets"].append(
            {**content["models"][0]["datasets"][0], "name": "night", "subsample_size": 40}
        ),
    )
    small.edit("net.yml", lambda model: model.update(dataset="night"))
    assert len(session_of(load_model_config(small.folder / "net.yml"))) == 40
    small.edit("net.yml", lambda model: model.update(dataset="nigth"))
    status, _, err = quantize_zoo("check", small.path)
    assert status == 2
    assert "dataset 'nigth' is not in the accuracy checker's configuration" in err
    assert "did you mean 'night'?" in err


def test_path_prefixes_come_from_the_yaml_or_the_checkers_variables(small, monkeypatch, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (small.folder / "images").rename(elsewhere / "images")
    monkeypatch.setenv("DATA_DIR", str(elsewhere))
    monkeypatch.setenv("ANNOTATIONS_DIR", str(small.folder))
    small.edit(
        "accuracy-check.yml",
        lambda content: content["models"][0]["datasets"][0]["annotation_conversion"].update(
            annotation_file=str(small.folder / "labels.txt")
        ),
    )
    assert len(session_of(load_model_config(small.folder / "net.yml"))) == 100
    monkeypatch.setenv("DATA_DIR", "/nowhere")
    small.edit("net.yml", lambda model: model.update(paths={"source": "elsewhere"}))
    assert len(session_of(load_model_config(small.folder / "net.yml"))) == 100


def test_thumbnail_is_a_small_picture_of_a_sample(small, zoo, tmp_path):
    session = session_of(load_model_config(small.folder / "net.yml"))
    assert session.write_thumbnail(session.identifiers()[0], tmp_path / "a" / "x.png")
    assert cv2.imread(str(tmp_path / "a" / "x.png")).shape == (32, 32, 3)
    assert not session.write_thumbnail("none.png", tmp_path / "y.png")
    words = session_of(load_model_config(zoo / "embedded" / "reviews-transformer.yml"))
    assert not words.write_thumbnail(words.identifiers()[0], tmp_path / "z.png")


def test_inputs_beyond_the_budget_lie_in_files_that_vanish(small, tmp_path):
    config = load_model_config(small.folder / "net.yml")
    in_memory = session_of(config)
    folder = tmp_path / "inputs"
    on_disk = session_of(config, InputBudget(folder, 1000))
    assert len(list(folder.rglob("*.bin"))) == 1
    for one, other in zip(in_memory.inputs(), on_disk.inputs(), strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
    assert in_memory.fingerprint() == on_disk.fingerprint()
    model = compile_for_accuracy(read_model(config.model), F32)
    assert in_memory.score(model).metrics == on_disk.score(model).metrics
    del on_disk
    assert not list(folder.iterdir())


def test_a_run_with_a_small_budget_leaves_no_file_behind(small, quantize_zoo):
    small.edit("matrix.yml", lambda matrix: matrix.update(input_memory_mb=0))
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", "1")
    assert status == 0, err
    assert not list((small.reports / "inputs").rglob("*"))


def test_inputs_that_fit_neither_memory_nor_disk_are_told(small, monkeypatch, tmp_path):
    monkeypatch.setattr(inputs.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(CellError, match=r"preprocessed inputs take 0\.0 GB, and the disk of"):
        session_of(load_model_config(small.folder / "net.yml"), InputBudget(tmp_path / "inputs", 0))


def test_bad_sample_is_named_or_skipped_and_counted(small, quantize_zoo):
    broken = sorted((small.folder / "images").iterdir())[3]
    broken.write_bytes(b"no picture")
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", "1")
    assert status == 3
    assert f"sample '{broken.name}' cannot be read" in err
    small.edit("net.yml", lambda model: model.update(on_bad_sample="skip"))
    status, out, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", "1", "--json")
    assert status == 0, err
    note = f"1 of 100 samples cannot be read and are skipped: {broken.name}"
    assert note in json.loads(out)["cells"][0]["reference"]["notes"]
    assert note in small.cell_page()


def test_no_readable_sample_at_all(small):
    for file in (small.folder / "images").iterdir():
        file.write_bytes(b"")
    small.edit("net.yml", lambda model: model.update(on_bad_sample="skip"))
    with pytest.raises(CellError, match="no sample of the dataset can be read; the first are"):
        session_of(load_model_config(small.folder / "net.yml"))


def test_label_that_the_model_does_not_know(small, quantize_zoo):
    labels = small.folder / "labels.txt"
    first = labels.read_text().splitlines()[0].split()[0]
    labels.write_text(labels.read_text().replace(labels.read_text().splitlines()[0], f"{first} 10"))
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", "1")
    assert status == 3
    assert f"sample '{first}' has label 10, and the model has 10 classes (0 to 9)" in err


def test_annotation_of_another_task(small, zoo, quantize_zoo):
    def landmarks(content):
        dataset = content["models"][0]["datasets"][0]
        faces = zoo / "embedded" / "data" / "faces"
        dataset["data_source"] = str(faces / "images")
        dataset["annotation_conversion"] = {
            "converter": "vgg_face",
            "landmarks_csv_file": str(faces / "landmarks.csv"),
        }

    small.edit("accuracy-check.yml", landmarks)
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", "1")
    assert status == 3
    assert "Traceback" not in err
    assert "metric 'accuracy@top1' takes ClassificationAnnotation" in err


def test_model_in_half_precision_is_quantized_like_the_whole_one(small, quantize_zoo):
    ov.save_model(ov.convert_model(small.folder / "net.onnx"), small.folder / "half.xml", compress_to_fp16=True)
    small.edit("net.yml", lambda model: model.update(model="half.xml"))
    status, out, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", "1", "--json")
    assert status == 0, err
    assert json.loads(out)["cells"][0]["trials"][0]["accuracy"]


def test_quantized_model_is_refused_with_what_to_do(small, quantize_zoo):
    config = load_model_config(small.folder / "net.yml")
    session = session_of(config)
    quantized = plain_int8(read_model(config.model), session.inputs(range(20)))
    save_model(quantized, small.folder / "int8.xml")
    small.edit("net.yml", lambda model: model.update(model="int8.xml"))
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", "1")
    assert status == 3
    assert "is quantized already: it has FakeQuantize operations" in err
    assert "name the FP32 model that it was made from" in err


def test_samples_without_a_file_have_names_that_last(zoo):
    """The name of a tokenized sentence, and so the dataset's fingerprint, are those of another process."""
    config = load_model_config(zoo / "embedded" / "reviews-transformer.yml")
    first, second = (session_of(config) for _ in range(2))
    assert not any(" at 0x" in name for name in first.identifiers())
    assert len(set(first.identifiers())) == len(first)
    assert first.fingerprint() == second.fingerprint()
