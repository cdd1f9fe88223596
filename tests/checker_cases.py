"""Small configurations of the accuracy checker, each with its data and its model; a case stands for a way to be read.

A case is a function of a folder that writes the data there and returns model, launcher and dataset, as an
accuracy-check.yml has them. Weights are random: what counts is that two evaluators agree, not what they agree on.
"""

import gzip
import json
import pickle
import wave
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import openvino as ov
import pytest

try:
    from openvino.op.util import Variable, VariableInfo
except ModuleNotFoundError:  # OpenVINO 2023.3, whose own checker the suite is run with as well
    from openvino.runtime.op.util import Variable, VariableInfo

from quantize_zoo.graph.opset import opset13 as ops

CASES = {}
SIZE, CLASSES, COUNT = 16, 4, 12
VOC = ("aeroplane", "bicycle", "bird")


@dataclass(frozen=True)
class Case:
    """A configuration: of ``launcher`` all but framework and adapter."""

    model: ov.Model
    adapter: Any
    dataset: dict[str, Any]
    launcher: dict[str, Any] = field(default_factory=dict)


def case(build):
    CASES[build.__name__] = build
    return build


# --- parts of models --------------------------------------------------------------------------------------------------
def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def parameter(shape, name="image", kind=np.float32):
    node = ops.parameter(ov.PartialShape(list(shape)), kind, name=name)
    node.get_output_tensor(0).set_names({name})
    return node


def result(node, name):
    made = ops.result(node)
    made.get_output_tensor(0).set_names({name})
    made.set_friendly_name(f"{name}/sink_port_0")
    return made


def net(inputs, **outputs):
    return ov.Model([result(node, name) for name, node in outputs.items()], list(inputs), "net")


def scores_of(features, width, classes=CLASSES, axes=(2, 3)):
    """Softmax of a fully connected layer on the mean of some features, spread out."""
    pooled = ops.reduce_mean(features, np.array(axes), keep_dims=False)
    centered = ops.multiply(ops.subtract(pooled, ops.constant(np.float32(0.5))), ops.constant(np.float32(8)))
    return ops.softmax(ops.matmul(centered, ops.constant(random(width, classes)), False, False), 1)


def scaled(image):
    return ops.divide(image, ops.constant(np.float32(255)))


def classifier(shape=(1, 3, SIZE, SIZE), channel=1, kind=np.float32):
    image = parameter(shape, kind=kind)
    source = ops.convert(image, "f32") if kind != np.float32 else image
    axes = [axis for axis in range(1, len(shape)) if axis != channel]
    return net([image], scores=scores_of(scaled(source), shape[channel], axes=axes))


