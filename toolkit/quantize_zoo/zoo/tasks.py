"""What task a model seems to have, by its inputs and outputs, and how the accuracy checker scores that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import openvino as ov

_IMAGE_CHANNELS = (1, 3)
_BOXES = 7  # values of a detection: image, label, score, corners
_LETTERS = 10  # a recognizer tells at least so many apart


@dataclass(frozen=True)
class Task:
    """What is written into a YAML to start from.

    ``annotation`` are parameters of the converter, ``dataset`` more keys of the dataset. ``tokens`` are read from
    annotations, by a tokenizer.
    """

    looks: str
    adapter: str
    adapter_note: str
    converter: str
    annotation: tuple[str, ...]
    metric: str
    metric_name: str
    tokens: bool = False
    dataset: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageInput:
    """An input that takes an image; height and width are None where they are dynamic."""

    layout: str
    channels: int
    height: int | None
    width: int | None


_CLASSIFICATION = Task(
    "It looks like a classifier: one output of shape (batch, classes).",
    "classification",
    "",
    "imagenet",
    ("annotation_file: annotation.txt   # TODO: a line for each sample: file name, label",),
    "{name: accuracy@top1, type: accuracy, top_k: 1}",
    "accuracy@top1",
)
_TEXT = Task(
    "It looks like a text classifier: integer inputs, one output of shape (batch, classes).",
    "{type: bert_classification, num_classes: {NUMBER}}",
    "",
    "sst-2",
    (
        "annotation_file: annotation.tsv   # TODO: a line for each sample: sentence, tab, label; the first is a header",
        "vocab_file: vocabulary.txt        # TODO: a token a line",
        "max_seq_length: {LENGTH}",
    ),
    "{name: accuracy, type: accuracy}",
    "accuracy",
    tokens=True,
)
_TEXT_OF_ANY_LENGTH = Task(
    "It looks like a text classifier: integer inputs of any length, one output of shape (batch, classes).",
    _TEXT.adapter,
    "",
    "sst-2",
    (*_TEXT.annotation, "enable_padding: false             # sentences keep their length"),
    _TEXT.metric,
    "accuracy",
    tokens=True,
)
_RECOGNITION = Task(
    "It looks like a text recognizer: one output of shape (steps, batch, letters).",
    "{type: ctc_greedy_search_decoder, blank_label: 0, vocabulary_file: vocabulary.txt}",
    "# TODO: a letter a line, the blank too",
    "common_text_recognition",
    ("annotation_file: annotation.txt   # TODO: a line for each sample: file name, text",),
    "{name: character_recognition_accuracy, type: character_recognition_accuracy}",
    "character_recognition_accuracy",
)
_DETECTION = Task(
    "It looks like a detector: {count} outputs.",
    "ssd",
    "# TODO: the adapter that fits these outputs: {outputs}",
    "common_object_detection",
    (
        "annotation_dir: boxes             # TODO: a text file for each sample: label and corners a line",
        "labels_file: labels.txt           # TODO: a label a line",
    ),
    "{name: mAP, type: map}",
    "mAP",
)
_SEGMENTATION = Task(
    "It looks like segmentation: one output of shape (batch, classes, height, width).",
    "segmentation",
    "",
    "common_semantic_segmentation",
    (
        "images_dir: data                  # TODO",
        "masks_dir: masks                  # TODO: images whose values are classes",
        "dataset_meta_file: classes.json   # TODO: the names of the classes, by number",
    ),
    "{name: mean_iou, type: mean_iou, use_argmax: true}",
    "mean_iou",
)
_IMAGE = Task(
    "It looks like an image to image model: three channels in, three out.",
    "super_resolution",
    "# or image_processing",
    "super_resolution",
    (
        "data_dir: data                    # TODO",
        "lr_suffix: lr                     # TODO: in names of what goes in",
        "hr_suffix: hr                     # TODO: in names of what should come out",
    ),
    "{name: psnr, type: psnr}",
    "psnr",
)
_NUMBERS = Task(
    "Its task cannot be told from its shapes: outputs {outputs}.",
    "regression",
    "# TODO: the adapter that fits these outputs: {outputs}",
    "feature_regression",
    (
        "input_dir: data                   # TODO: what goes in",
        "reference_dir: references         # TODO: what should come out: numbers as text, one file for each sample",
        "input_suffix: .npy                # of what goes in",
        "reference_suffix: .txt            # of what should come out",
    ),
    "{name: mae, type: mae}",
    "mae",
    dataset=("additional_data_source: references   # TODO", "reader: numpy_reader"),
)
_NUMBERS_OF_SEVERAL = replace(
    _NUMBERS, dataset=(_NUMBERS.dataset[0], "reader: numpy_dict_reader   # a file for each sample: arrays by input")
)
_NUMBERS_OF_IMAGES = replace(
    _NUMBERS,
    annotation=(*_NUMBERS.annotation[:2], "input_suffix: .png                # TODO", _NUMBERS.annotation[3]),
    dataset=_NUMBERS.dataset[:1],
)


def task_of(model: ov.Model) -> Task:
    """Return the task that a model seems to have."""
    inputs, outputs = model.inputs, model.outputs
    integers = all(port.get_element_type().is_integral() for port in inputs)
    image = image_input(inputs[0])
    numbers = _NUMBERS_OF_SEVERAL if len(inputs) > 1 else _NUMBERS
    unknown = numbers if image is None else _NUMBERS_OF_IMAGES
    if len(outputs) > 1:
        return _DETECTION if image else unknown
    shape = sizes(outputs[0])
    if integers and image is None and len(shape) == 2:
        return _TEXT if sizes(inputs[0])[-1:] != [None] else _TEXT_OF_ANY_LENGTH
    if image is None:
        return unknown
    if len(shape) == 2 and shape[1] != 1:
        return _CLASSIFICATION
    if len(shape) == 3 and (shape[2] or 0) >= _LETTERS:
        return _RECOGNITION
    if len(shape) == 4 and shape[-1] == _BOXES and shape[1] == 1:
        return _DETECTION
    if len(shape) == 4:
        return _IMAGE if shape[1] in _IMAGE_CHANNELS and (shape[2] is None or shape[2] > 4) else _SEGMENTATION
    return unknown


def sizes(port: Any) -> list[int | None]:
    """Return the shape of an input or output; None for what is dynamic, of a batch too."""
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return []
    return [None if each.is_dynamic else each.get_length() for each in shape]


def image_input(port: Any) -> ImageInput | None:
    """Return layout and size of an image input."""
    shape = sizes(port)
    if len(shape) != 4:
        return None
    if shape[1] in _IMAGE_CHANNELS:
        return ImageInput("NCHW", shape[1], shape[2], shape[3])
    return ImageInput("NHWC", shape[3], shape[1], shape[2]) if shape[3] in _IMAGE_CHANNELS else None


def token_feature(name: str) -> str:
    """Return which of the checker's features fills a token input, by the names that exporters give."""
    lower = name.lower()
    if "mask" in lower:
        return "input_mask"
    return "segment_ids" if "type" in lower or "segment" in lower else "input_ids"
