"""A model's YAML to start from, by looking at the model: inputs, layout, and the task that it seems to have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.graph import read_model, with_own_names
from quantize_zoo.zoo.tasks import Task, image_input, sizes, task_of, token_feature

_TEMPLATE = """\
# yaml-language-server: $schema={schema}
# Written by: quantize-zoo init {file}
# {looks}
# Inputs: {ports}
# Lines with TODO are for you: only you know your data. Then: quantize-zoo check {name}.yml
name: {name}
model: {file}
{shapes}accuracy_checker:             # the accuracy checker's own configuration
  models:
    - name: {name}
      launchers:
        - framework: openvino
          adapter: {adapter}   {adapter_note}
{inputs}      datasets:
        - name: {name}-data
{data}          annotation_conversion:
            converter: {converter}   # TODO: the checker's converter for your annotation
{annotation}{preprocessing}          metrics:
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
_IMAGE_INFO = (2, 3, 6)  # height and width, and what the checker adds to them
_ATTENTION = 4  # a layer of attention has two matrix multiplications beside its four linear ones
_LONGEST = 128  # tokens, where the model takes any number


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
    task = task_of(model)
    outputs = ", ".join(_described(port) for port in model.outputs)
    filled = {
        "outputs": outputs,
        "count": str(len(model.outputs)),
        "NUMBER": str(sizes(model.outputs[0])[-1] or "NUMBER"),
        "LENGTH": str((sizes(model.inputs[0]) or [None])[-1] or _LONGEST),
    }
    types = [operation.get_type_name() for operation in model.get_ops()]
    attention = {"Softmax", "ScaledDotProductAttention"} & set(types)
    annotation = "".join(f"            {_fill(line, filled)}\n" for line in task.annotation)
    return _TEMPLATE.format(
        schema=schema,
        file=model_path,
        name=name,
        looks=_fill(task.looks, filled),
        ports=", ".join(_described(port) for port in model.inputs),
        shapes=_shapes(model),
        adapter=_fill(task.adapter, filled),
        adapter_note=_fill(task.adapter_note, filled),
        inputs=_inputs(model, task),
        data=_data(model, task),
        converter=task.converter,
        annotation=annotation,
        preprocessing=_preprocessing(model),
        metric=task.metric,
        metric_name=task.metric_name,
        model_type=", model_type: transformer" if attention and types.count("MatMul") >= _ATTENTION else "",
    )


def _fill(text: str, values: dict[str, str]) -> str:
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _described(port: Any) -> str:
    shape = ", ".join("?" if size is None else str(size) for size in sizes(port))
    return f"{port.get_any_name()} [{shape}] {port.get_element_type().get_type_name()}"


def _shapes(model: ov.Model) -> str:
    """Return a line that would fix dynamic shapes, for whoever deploys them so."""
    dynamic = [port for port in model.inputs if None in sizes(port)]
    if not dynamic:
        return ""
    shapes = ", ".join(f"{port.get_any_name()}: [{', '.join(_fixed(sizes(port)))}]" for port in dynamic)
    return (
        f"# input_shapes: {{{shapes}}}   # would fix what is dynamic, which is faster; else samples keep their shapes\n"
    )


def _fixed(shape: list[int | None]) -> list[str]:
    return [str(size or ("SIZE" if axis else 1)) for axis, size in enumerate(shape)]


def _inputs(model: ov.Model, task: Task) -> str:
    image = image_input(model.inputs[0])
    layout = "          default_layout: NHWC\n" if image is not None and image.layout == "NHWC" else ""
    if len(model.inputs) == 1:
        return layout
    images = any(image_input(port) for port in model.inputs)
    lines = [f"            - {_input(port, images=images, task=task)}" for port in model.inputs]
    return layout + "\n".join(["          inputs:", *lines, ""])


def _input(port: Any, *, images: bool, task: Task) -> str:
    name = port.get_any_name()
    if task.tokens:
        return f'{{name: {name}, type: INPUT, value: "{token_feature(name)}*"}}'
    shape = sizes(port)
    if images and len(shape) == 2 and shape[-1] in _IMAGE_INFO:
        return f"{{name: {name}, type: IMAGE_INFO}}   # TODO: or what else fills {_described(port)}"
    return f'{{name: {name}, type: INPUT, value: ".*{name}.*"}}   # TODO: a regular expression of what fills it'


def _data(model: ov.Model, task: Task) -> str:
    if task.tokens:
        names = ", ".join(token_feature(port.get_any_name()) for port in model.inputs)
        return f"          reader: {{type: annotation_features_extractor, features: [{names}]}}\n"
    lines = ("data_source: data    # TODO: the folder of your samples", *task.dataset)
    return "".join(f"          {line}\n" for line in lines)


def _preprocessing(model: ov.Model) -> str:
    image = image_input(model.inputs[0])
    if image is None:
        return ""
    steps = []
    if image.channels == 1:
        steps.append("- {type: bgr_to_gray}")
    if image.height and image.width:
        size = f"size: {image.height}" if image.height == image.width else ""
        steps.append(f"- {{type: resize, {size or f'dst_height: {image.height}, dst_width: {image.width}'}}}")
    elif image.height:
        steps.append(
            f"- {{type: resize, dst_height: {image.height}, dst_width: {image.height}, aspect_ratio_scale: width}}"
        )
    if model.inputs[0].get_element_type().is_real():
        steps.append("- {type: normalization, mean: 127.5, std: 127.5}   # TODO: as in training; pictures come as BGR")
    if not steps:
        return ""
    return "".join(["          preprocessing:\n", *(f"            {step}\n" for step in steps)])