# --- parts of datasets ------------------------------------------------------------------------------------------------
def pictures(folder, size=SIZE, count=COUNT, gray=False, suffix=".png"):
    """Pictures of a color each, with noise."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:03d}{suffix}" for number in range(count)]
    for name in names:
        color = rng.integers(0, 255, 1 if gray else 3)
        noise = rng.integers(-20, 20, (size, size, len(color)))
        cv2.imwrite(str(folder / name), np.clip(color + noise, 0, 255).astype(np.uint8))
    return names


def labels(count=COUNT):
    return np.random.default_rng(2).integers(0, CLASSES, count)


def imagenet(folder, write=pictures, metrics=None, **dataset):
    names = write(folder / "images")
    lines = [f"{name} {label}" for name, label in zip(names, labels(len(names)), strict=True)]
    (folder / "labels.txt").write_text("\n".join(lines) + "\n")
    (folder / "meta.json").write_text(json.dumps({"labels": [f"class{number}" for number in range(CLASSES)]}))
    return {
        "data_source": "images",
        "annotation_conversion": {
            "converter": "imagenet", "annotation_file": "labels.txt", "dataset_meta_file": "meta.json",
        },
        "metrics": metrics or [{"type": "accuracy"}, {"name": "top2", "type": "accuracy", "top_k": 2}],
        **dataset,
    }  # fmt: skip


def classification(folder, model=None, launcher=None, adapter="classification", **dataset):
    return Case(model or classifier(), adapter, imagenet(folder, **dataset), launcher or {})


# --- classification: converters ---------------------------------------------------------------------------------------
@case
def classification_imagenet(folder):
    return classification(folder, preprocessing=[{"type": "resize", "size": SIZE}])


@case
def classification_cifar(folder):
    rng = np.random.default_rng(0)
    content = {b"labels": labels().tolist(), b"data": rng.integers(0, 255, (COUNT, 3072), dtype=np.uint8)}
    content = {key.decode(): value for key, value in content.items()}
    content["filenames"] = [f"{number}.png" for number in range(COUNT)]
    (folder / "batch.pickle").write_bytes(pickle.dumps(content))
    conversion = {
        "converter": "cifar", "data_batch_file": "batch.pickle", "convert_images": True, "converted_images_dir": "png",
    }  # fmt: skip
    (folder / "png").mkdir()
    dataset = {"data_source": "png", "annotation_conversion": conversion, "metrics": [{"type": "accuracy"}]}
    return Case(classifier((1, 3, 32, 32)), "classification", dataset)


def idx(path, header, values):
    path.write_bytes(gzip.compress(bytes(header) + values.astype(np.uint8).tobytes()))


@case
def classification_mnist(folder):
    images = np.random.default_rng(0).integers(0, 255, (COUNT, 28, 28))
    idx(folder / "labels.gz", 8, labels())
    idx(folder / "images.gz", 16, images)
    (folder / "png").mkdir()
    conversion = {
        "converter": "mnist", "labels_file": "labels.gz", "images_file": "images.gz", "convert_images": True,
        "converted_images_dir": "png",
    }  # fmt: skip
    dataset = {"data_source": "png", "annotation_conversion": conversion, "metrics": [{"type": "accuracy"}]}
    dataset["preprocessing"] = [{"type": "bgr_to_gray"}]
    return Case(classifier((-1, 1, 28, 28)), "classification", dataset)


@case
def classification_mnist_csv(folder):
    rows = np.concatenate([labels()[:, None], np.random.default_rng(0).integers(0, 255, (COUNT, 784))], axis=1)
    head = ",".join(["label", *(f"{row}x{column}" for row in range(28) for column in range(28))])
    (folder / "test.csv").write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    (folder / "png").mkdir()
    conversion = {
        "converter": "mnist_csv", "annotation_file": "test.csv", "convert_images": True, "converted_images_dir": "png",
    }  # fmt: skip
    dataset = {"data_source": "png", "annotation_conversion": conversion, "metrics": [{"type": "accuracy"}]}
    dataset["reader"] = {"type": "opencv_imread", "reading_flag": "gray"}
    return Case(classifier((1, 1, 28, 28)), "classification", dataset)


@case
def classification_folders(folder):
    for number in range(CLASSES):
        pictures(folder / "data" / f"class{number}", count=3)
    dataset = {
        "data_source": "data", "annotation_conversion": {"converter": "cls_dataset_folder", "data_dir": "data"},
        "metrics": [{"type": "accuracy"}],
    }  # fmt: skip
    return Case(classifier(), "classification", dataset)


@case
def classification_of_converted_annotation(folder):
    """The annotation is written by the first evaluator and read by the second."""
    return classification(folder, annotation="converted.pickle")


@case
def classification_antispoofing(folder):
    """Of each sample a list of labels is given, of which one is the class."""
    names, found = pictures(folder / "images"), labels().tolist()
    content = {str(number): {"path": name, "labels": [9, found[number], 9]} for number, name in enumerate(names)}
    (folder / "annotation.json").write_text(json.dumps(content))
    conversion = {
        "converter": "antispoofing", "data_dir": "images", "annotation_file": "annotation.json", "label_id": 1,
    }  # fmt: skip
    dataset = {"data_source": "images", "annotation_conversion": conversion, "metrics": [{"type": "accuracy"}]}
    return Case(classifier(), "classification", dataset)


@case
def classification_of_sounds(folder):
    """Two channels of 16-bit samples."""
    (folder / "sounds").mkdir()
    for number in range(COUNT):
        with wave.open(str(folder / "sounds" / f"{number}.wav"), "wb") as file:
            file.setparams((2, 2, 8000, 0, "NONE", ""))
            samples = np.random.default_rng(number).integers(-20_000, 20_000, (32, 2), np.int16) // (number % 3 + 1)
            file.writeframes(samples.tobytes())
    rows = [f"{number}.wav,{label}" for number, label in enumerate(labels())]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    image = parameter((1, 2, 32))
    scores = ops.softmax(
        ops.matmul(ops.reduce_max(image, np.array([2]), False), ops.constant(random(2, 4)), False, False), 1
    )
    dataset = {
        "data_source": "sounds",
        "annotation_conversion": {"converter": "sound_classification", "annotation_file": "labels.csv"},
        "reader": {"type": "wav_reader", "to_float": True},
        "metrics": [{"type": "accuracy"}, {"name": "top3", "type": "accuracy", "top_k": 3}],
    }  # fmt: skip
    return Case(net([image], scores=scores), "classification", dataset)


@case
def classification_by_the_first_of_two_outputs(folder):
    image = parameter((1, 3, SIZE, SIZE))
    model = net([image], scores=scores_of(scaled(image), 3), other=scores_of(image, 3, 2))
    return classification(folder, model, adapter={"type": "classification", "classification_output": "scores"})


# --- classification: readers, layouts, types --------------------------------------------------------------------------
GRAY = {"type": "opencv_imread", "reading_flag": "gray"}


@case
def gray_reader(folder):
    return classification(folder, classifier((1, 1, SIZE, SIZE)), reader=GRAY)


@case
def gray_reader_of_any_size(folder):
    return classification(folder, classifier((-1, 1, SIZE, SIZE)), preprocessing=[{"type": "bgr_to_gray"}])


@case
def gray_reader_for_three_dimensions(folder):
    image = parameter((1, SIZE, SIZE))
    flat = ops.reshape(scaled(image), np.array([1, 2, -1]), False)
    return classification(folder, net([image], scores=scores_of(flat, 2, axes=[2])), reader=GRAY)


@case
def channels_last(folder):
    return classification(folder, classifier((1, SIZE, SIZE, 3), channel=3))


@case
def channels_last_by_layout_key(folder):
    inputs = [{"name": "image", "type": "INPUT", "layout": "NHWC"}]
    return classification(folder, classifier((1, SIZE, SIZE, 3), channel=3), {"inputs": inputs})


@case
def width_before_height(folder):
    inputs = [{"name": "image", "type": "INPUT", "layout": "NCWH"}]
    return classification(folder, launcher={"inputs": inputs}, preprocessing=[{"type": "normalization", "std": 2.0}])


@case
def pillow_reader_rgb(folder):
    return classification(folder, reader="pillow_imread", preprocessing=[{"type": "rgb_to_bgr"}])


@case
def model_of_bytes(folder):
    return classification(folder, classifier(kind=np.uint8))


@case
def precision_key_of_bytes(folder):
    inputs = [{"name": "image", "type": "INPUT", "precision": "U8"}]
    preprocessing = [{"type": "normalization", "std": 1.7}]
    return classification(folder, launcher={"inputs": inputs}, preprocessing=preprocessing)


@case
def precision_key_of_halves(folder):
    inputs = [{"name": "image", "type": "INPUT", "precision": "FP16"}]
    preprocessing = [{"type": "normalization", "mean": 127.5, "std": 1.7}]
    return classification(folder, launcher={"inputs": inputs}, preprocessing=preprocessing)


def arrays(folder, shape=(3, SIZE, SIZE), count=COUNT):
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:03d}.npy" for number in range(count)]
    for number, name in enumerate(names):
        np.save(folder / name, 255 * np.abs(random(*shape, seed=number)).clip(0, 1))
    return names


@case
def numpy_reader(folder):
    return classification(folder, write=lambda path: arrays(path, (SIZE, SIZE, 3)), reader="numpy_reader")


@case
def numpy_reader_of_vectors(folder):
    image = parameter((1, 8))
    model = net([image], scores=ops.softmax(ops.matmul(image, ops.constant(random(8, CLASSES)), False, False), 1))
    return classification(folder, model, write=lambda path: arrays(path, (8,)), reader="numpy_reader")


def dictionaries(folder, shapes, count=COUNT):
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:03d}.npy" for number in range(count)]
    for number, name in enumerate(names):
        content = {key: np.abs(random(*shape, seed=number)).clip(0, 1) for key, shape in shapes.items()}
        np.save(folder / name, np.array(content, dtype=object))
    return names


@case
def dictionary_with_batch_dimension(folder):
    image = parameter((1, 8))
    model = net([image], scores=ops.softmax(ops.matmul(image, ops.constant(random(8, CLASSES)), False, False), 1))
    write = lambda path: dictionaries(path, {"image": (1, 8)})  # noqa: E731
    return classification(folder, model, write=write, reader="numpy_dict_reader")


@case
def dictionary_with_batch_dimension_of_any_size(folder):
    image = parameter((-1, 3, -1))
    model = net([image], scores=scores_of(image, 3, axes=[2]))
    write = lambda path: dictionaries(path, {"image": (1, 3, 20)})  # noqa: E731
    inputs = [{"name": "image", "type": "INPUT", "layout": "NCH"}]
    return classification(folder, model, {"inputs": inputs}, write=write, reader="numpy_dict_reader")


# --- several inputs ---------------------------------------------------------------------------------------------------
def two_inputs(second, second_name="other"):
    """Scores of an image's channels plus those of another input, which is flattened."""
    image = parameter((1, 3, SIZE, SIZE))
    pooled = ops.reduce_mean(scaled(image), np.array([2, 3]), keep_dims=False)
    other = parameter(second, second_name)
    flat = ops.reshape(other, np.array([1, -1]), False)
    width = 3 + int(np.prod(second))
    both = ops.concat([pooled, ops.multiply(flat, ops.constant(np.float32(0.05)))], 1)
    return net(
        [image, other], scores=ops.softmax(ops.matmul(both, ops.constant(random(width, CLASSES)), False, False), 1)
    )


