"""A model's YAML to start from, by looking at the model: inputs, layout, and the task that it seems to have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.graph import read_model, with_own_names

_TEMPLATE = """\
# yaml-language-server: $schema={schema}
# Written by: quantize-zoo init {file}
# {looks}
# Lines with TODO are for you: only you know your data. Then: quantize-zoo check {name}.yml
name: {name}
model: {file}
accuracy_checker:             # the accuracy checker's own configuration
  models:
    - name: {name}
      launchers:
        - framework: openvino
          adapter: {adapter}   {adapter_note}
{inputs}      datasets:
        - name: {name}-data
{data}          annotation_conversion:
            converter: {converter}   # TODO: the checker's converter for your annotation
            {annotation}
{preprocessing}          metrics:
            - {metric}
metric: {metric_name}         # the one that is tuned
compression:
  target_device: CPU
  algorithms:
    - name: TunableQuantization
      params: {{preset: performance, stat_subset_size: 300{model_type}}}
optimizer:
  name: Tpe
  params:
    max_trials: 60
    accuracy_loss: 1.0        # TODO: percent of the FP32 value that INT8 may lose
    latency_reduce: 1.0       # TODO: FP32 time / INT8 time that is wanted
    benchmark: {{nthreads: 1, nstreams: 1, api_type: sync, batch_size: 1, duration_seconds: 1}}
"""


@dataclass(frozen=True)
class _Task:
    looks: str
    adapter: str
    adapter_note: str
    converter: str
    annotation: str
    metric: str
    metric_name: str


_CLASSIFICATION = _Task(
    "It looks like a classifier: one output of shape (batch, classes).",
    "classification",
    "",
    "imagenet",
    "annotation_file: annotation.txt   # TODO: a line for each sample: file name, label",
    "{name: accuracy@top1, type: accuracy, top_k: 1}",
    "accuracy@top1",
)
_TEXT = _Task(
    "It looks like a text classifier: integer inputs, one output of shape (batch, classes).",
    "{type: bert_classification, num_classes: NUMBER}",
    "",
    "sst-2",
    "annotation_file: annotation.tsv   # TODO; vocab_file and max_seq_length too",
    "{name: accuracy, type: accuracy}",
    "accuracy",
)
_DETECTION = _Task(
    "It looks like a detector: {count} outputs.",
    "ssd",
    "# TODO: the adapter that fits these outputs: {outputs}",
    "common_object_detection",
    "annotation_dir: boxes   # TODO; labels_file too",
    "{name: mAP, type: map}",
    "mAP",
)
_SEGMENTATION = _Task(
    "It looks like segmentation: one output of shape (batch, classes, height, width).",
    "segmentation",
    "",
    "common_semantic_segmentation",
    "images_dir: data   # TODO; masks_dir and dataset_meta_file too",
    "{type: mean_iou, use_argmax: true}",
    "mean_iou",
)
_IMAGE = _Task(
    "It looks like an image to image model: three channels in, three out.",
    "super_resolution",
    "# or image_processing",
    "super_resolution",
    "data_dir: data   # TODO",
    "{type: psnr}",
    "psnr",
)
_ATTENTION = 4  # a layer of attention has two matrix multiplications beside its four linear ones
_UNKNOWN = _Task(
    "Its task cannot be told from its shapes: outputs {outputs}.",
    "regression",
    "# TODO: the adapter that fits these outputs: {outputs}",
    "feature_regression",
    "annotation_file: annotation.txt   # TODO",
    "{type: mae}",
    "mae",
)


def write_starter(model_path: Path, schema: str) -> Path:
    """Write ``NAME.yml`` beside the working directory's other files and return its path.

    Raises:
        ConfigurationError: the file is there already.
        CellError: OpenVINO cannot read the model.

    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", model_path.stem).lstrip("._-") or "model"
    target = Path(f"{name}.yml")
    if target.exists():
        raise errors.would_overwrite(target)
    if not model_path.exists():
        raise errors.file_missing(model_path, "MODEL")
    lines = starter_text(model_path, name, schema).splitlines()
    target.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")
    return target


