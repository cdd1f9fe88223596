"""``init``: a YAML that `check` takes, with what can be seen of the model; and the JSON Schemas for editors."""

import json

import pytest
import yaml

from quantize_zoo.commands.places import matrix_at
from quantize_zoo.config import schema_path
from quantize_zoo.config.json_schema import schema_text
from quantize_zoo.errors import ConfigurationError
from quantize_zoo.graph import save_model
from quantize_zoo.zoo import write_starter
from zoo import several_outputs

GUESSES = {
    "digits-resnet": ("a classifier", "classification", "accuracy@top1"),
    "digits-vit": ("a classifier", "classification", "accuracy@top1"),
    "scenes-ssd": ("a detector: 2 outputs", "ssd", "mAP"),
    "shapes-unet": ("segmentation", "segmentation", "mean_iou"),
    "shapes-upscaler": ("an image to image model", "super_resolution", "psnr"),
    "reviews-transformer": ("a text classifier", "bert_classification", "accuracy"),
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", GUESSES)
def test_starter_sees_the_task_and_is_valid(name, zoo):
    looks, adapter, metric = GUESSES[name]
    path = write_starter(zoo / "embedded" / f"{name}.onnx", "schema.json")
    text = path.read_text()
    assert looks in text
    assert "TODO" in text
    assert not any(line != line.rstrip() for line in text.splitlines())
    config = matrix_at(path, [], [], {}).models[0]
    assert (config.name, config.metric) == (name, metric)
    launcher = config.accuracy_checker["models"][0]["launchers"][0]
    found = launcher["adapter"]
    assert (found if isinstance(found, str) else found["type"]) == adapter
    transformer = config.compression.tunable.model_type == "transformer"
    assert transformer == (name in ("digits-vit", "reviews-transformer"))


def test_starter_names_the_inputs_size_and_the_outputs(zoo):
    text = write_starter(zoo / "embedded" / "digits-resnet.onnx", "schema.json").read_text()
    assert "{type: resize, size: 48}" in text
    text = write_starter(zoo / "embedded" / "scenes-ssd.onnx", "schema.json").read_text()
    assert "scores [1, 11, 846], boxes [1, 4, 846]" in text


def test_starter_takes_an_ir_with_a_name_that_is_no_name(folder):
    save_model(several_outputs(), folder / "my model (1).xml")
    assert write_starter(folder / "my model (1).xml", "schema.json").name == "my-model--1-.yml"


def test_starter_overwrites_nothing(zoo, folder):
    (folder / "digits-resnet.yml").write_text("mine")
    with pytest.raises(ConfigurationError, match="is there already"):
        write_starter(zoo / "embedded" / "digits-resnet.onnx", "schema.json")
    with pytest.raises(ConfigurationError, match="no such file"):
        write_starter(folder / "none.onnx", "schema.json")


@pytest.mark.parametrize("name", ["model", "matrix"])
def test_committed_schema_is_the_models_own(name):
    assert schema_path(name).read_text() == schema_text(name), "run: python -m quantize_zoo.config.json_schema"


def test_every_shipped_yaml_names_its_schema(zoo):
    files = [*zoo.glob("*.yml"), *zoo.glob("embedded/*.yml"), *zoo.glob("open_model_zoo/*.yml")]
    files = [file for file in files if file.name != "accuracy-check.yml"]
    assert len(files) > 15
    for file in files:
        first = file.read_text().splitlines()[0]
        assert first.startswith("# yaml-language-server: $schema=")
        named = (file.parent / first.split("=", 1)[1]).resolve()
        kind = "matrix" if "devices" in yaml.safe_load(file.read_text()) else "model"
        assert named == zoo / "schemas" / f"{kind}.schema.json", "also where another copy is installed"
        known = json.loads(named.read_text())["properties"]
        assert set(yaml.safe_load(file.read_text())) <= set(known)