@case
def two_inputs_from_a_dictionary(folder):
    inputs = [
        {"name": "image", "type": "INPUT", "value": ".*first", "layout": "NHWC"},
        {"name": "other", "type": "INPUT", "value": ".*second"},
    ]
    write = lambda path: dictionaries(path, {"second": (1, 5), "first": (3, SIZE, SIZE)})  # noqa: E731
    return classification(folder, two_inputs((1, 5)), {"inputs": inputs}, write=write, reader="numpy_dict_reader")


@case
def output_that_the_adapter_names_and_does_not_read(folder):
    image = parameter((1, 3, SIZE, SIZE))
    scores = scores_of(scaled(image), 3)
    model = net([image], scores=scores, turned=ops.subtract(ops.constant(np.float32(1)), scores))
    return classification(folder, model, adapter={"type": "classification", "classification_output": "turned"})


@case
def constant_input(folder):
    inputs = [{"name": "other", "type": "CONST_INPUT", "value": [[3, 1, 4, 1, 5]]}]
    return classification(folder, two_inputs((1, 5)), {"inputs": inputs})


@case
def constant_input_with_shape(folder):
    inputs = [{"name": "other", "type": "CONST_INPUT", "value": 7, "shape": [1, 5], "precision": "FP32"}]
    return classification(folder, two_inputs((1, 5)), {"inputs": inputs})


@case
def sizes_of_images(folder):
    inputs = [{"name": "other", "type": "IMAGE_INFO"}, {"name": "image", "type": "INPUT"}]
    return classification(
        folder, two_inputs((1, 3)), {"inputs": inputs}, write=lambda path: pictures(path, size=20),
        preprocessing=[{"type": "resize", "size": SIZE}],
    )  # fmt: skip


@case
def original_sizes_of_images(folder):
    inputs = [{"name": "other", "type": "ORIG_IMAGE_INFO"}, {"name": "image", "type": "INPUT"}]
    return classification(
        folder, two_inputs((1, 2)), {"inputs": inputs}, write=lambda path: pictures(path, size=20),
        preprocessing=[{"type": "resize", "size": SIZE}],
    )  # fmt: skip


@case
def scale_factors(folder):
    inputs = [{"name": "other", "type": "SCALE_FACTOR"}, {"name": "image", "type": "INPUT"}]
    return classification(
        folder, two_inputs((1, 2)), {"inputs": inputs}, write=lambda path: pictures(path, size=20),
        preprocessing=[{"type": "resize", "size": SIZE}],
    )  # fmt: skip


def with_state():
    """A classifier whose second output is an input of the next step."""
    image, state = parameter((1, 6), "image"), parameter((1, 6), "state")
    after = ops.add(ops.multiply(state, ops.constant(np.float32(0.5))), image)
    scores = ops.softmax(ops.matmul(after, ops.constant(random(6, CLASSES)), False, False), 1)
    return net([image, state], scores=scores, after=after)


STATE = {"inputs": [{"name": "state", "type": "LSTM_INPUT", "value": "after"}, {"name": "image", "type": "INPUT"}]}


@case
def states_of_one_step(folder):
    return classification(folder, with_state(), STATE, write=lambda path: arrays(path, (6,)), reader="numpy_reader")


@case
def states_of_several_steps(folder):
    """Each sample is five steps; their scores are those of the last, or whatever the adapter makes of them."""
    reader = {"type": "numpy_reader", "multi_infer": True}
    return classification(
        folder, with_state(), STATE, {"type": "classification", "multi_output": False},
        write=lambda path: arrays(path, (5, 6)), reader=reader,
    )  # fmt: skip


@case
def several_inferences_of_a_sample(folder):
    image = parameter((1, 6))
    model = net([image], scores=ops.softmax(ops.matmul(image, ops.constant(random(6, CLASSES)), False, False), 1))
    reader = {"type": "numpy_reader", "multi_infer": True}
    return classification(folder, model, write=lambda path: arrays(path, (5, 6)), reader=reader)