def starter_text(model_path: Path, name: str, schema: str) -> str:
    """Return the YAML for a model."""
    model = with_own_names(read_model(model_path))
    task = _guess(model)
    outputs = ", ".join(f"{port.get_any_name()} {_shape(port)}" for port in model.outputs)
    filled = {"outputs": outputs, "count": str(len(model.outputs))}
    classes = str(_shape(model.outputs[0])[-1])
    types = [operation.get_type_name() for operation in model.get_ops()]
    attention = {"Softmax", "ScaledDotProductAttention"} & set(types)
    return _TEMPLATE.format(
        schema=schema,
        file=model_path,
        name=name,
        looks=_fill(task.looks, filled),
        adapter=task.adapter.replace("NUMBER", classes),
        adapter_note=_fill(task.adapter_note, filled),
        inputs=_inputs(model),
        data=_data(model, task),
        converter=task.converter,
        annotation=task.annotation,
        preprocessing=_preprocessing(model),
        metric=task.metric,
        metric_name=task.metric_name,
        model_type=", model_type: transformer" if attention and types.count("MatMul") >= _ATTENTION else "",
    )


def _fill(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _guess(model: ov.Model) -> _Task:
    inputs, outputs = model.inputs, model.outputs
    integers = all(port.get_element_type().is_integral() for port in inputs)
    image = _image(inputs[0])
    if len(outputs) > 1:
        return _DETECTION if image else _UNKNOWN
    shape = _shape(outputs[0])
    if integers and len(shape) == 2:
        return _TEXT
    if image and len(shape) == 2 and shape[1] > 1:
        return _CLASSIFICATION
    if image and len(shape) == 4 and shape[-1] == 7 and shape[1] == 1:
        return _DETECTION
    if image and len(shape) == 4:
        return _IMAGE if shape[1] in (1, 3) and shape[2] > 4 else _SEGMENTATION
    return _UNKNOWN


def _shape(port: Any) -> list[int]:
    return [max(1, size) for size in port.get_partial_shape().get_min_shape()]


def _image(port: Any) -> tuple[str, int, int] | None:
    """Return layout, height and width of an image input."""
    shape = _shape(port)
    if len(shape) != 4:
        return None
    if shape[1] in (1, 3):
        return "NCHW", shape[2], shape[3]
    return ("NHWC", shape[1], shape[2]) if shape[3] in (1, 3) else None


def _data(model: ov.Model, task: _Task) -> str:
    if task is not _TEXT:
        return "          data_source: data    # TODO: the folder of your samples\n"
    names = ", ".join(port.get_any_name() for port in model.inputs)
    reader = f"{{type: annotation_features_extractor, features: [{names}]}}"
    return f"          reader: {reader}   # TODO: the converter's names\n"


def _inputs(model: ov.Model) -> str:
    if len(model.inputs) == 1:
        image = _image(model.inputs[0])
        return "          default_layout: NHWC\n" if image and image[0] == "NHWC" else ""
    lines = [
        f'            - {{name: {port.get_any_name()}, type: INPUT, value: "{port.get_any_name()}*"}}'
        f"   # TODO: what fills {_shape(port)}"
        for port in model.inputs
    ]
    return "\n".join(["          inputs:", *lines, ""])


def _preprocessing(model: ov.Model) -> str:
    image = _image(model.inputs[0])
    if image is None:
        return ""
    _, height, width = image
    size = f"size: {height}" if height == width else f"dst_height: {height}, dst_width: {width}"
    return (
        "          preprocessing:\n"
        f"            - {{type: resize, {size}}}\n"
        "            - {type: normalization, mean: 127.5, std: 127.5}   # TODO: as in training; pictures come as BGR\n"
    )
