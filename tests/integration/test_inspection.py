"""What is wrong with data, of small configurations of all kinds: the reason is the user's, and not Python's."""

import re

import pytest
import yaml

from checker_cases import CASES
from quantize_zoo.cell.inspection import inspect_model
from quantize_zoo.config import ModelConfig
from quantize_zoo.graph import save_model
from quantize_zoo.zoo import complete_model

# What Python says, which tells nobody what to do.
RAW = re.compile(r"NoneType|has no attribute|out of bounds|Traceback|unpack|KeyError|TypeError|IndexError")


@pytest.fixture
def inspect(tmp_path):
    """Spoil a case's dataset or its files, then look at it; return the only error."""

    def invoke(case, change):
        made = CASES[case](tmp_path)
        save_model(made.model, tmp_path / "net.xml")
        dataset = {"name": case, **made.dataset}
        change(dataset, tmp_path)
        launcher = {"framework": "openvino", "adapter": made.adapter, **made.launcher}
        entry = {"name": case, "launchers": [launcher], "datasets": [dataset]}
        (tmp_path / "checker.yml").write_text(yaml.safe_dump({"models": [entry]}))
        config = ModelConfig(
            name="net", model=tmp_path / "net.xml", accuracy_checker=tmp_path / "checker.yml",
            source=tmp_path / "net.yml", data_folder=tmp_path,
        )  # fmt: skip
        (error,) = inspect_model(complete_model(config), ["CPU"], fast=False).refusals
        return error

    return invoke


def drop(*keys):
    def change(dataset, folder):
        for key in keys[:-1]:
            dataset = dataset[key]
        del dataset[keys[-1]]

    return change


def put(**values):
    return lambda dataset, folder: dataset.update(values)


def cut(size):
    def change(dataset, folder):
        picture = min((folder / "images").iterdir())
        picture.write_bytes(picture.read_bytes()[:size])
        dataset.pop("preprocessing", None)

    return change


def label(text):
    """Change the last sample's, which a look at the first one does not meet."""

    def change(dataset, folder):
        lines = (folder / "labels.txt").read_text().splitlines()
        lines[-1] = f"{lines[-1].split()[0]} {text}"
        (folder / "labels.txt").write_text("\n".join(lines) + "\n")

    return change


def write(name, text):
    """Replace a file, or the first one of a folder."""

    def change(dataset, folder):
        path = folder / name
        (min(path.iterdir()) if path.is_dir() else path).write_text(text)

    return change


META = ("annotation_conversion", "dataset_meta_file")
WRONG = {
    "a metric without names of classes": (
        "segmentation", drop(*META), "metric 'mean_iou' needs the names of the dataset's classes", "dataset_meta_file",
    ),
    "another one": (
        "values_of_each_class", drop(*META), "metric 'accuracy_per_class' needs the names", "dataset_meta_file",
    ),
    "masks elsewhere": (
        "segmentation", drop("segmentation_masks_source"), "metric 'mean_iou' cannot read the annotation of sample",
        "segmentation_masks_source",
    ),
    "a cut picture": ("classification_imagenet", cut(60), "'000.png' cannot be read: the reader finds no", "cut"),
    "an empty picture": ("classification_imagenet", cut(0), "'000.png' cannot be read: the reader finds no", "cut"),
    "a cut picture that pillow reads": ("pillow_reader_rgb", cut(60), "'000.png' cannot be read: image file", ""),
    "more choices than classes": (
        "classification_imagenet", put(metrics=[{"type": "accuracy", "top_k": 99}]),
        "metric 'accuracy' looks at the best 99 classes, and the model has 4", "top_k",
    ),
    "a negative label": ("classification_imagenet", label(-1), "'011.png' has label -1, and the model has 4", ""),
    "a label beyond": ("classification_imagenet", label(12), "'011.png' has label 12, and the model has 4", ""),
    "a label that is none": ("classification_imagenet", label("x"), "labels.txt:12: ValueError", "what stands there"),
    "a step without what it needs": (
        "classification_imagenet", put(preprocessing=[{"type": "resize"}]), "preprocessor 'resize' cannot be used: ",
        "correct its parameters",
    ),
    "a size of a part": ("classification_imagenet", put(subsample_size="many"), "subsample_size is 'many'", "correct"),
    "a metric of another task": (
        "classification_imagenet", put(metrics=[{"type": "mean_iou"}]), "'mean_iou' takes Segmentation", "task",
    ),
    "broken XML": ("detection_voc_by_ssd", write("xml", "<a>"), "xml/000.xml:1: ParseError", "what stands there"),
    "broken JSON": ("detection_coco_by_ssd", write("coco.json", "{"), "coco.json:1: JSONDecodeError", "what stands"),
    "broken JSON beside a list": (
        "classification_imagenet", write("meta.json", "{"), "meta.json:1: JSONDecodeError", "what stands there",
    ),
    "JSON of another kind": (
        "detection_coco_by_ssd", write("coco.json", "{}"), "coco.json: the key 'images' is missing", "reads",
    ),
    "a column that is missing": (
        "landmarks", write("landmarks.csv", "NAME_ID,P1X\n000,1\n"), "landmarks.csv:2: the key 'P2X' is missing",
        "what stands there",
    ),
    "a mask that is missing": (
        "segmentation", lambda _, folder: min((folder / "masks").iterdir()).unlink(), "masks/000.png", "the path",
    ),
    "masks that are none": (
        "segmentation", lambda _, folder: [each.write_text("x") for each in (folder / "masks").iterdir()],
        "metric 'mean_iou' cannot read the annotation of sample", "segmentation_masks_source",
    ),
    "a step that does not suit": (
        "classification_imagenet", put(preprocessing=[{"type": "crop", "size": 8}, {"type": "bgr_to_gray"},
                                                      {"type": "bgr_to_gray"}]),
        "preprocessor 'bgr_to_gray' fails for sample '000.png'", "the steps before it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_the_reason_says_what_is_wrong_and_what_to_do(inspect, what):
    case, change, reason, remedy = WRONG[what]
    error = inspect(case, change)
    assert reason in error.what
    assert remedy in error.remedy
    assert not RAW.search(str(error))
    assert re.search(r"checker\.yml:\d+$", error.where)


def test_an_output_that_the_model_does_not_have_is_told_with_the_nearest(inspect, monkeypatch):
    made = CASES["detection_by_tf_names"]

    def misspelled(folder):
        case = made(folder)
        case.adapter["boxes_out"] = "boxs"
        return case

    monkeypatch.setitem(CASES, "detection_by_tf_names", misspelled)
    error = inspect("detection_by_tf_names", put())
    assert error.what == "adapter 'tf_object_detection' asks for the output 'boxs', which the model does not have"
    assert error.remedy.startswith("did you mean 'boxes'?")