@case
def states_inside_the_model(folder):
    frame = parameter((1, 6))
    info = VariableInfo()
    info.data_shape, info.data_type, info.variable_id = ov.PartialShape([1, 6]), ov.Type.f32, "state"
    variable = Variable(info)
    try:
        before = ops.read_value(ops.constant(np.zeros((1, 6), np.float32)), variable)
    except RuntimeError:
        pytest.skip("OpenVINO 2023.3 builds no model with states in Python")
    after = ops.add(frame, before)
    scores = ops.softmax(ops.matmul(after, ops.constant(random(6, CLASSES)), False, False), 1)
    model = ov.Model([result(scores, "scores")], [ops.assign(after, variable)], [frame], "net")
    launcher = {"reset_memory_state": True}
    return classification(folder, model, launcher, write=lambda path: arrays(path, (6,)), reader="numpy_reader")


# --- batches, parts of data, metrics ----------------------------------------------------------------------------------
@case
def batch_of_four(folder):
    launcher = {"batch": 4, "inputs": [{"name": "image", "type": "INPUT", "layout": "NCHW"}]}
    return classification(folder, launcher=launcher)


@case
def batch_of_eight_for_a_dynamic_model(folder):
    return classification(folder, classifier((-1, 3, SIZE, SIZE)), launcher={"batch": 8})


@case
def batch_in_the_model(folder):
    return classification(folder, classifier((4, 3, SIZE, SIZE)))


@case
def batch_of_eight_in_the_dataset(folder):
    return classification(folder, classifier((-1, 3, SIZE, SIZE)), batch=8)


@case
def subsample_of_five(folder):
    return classification(folder, subsample_size=5, subsample_seed=3)


@case
def subsample_of_a_share_in_order(folder):
    return classification(folder, subsample_size="50%", shuffle=False)


@case
def values_of_each_class(folder):
    metrics = [{"type": "accuracy_per_class", "label_map": "label_map"}, {"type": "classification_f1-score"}]
    return classification(folder, metrics=metrics)


@case
def area_under_the_curve(folder):
    return classification(folder, metrics=[{"type": "roc_auc_score"}])


@case
def presenter_of_vectors(folder):
    metrics = [{"type": "accuracy_per_class", "label_map": "label_map", "presenter": "print_vector"}]
    return classification(folder, metrics=metrics)


# --- clips ------------------------------------------------------------------------------------------------------------
def clips(folder, frames=4):
    database = {}
    for number in range(COUNT):
        label = f"class{number % CLASSES}"
        place = folder / "videos" / label / f"video{number}"
        place.mkdir(parents=True)
        for frame in range(frames + 2):
            color = np.random.default_rng(10 * number + frame).integers(0, 255, 3)
            cv2.imwrite(str(place / f"image_{frame + 1:05d}.jpg"), np.full((SIZE, SIZE, 3), color, np.uint8))
        (place / "n_frames").write_text(f"{frames + 2}\n")
        database[f"video{number}"] = {"subset": "validation", "annotations": {"label": label}}
    names = [f"class{number}" for number in range(CLASSES)]
    (folder / "annotation.json").write_text(json.dumps({"labels": names, "database": database}))
    return {
        "data_source": "videos",
        "annotation_conversion": {
            "converter": "clip_action_recognition", "annotation_file": "annotation.json", "data_dir": "videos",
            "clip_duration": frames, "temporal_stride": 1, "clips_per_video": 2,
        },
        "metrics": [{"type": "clip_accuracy"}],
    }  # fmt: skip


@case
def clips_with_channels_first(folder):
    inputs = [{"name": "image", "type": "INPUT", "layout": "NCDHW"}]
    model = classifier((1, 3, 4, SIZE, SIZE))
    return Case(model, "classification", clips(folder), {"inputs": inputs})


@case
def clips_with_frames_first(folder):
    inputs = [{"name": "image", "type": "INPUT", "layout": "NDHWC"}]
    model = classifier((-1, 4, SIZE, SIZE, 3), channel=4)
    return Case(model, "classification", clips(folder), {"inputs": inputs})


# --- detection --------------------------------------------------------------------------------------------------------
BOXES = np.array([[2, 2, 9, 9], [6, 4, 14, 12], [1, 8, 8, 15]])


def detections_of(image, classes=3):
    """Rows of (image, label, score, box) of fixed boxes, with scores that depend on the image."""
    scores = scores_of(scaled(image), 3, classes)
    column = ops.reshape(scores, np.array([classes, 1]), False)
    fixed = np.concatenate([np.zeros((classes, 1)), np.arange(1, classes + 1)[:, None]], 1).astype(np.float32)
    boxes = (BOXES[:classes] / SIZE).astype(np.float32)
    rows = ops.concat([ops.constant(fixed), column, ops.constant(boxes)], 1)
    return ops.reshape(rows, np.array([1, 1, classes, 7]), False)


def voc(folder):
    names = pictures(folder / "JPEGImages")
    (folder / "xml").mkdir()
    for number, name in enumerate(names):
        objects = ""
        for label, box in ((VOC[(number + each) % 3], BOXES[(number + each) % 3] + number % 2) for each in range(2)):
            corners = "".join(
                f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
            )
            objects += f"<object><name>{label}</name><difficult>0</difficult><bndbox>{corners}</bndbox></object>"
        text = f"<annotation><filename>{name}</filename>{objects}</annotation>"
        (folder / "xml" / f"{name.split('.')[0]}.xml").write_text(text)
    (folder / "sets").mkdir()
    (folder / "sets" / "test.txt").write_text("\n".join(name.split(".")[0] for name in names) + "\n")
    return {
        "data_source": "JPEGImages",
        "annotation_conversion": {
            "converter": "voc_detection", "imageset_file": "sets/test.txt", "annotations_dir": "xml",
            "images_dir": "JPEGImages",
        },
        "postprocessing": [{"type": "resize_prediction_boxes"}],
        "metrics": [
            {"type": "map", "integral": "11point", "ignore_difficult": True},
            {"name": "each", "type": "map", "integral": "max", "presenter": "print_vector"},
            {"type": "recall"},
        ],
    }  # fmt: skip


@case
def detection_voc_by_ssd(folder):
    image = parameter((1, 3, SIZE, SIZE))
    return Case(net([image], detections=detections_of(image)), "ssd", voc(folder))


@case
def detection_coco_by_ssd(folder):
    names = pictures(folder / "images")
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": each + 1, "name": VOC[each]} for each in range(3)],
    }
    for number, name in enumerate(names):
        content["images"].append({"id": number, "file_name": name, "height": SIZE, "width": SIZE})
        for each in range(2):
            left, top, right, bottom = (BOXES[(number + each) % 3]).tolist()
            box = [left, top, right - left, bottom - top]
            entry = {"id": 2 * number + each, "image_id": number, "category_id": (number + each) % 3 + 1, "bbox": box}
            content["annotations"].append({**entry, "iscrowd": 0, "segmentation": [], "area": box[2] * box[3]})
    (folder / "coco.json").write_text(json.dumps(content))
    image = parameter((1, 3, SIZE, SIZE))
    dataset = {
        "data_source": "images",
        "annotation_conversion": {
            "converter": "mscoco_detection", "annotation_file": "coco.json", "has_background": True,
        },
        "postprocessing": [{"type": "resize_prediction_boxes"}],
        "metrics": [{"type": "coco_precision"}, {"type": "coco_recall", "max_detections": 2}],
    }  # fmt: skip
    return Case(net([image], detections=detections_of(image)), "ssd", dataset)


@case
def detection_coco_by_overlap(folder):
    """The checker's metrics take the overlap out of their configuration when they have read it."""
    made = detection_coco_by_ssd(folder)
    content = json.loads((folder / "coco.json").read_text())
    for number, each in enumerate(content["annotations"]):
        each["bbox"][0] += 1 + number % 3  # pixels beside what is detected
    (folder / "coco.json").write_text(json.dumps(content))
    made.dataset["metrics"] = [
        {"name": f"{kind} at {overlap}", "type": kind, "threshold": overlap}
        for kind in ("coco_precision", "coco_recall")
        for overlap in (0.2, 0.5, [0.3, 0.6])
    ]
    return made


@case
def detection_by_yolo_v2(folder):
    cells, anchors, classes = 4, 2, 3
    image = parameter((1, 3, SIZE, SIZE))
    weights = random(anchors * (classes + 5), 3, 4, 4)
    raw = ops.convolution(scaled(image), ops.constant(weights), [4, 4], [0, 0], [0, 0], [1, 1])
    adapter = {
        "type": "yolo_v2", "classes": classes, "num": anchors, "cells": cells, "anchors": "1.0,1.5,2.0,1.0",
        "raw_output": True,
    }  # fmt: skip
    dataset = voc(folder)
    dataset["annotation_conversion"]["has_background"] = False
    dataset["postprocessing"] = [{"type": "resize_prediction_boxes"}, {"type": "nms", "overlap": 0.5}]
    return Case(net([image], raw=raw), adapter, dataset)


@case
def detection_by_tf_names(folder):
    image = parameter((1, 3, SIZE, SIZE))
    scores = scores_of(scaled(image), 3, 3)
    boxes = np.stack([BOXES[:, 1], BOXES[:, 0], BOXES[:, 3], BOXES[:, 2]], 1)[None] / SIZE
    outputs = {
        "found": ops.constant(np.array([3], np.float32)), "kinds": ops.constant(np.array([[1, 2, 3]], np.float32)),
        "scores": scores, "boxes": ops.constant(boxes.astype(np.float32)),
    }  # fmt: skip
    adapter = {
        "type": "tf_object_detection", "num_detections_out": "found", "classes_out": "kinds", "scores_out": "scores",
        "boxes_out": "boxes",
    }  # fmt: skip
    return Case(net([image], **outputs), adapter, voc(folder))


@case
def detection_of_two_stages(folder):
    """The adapter wants the scale of the picture that the preprocessing keeps, and changes its outputs in place."""
    image = parameter((1, 3, SIZE, SIZE))
    rows = ops.reshape(detections_of(image), np.array([3, 7]), False)
    part = lambda first, last: ops.slice(rows, *(np.array([each]) for each in (first, last, 1, 1)))  # noqa: E731
    labels_, scores = (ops.reshape(part(each, each + 1), np.array([-1]), False) for each in (1, 2))
    boxes = ops.multiply(part(3, 7), ops.constant(np.float32(SIZE)))
    adapter = {"type": "faster_rcnn_onnx", "boxes_out": "boxes", "labels_out": "labels", "scores_out": "scores"}
    dataset = voc(folder)
    dataset["preprocessing"] = [{"type": "resize", "size": SIZE}]
    del dataset["postprocessing"]
    return Case(net([image], boxes=boxes, labels=labels_, scores=scores), adapter, dataset)


@case
def detection_of_yolos_own_labels(folder):
    """Boxes by center and size, as shares of the image; the names of the images are those of the annotations."""
    names = pictures(folder / "images", suffix=".jpg")
    (folder / "labels").mkdir()
    for number, name in enumerate(names):
        left, top, right, bottom = BOXES[number % 3] / SIZE
        line = f"{number % 3 + 1} {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}\n"
        (folder / "labels" / name.replace(".jpg", ".txt")).write_text(line)
    image = parameter((1, 3, SIZE, SIZE))
    dataset = {
        "data_source": "images",
        "annotation_conversion": {"converter": "yolo_labeling", "annotations_dir": "labels", "images_dir": "images"},
        "metrics": [{"type": "map", "ignore_difficult": True}, {"type": "recall"}],
    }  # fmt: skip
    return Case(net([image], boxes=detections_of(image)), "ssd", dataset)


# --- pictures out of pictures -----------------------------------------------------------------------------------------
def pixels_of(image, channels, seed=0):
    weights = ops.constant(random(channels, 3, 3, 3, seed=seed))
    return ops.convolution(scaled(image), weights, [1, 1], [1, 1], [1, 1], [1, 1])


def masks(folder):
    names = pictures(folder / "images", suffix=".jpg")
    (folder / "masks").mkdir()
    for number, name in enumerate(names):
        mask = np.random.default_rng(number).integers(0, 3, (SIZE, SIZE)).astype(np.uint8)
        cv2.imwrite(str(folder / "masks" / name.replace(".jpg", ".png")), mask)
    (folder / "meta.json").write_text(json.dumps({"label_map": {"0": "back", "1": "disk", "2": "square"}}))
    conversion = {
        "converter": "common_semantic_segmentation", "images_dir": "images", "masks_dir": "masks",
        "image_postfix": ".jpg", "mask_postfix": ".png", "dataset_meta_file": "meta.json",
    }  # fmt: skip
    return {"data_source": "images", "segmentation_masks_source": "masks", "annotation_conversion": conversion}


@case
def segmentation(folder):
    image = parameter((1, 3, SIZE, SIZE))
    kinds = ("mean_iou", "mean_accuracy", "segmentation_accuracy", "frequency_weighted_accuracy")
    metrics = [{"type": kind, "use_argmax": True} for kind in kinds]
    return Case(net([image], classes=pixels_of(image, 3)), "segmentation", {**masks(folder), "metrics": metrics})


@case
def segmentation_by_a_postprocessor(folder):
    image = parameter((-1, 3, SIZE, SIZE))
    metrics = [{"type": "mean_iou", "use_argmax": True, "presenter": "print_vector"}]
    dataset = {**masks(folder), "metrics": metrics, "batch": 4}
    dataset["postprocessing"] = [{"type": "resize_segmentation_mask", "size": SIZE // 2, "apply_to": "annotation"}]
    dataset["postprocessing"].append({"type": "resize_segmentation_mask", "size": SIZE // 2, "apply_to": "prediction"})
    return Case(net([image], classes=pixels_of(image, 3)), "segmentation", dataset)


@case
def salient_objects(folder):
    names = pictures(folder / "images", suffix=".jpg")
    (folder / "masks").mkdir()
    for number, name in enumerate(names):
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[2:8, number % 6 : number % 6 + 7] = 255
        cv2.imwrite(str(folder / "masks" / name.replace(".jpg", ".png")), mask)
    image = parameter((1, 3, SIZE, SIZE))
    conversion = {"converter": "salient_object_detection", "images_dir": "images", "masks_dir": "masks"}
    dataset = {
        "data_source": "images", "segmentation_masks_source": "masks", "annotation_conversion": conversion,
        "postprocessing": [{"type": "normalize_salience_map"}],
        "metrics": [{"type": "salience_mae"}, {"type": "salience_e-measure"}],
    }  # fmt: skip
    return Case(net([image], salience=pixels_of(image, 1)), "salient_object_detection", dataset)


def restored(folder, metrics, model=None, **dataset):
    for kind in ("in", "out"):
        for number in range(COUNT):
            noise = np.random.default_rng(2 * number + (kind == "in")).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
            (folder / "images").mkdir(exist_ok=True)
            cv2.imwrite(str(folder / "images" / f"{number}_{kind}.png"), noise)
    image = parameter((1, 3, SIZE, SIZE))
    conversion = {"converter": "image_processing", "data_dir": "images"}
    entry = {"data_source": "images", "annotation_conversion": conversion, "metrics": metrics, **dataset}
    return Case(model or net([image], restored=pixels_of(image, 3)), "image_processing", entry)


@case
def image_processing(folder):
    return restored(folder, [{"type": "psnr"}, {"type": "ssim"}, {"type": "mse"}])


@case
def image_processing_of_a_dynamic_batch(folder):
    image = parameter((-1, 3, SIZE, SIZE))
    model = net([image], restored=pixels_of(image, 3))
    return restored(folder, [{"type": "mae"}, {"type": "rmse", "max_error": True}], model, batch=8)


@case
def super_resolution(folder):
    small, large = folder / "small", folder / "large"
    for place, size in ((small, SIZE), (large, 2 * SIZE)):
        pictures(place, size=size)
    image = parameter((1, 3, SIZE, SIZE))
    channels = pixels_of(image, 12)
    restored_ = ops.depth_to_space(channels, "blocks_first", 2)
    conversion = {
        "converter": "super_resolution", "lr_dir": "small", "hr_dir": "large", "ignore_suffixes": True,
        "annotation_loader": "pillow_rgb",
    }  # fmt: skip
    dataset = {
        "data_source": "small", "additional_data_source": "large", "annotation_conversion": conversion,
        "preprocessing": [{"type": "bgr_to_rgb"}],
        "metrics": [{"type": "psnr", "scale_border": 2}, {"type": "ssim"}],
    }  # fmt: skip
    return Case(net([image], restored=restored_), "super_resolution", dataset)


# --- points, letters --------------------------------------------------------------------------------------------------
@case
def landmarks(folder):
    """Five points of a face, some of which are where the image is bright."""
    names = pictures(folder / "images", suffix=".jpg")
    columns = [f"P{number}{axis}" for number in range(1, 6) for axis in "XY"]
    points = np.random.default_rng(5).uniform(1, SIZE - 1, (len(names), 10))
    rows = [",".join([name.removesuffix(".jpg"), *map(str, row)]) for name, row in zip(names, points, strict=True)]
    (folder / "landmarks.csv").write_text("\n".join([",".join(["NAME_ID", *columns]), *rows]) + "\n")
    image = parameter((1, 3, SIZE, SIZE))
    pooled = ops.reduce_mean(scaled(image), np.array([2, 3]), keep_dims=False)
    found = ops.sigmoid(ops.matmul(pooled, ops.constant(random(3, 10)), False, False))
    dataset = {
        "data_source": "images",
        "annotation_conversion": {"converter": "vgg_face", "landmarks_csv_file": "landmarks.csv"},
        "postprocessing": [{"type": "normalize_landmarks_points"}],
        "metrics": [{"type": "normed_error"}, {"type": "per_point_normed_error"}],
    }  # fmt: skip
    return Case(net([image], points=found), "landmarks_regression", dataset)


def lines_of_text(folder, adapter):
    """Scores of letters along the width of an image (width, 1, letters), which an adapter makes words of."""
    names = pictures(folder / "images")
    letters = "abc"
    (folder / "alphabet.txt").write_text("\n".join(letters) + "\n")
    words = ["".join(letters[(number + each) % 3] for each in range(number % 3 + 1)) for number in range(len(names))]
    (folder / "lines.txt").write_text("".join(f"{name}, {word}\n" for name, word in zip(names, words, strict=True)))
    image = parameter((1, 3, SIZE, SIZE))
    columns = ops.transpose(ops.reduce_mean(scaled(image), np.array([2]), keep_dims=False), np.array([2, 0, 1]))
    spread = ops.multiply(ops.subtract(columns, ops.constant(np.float32(0.5))), ops.constant(np.float32(8)))
    scores = ops.softmax(ops.matmul(spread, ops.constant(random(3, len(letters) + 1)), False, False), 2)
    dataset = {
        "data_source": "images",
        "annotation_conversion": {
            "converter": "unicode_character_recognition", "annotation_file": "lines.txt",
            "decoding_char_file": "alphabet.txt",
        },
        "metrics": [{"type": "character_recognition_accuracy"}, {"type": "label_level_recognition_accuracy"}],
    }  # fmt: skip
    return Case(net([image], letters=scores), adapter, dataset)


@case
def lines_of_text_by_the_best_letters(folder):
    return lines_of_text(folder, {"type": "ctc_greedy_search_decoder", "blank_label": 0})


@case
def lines_of_text_by_a_beam_search(folder):
    return lines_of_text(folder, {"type": "beam_search_decoder", "blank_label": 0, "softmaxed_probabilities": True})


@case
def lines_of_text_without_an_alphabet(folder):
    """The converter takes the rest of a line; letters are those of the adapter's own vocabulary."""
    made = lines_of_text(folder, "ppocr")
    (folder / "words.txt").write_text((folder / "lines.txt").read_text().replace(",", ""))
    conversion = {"converter": "common_text_recognition", "annotation_file": "words.txt"}
    adapter = {"type": "ppocr", "vocabulary_file": "alphabet.txt"}
    return Case(made.model, adapter, {**made.dataset, "annotation_conversion": conversion})


# --- regression -------------------------------------------------------------------------------------------------------
def features(folder, outputs):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(COUNT):
        np.save(folder / f"{number}_in.npy", np.array({"features": random(1, 6, seed=number)}, dtype=object))
        targets = {key: random(*shape, seed=100 + number) for key, shape in outputs.items()}
        np.save(folder / f"{number}_out.npy", np.array(targets, dtype=object))


def regressor(*widths, batch=1):
    values = parameter((batch, 6), "features")
    names = ("mel", "energy")[: len(widths)]
    made = {
        name: ops.matmul(values, ops.constant(random(6, width)), False, False)
        for name, width in zip(names, widths, strict=True)
    }
    return net([values], **made)


def multi_regression(folder, model, outputs, metrics, **dataset):
    features(folder / "data", outputs)
    conversion = {"converter": "multi_feature_regression", "data_dir": "data"}
    entry = {
        "data_source": "data", "reader": "numpy_dict_reader", "annotation_conversion": conversion, "metrics": metrics,
        **dataset,
    }  # fmt: skip
    return Case(model, {"type": "multi_output_regression", "outputs": list(outputs)}, entry)


@case
def regression_of_a_dictionary(folder):
    metrics = [{"type": "mae"}, {"type": "mse"}, {"name": "worst", "type": "mae", "max_error": True}]
    return multi_regression(folder, regressor(5), {"mel": (5,)}, metrics)


@case
def regression_of_several_outputs(folder):
    metrics = [{"type": "mae"}, {"type": "mse"}]
    return multi_regression(folder, regressor(5, 3), {"mel": (5,), "energy": (3,)}, metrics)


@case
def regression_of_files(folder):
    for place, width in (("in", 6), ("out", 3)):
        (folder / place).mkdir()
        for number in range(COUNT):
            np.savetxt(folder / place / f"{number}.txt", random(1, width, seed=number + width))
    conversion = {"converter": "feature_regression", "input_dir": "in", "reference_dir": "out"}
    dataset = {
        "data_source": "in", "additional_data_source": "out", "reader": "numpy_txt_reader",
        "annotation_conversion": conversion, "metrics": [{"type": "mae"}, {"type": "mse"}],
    }  # fmt: skip
    return Case(regressor(3), "regression", dataset)


# --- text -------------------------------------------------------------------------------------------------------------
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "was", "not", "the", "who", "made", "it", "ann")


def embedded_words(names, length, width=8):
    """Inputs of words by name, and the sum of their vectors and places (1, length, width)."""
    ids = [parameter((1, length), name, np.int64) for name in names]
    table = ops.constant(random(len(WORDS), width))
    vectors = ops.gather(table, ids[0], ops.constant(np.int64(0)))
    vectors = ops.add(vectors, ops.constant(0.3 * random(1, length, width, seed=1)))
    for other in ids[1:]:
        vectors = ops.add(vectors, ops.unsqueeze(ops.convert(other, "f32"), np.array([2])))
    return ids, vectors


@case
def text_classification(folder):
    (folder / "vocabulary.txt").write_text("\n".join(WORDS) + "\n")
    sentences = ["the film was good", "the film was bad", "not good", "not bad", "ann made it", "it was the film"]
    rows = [f"{sentence}\t{number % 2}" for number, sentence in enumerate(sentences)]
    (folder / "dev.tsv").write_text("\n".join(["sentence\tlabel", *rows]) + "\n")
    ids, vectors = embedded_words(("input_ids", "input_mask"), 10)
    pooled = ops.reduce_mean(vectors, np.array([1]), keep_dims=False)
    model = net(ids, logits=ops.matmul(pooled, ops.constant(random(8, 2)), False, False))
    inputs = [{"name": name, "type": "INPUT", "value": f"{name}*"} for name in ("input_ids", "input_mask")]
    dataset = {
        "annotation_conversion": {
            "converter": "sst-2", "annotation_file": "dev.tsv", "vocab_file": "vocabulary.txt", "max_seq_length": 10,
        },
        "reader": {"type": "annotation_features_extractor", "features": ["input_ids", "input_mask"]},
        "metrics": [{"type": "accuracy"}],
    }  # fmt: skip
    return Case(model, {"type": "bert_classification", "num_classes": 2}, dataset, {"inputs": inputs})


@case
def names_in_text(folder):
    (folder / "vocabulary.txt").write_text("\n".join(WORDS) + "\n")
    sentences = [["ann", "made", "the", "film"], ["it", "was", "not", "bad"], ["the", "film", "was", "ann"]]
    kinds = ("O", "B-PER", "I-PER")
    lines = [
        "\n".join(f"{word} {kinds[(number + each) % 3]}" for each, word in enumerate(sentence)) + "\n"
        for number, sentence in enumerate(sentences)
    ]
    (folder / "test.txt").write_text("\n".join(lines) + "\n")
    (folder / "labels.json").write_text(json.dumps({"labels": list(kinds)}))
    ids, vectors = embedded_words(("input_ids", "input_mask"), 8)
    model = net(ids, kinds=ops.matmul(vectors, ops.constant(random(8, 3)), False, False))
    inputs = [{"name": name, "type": "INPUT", "value": f"{name}*"} for name in ("input_ids", "input_mask")]
    dataset = {
        "annotation_conversion": {
            "converter": "conll_ner", "annotation_file": "test.txt", "vocab_file": "vocabulary.txt", "max_len": 8,
            "labels_file": "labels.json",
        },
        "reader": {"type": "annotation_features_extractor", "features": ["input_ids", "input_mask"]},
        "metrics": [{"type": "ner_accuracy"}, {"type": "ner_f_score"}],
    }  # fmt: skip
    return Case(model, {"type": "bert_ner", "classification_out": "kinds"}, dataset, {"inputs": inputs})


@case
def answers_to_questions(folder):
    """Each text is several samples, of which overlapping parts are fed: a metric is of all of them together."""
    (folder / "vocabulary.txt").write_text("\n".join(WORDS) + "\n")
    context = "the film was good not bad ann made it"
    asked = [("who made it", "ann", 26), ("the film was", "good", 13), ("who was not", "bad", 22)]
    questions = [
        {"id": str(number), "question": question, "answers": [{"text": answer, "answer_start": start}]}
        for number, (question, answer, start) in enumerate(asked)
    ]
    content = {"data": [{"title": "film", "paragraphs": [{"context": context, "qas": questions}]}]}
    (folder / "dev.json").write_text(json.dumps(content))
    names = ("input_ids", "input_mask", "segment_ids")
    ids, vectors = embedded_words(names, 12)
    ends = ops.matmul(vectors, ops.constant(random(8, 2, seed=3)), False, False)
    part = lambda each: ops.gather(ends, ops.constant(np.int64(each)), ops.constant(np.int64(2)))  # noqa: E731
    inputs = [{"name": name, "type": "INPUT", "value": f"{name}*"} for name in names]
    dataset = {
        "annotation_conversion": {
            "converter": "squad", "testing_file": "dev.json", "vocab_file": "vocabulary.txt", "max_seq_length": 12,
            "max_query_length": 4, "doc_stride": 3,
        },
        "reader": {"type": "annotation_features_extractor", "features": list(names)},
        "postprocessing": [{"type": "extract_answers_tokens", "max_answer": 3, "n_best_size": 5}],
        "metrics": [{"type": "f1"}, {"type": "exact_match"}],
    }  # fmt: skip
    adapter = {
        "type": "bert_question_answering", "start_token_logits_output": "start", "end_token_logits_output": "end",
    }  # fmt: skip
    return Case(net(ids, start=part(0), end=part(1)), adapter, dataset, {"inputs": inputs})


@case
def translation_by_vocabulary(folder):
    """A model that translates word by word; some of the references are other words."""
    words, length = [f"w{number}" for number in range(6)], 8
    rng, data = np.random.default_rng(3), folder / "data"
    data.mkdir()
    lines = rng.integers(1, len(words), (COUNT, length))
    meant = np.where(rng.random(lines.shape) < 0.7, (lines + 1) % len(words), 1)
    for name, numbers in (("source.txt", lines), ("reference.txt", meant)):
        text = "".join(" ".join(words[number] for number in line) + "\n" for line in numbers)
        (data / name).write_text(text)
    (data / "vocabulary.txt").write_text("\n".join(words) + "\n")
    tokens = parameter((1, length), name="tokens", kind=np.int32)
    table = np.roll(np.eye(len(words), dtype=np.float32), 1, axis=1) + 0.1 * random(len(words), len(words))
    found = ops.gather(ops.constant(table), tokens, ops.constant(0))
    mixed = ops.matmul(found, ops.constant(np.eye(len(words), dtype=np.float32)), False, False)
    best = ops.topk(mixed, ops.constant(1), 2, "max", "value", "i32").output(1)
    vocabulary = str(data / "vocabulary.txt")
    dataset = {
        "data_source": "data",
        "annotation_conversion": {
            "converter": "wmt", "input_file": "data/source.txt", "reference_file": "data/reference.txt",
        },
        "reader": {"type": "annotation_features_extractor", "features": ["source"]},
        "preprocessing": [
            {"type": "decode_by_vocabulary", "vocabulary_file": vocabulary, "unk_index": 0},
            {"type": "pad_with_eos", "eos_index": 0, "sequence_len": length},
        ],
        "metrics": [{"type": "bleu", "max_order": 2}],
    }  # fmt: skip
    adapter = {"type": "nmt", "vocabulary_file": vocabulary, "eos_index": 0}
    return Case(net([tokens], translation=ops.transpose(best, ops.constant([1, 0, 2]))), adapter, dataset)
