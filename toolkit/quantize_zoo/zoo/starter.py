"""A model's YAML to start from, by looking at the model: inputs, layout, and the task that it seems to have."""

from __future__ import annotations

import re
from pathlib import Path

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.errors import CellError
from quantize_zoo.graph import read_model, require_model, with_own_names
from quantize_zoo.text.files import write_whole
from quantize_zoo.text.paths import is_there
from quantize_zoo.text.quoting import commented, in_quotes, quoted
from quantize_zoo.zoo.guessing import task_of
from quantize_zoo.zoo.ports import TokenInput, described, first_image, info_type, sizes, token_inputs
from quantize_zoo.zoo.tasks import Task

_TEMPLATE = """\
# yaml-language-server: $schema={schema}
# Written by: quantize-zoo init {source}
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
{adapter}{inputs}      datasets:
        - name: {data_name}
{data}          annotation_conversion:
            converter: {converter}   # TODO: the checker's converter for your annotation{converter_note}
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
# For several devices write a matrix: models: [{name}.yml], devices: [...]. Name each device there that gets a file of
# its own; one file for all of them is a fleet's: {{fleet: servers, members: [...]}}, valid on each of its members.
"""
_ATTENTION = 4  # a layer of attention has two matrix multiplications beside its four linear ones
_LONGEST = 128  # tokens, where the model takes any number
_TEXT_CLASSES = 2  # of the converter sst-2
_LONGEST_NAME = 200  # characters; with what is added to it below the 255 bytes that file systems take
_NOTE = 35  # the column where what is said of a line begins


def write_starter(model_path: Path, schema: str) -> Path:
    """Write ``NAME.yml`` beside the working directory's other files and return its path.

    Raises:
        ConfigurationError: the file is there already; or there is no model, OpenVINO cannot read it, or it has no
            inputs or no outputs.

    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", model_path.stem).lstrip("._-")[:_LONGEST_NAME] or "model"
    target = Path(f"{name}.yml")
    if target.exists():
        raise errors.would_overwrite(target)
    if not is_there(model_path):
        raise errors.file_missing(model_path, "MODEL", beside=False)
    require_model(model_path, "MODEL")
    try:
        lines = starter_text(model_path, name, schema).splitlines()
    except CellError as error:  # there is no cell yet: the command is given a model that is of no use
        raise errors.not_ready(error.where, error.what, error.remedy) from error
    write_whole(target, "".join(f"{line.rstrip()}\n" for line in lines))
    return target


def starter_text(model_path: Path, name: str, schema: str) -> str:
    """Return the YAML for a model."""
    model = with_own_names(read_model(model_path))
    if not model.inputs or not model.outputs:
        raise errors.no_ports(model_path, "input" if model.outputs else "output")
    task = task_of(model)
    classes = sizes(model.outputs[0])[-1:]
    filled = {
        "outputs": ", ".join(described(port) for port in model.outputs),
        "count": str(len(model.outputs)),
        "NUMBER": f"{classes[0]}" if classes and classes[0] else f"{_TEXT_CLASSES}   # TODO: how many",
        "LENGTH": _length(model),
    }
    types = [operation.get_type_name() for operation in model.get_ops()]
    attention = {"Softmax", "ScaledDotProductAttention"} & set(types)
    other_classes = task.tokens and classes != [_TEXT_CLASSES]
    return _TEMPLATE.format(
        schema=commented(schema),
        source=commented(str(model_path)),
        file=quoted(str(model_path)),
        name=quoted(name),
        data_name=f"{name}-data",
        looks=_fill(task.looks, filled),
        ports=", ".join(described(port) for port in model.inputs),
        shapes=_shapes(model),
        adapter=_adapter(task, filled),
        inputs=_inputs(model, task),
        data=_data(model, task),
        converter=task.converter,
        converter_note=f"; {task.converter} knows labels 0 and 1 only" if other_classes else "",
        annotation="".join(f"            {_fill(line, filled)}\n" for line in task.annotation),
        preprocessing=_preprocessing(model),
        metric=task.metric,
        metric_name=task.metric_name,
        model_type=", model_type: transformer" if attention and types.count("MatMul") >= _ATTENTION else "",
    )


def _fill(text: str, values: dict[str, str]) -> str:
    """Return a text with these values at their places; what stands in a value is no place."""
    return re.sub("|".join(rf"{{{key}}}" for key in values), lambda found: values[found[0][1:-1]], text)


def _length(model: ov.Model) -> str:
    """Return how many tokens a model takes."""
    fixed = [size for port in model.inputs for size in sizes(port)[-1:] if size]
    return str(fixed[0]) if fixed else f"{_LONGEST}".ljust(_NOTE - len("max_seq_length: ")) + "# longer ones are cut"


def _shapes(model: ov.Model) -> str:
    """Return a line that would fix dynamic shapes, for whoever deploys them so."""
    dynamic = [port for port in model.inputs if None in sizes(port)]
    if not dynamic:
        return ""
    shapes = ", ".join(f"{quoted(port.get_any_name())}: [{', '.join(_fixed(sizes(port)))}]" for port in dynamic)
    return (
        f"# input_shapes: {{{shapes}}}   # would fix what is dynamic, which is faster; else samples keep their shapes\n"
    )


def _fixed(shape: list[int | None]) -> list[str]:
    return [str(size or ("SIZE" if axis else 1)) for axis, size in enumerate(shape)]


def _adapter(task: Task, filled: dict[str, str]) -> str:
    note = f"   {_fill(task.adapter_note, filled)}" if task.adapter_note else ""
    if not task.decoding:
        return f"          adapter: {task.adapter}{note}\n"
    lines = [f"type: {task.adapter}{note}", *(_fill(line, filled) for line in task.decoding)]
    return "          adapter:\n" + "".join(f"            {line}\n" for line in lines)


def _inputs(model: ov.Model, task: Task) -> str:
    layout = _layout(model)
    if len(model.inputs) == 1:
        return layout
    if task.tokens:
        inputs = [_token_line(found) for found in token_inputs(model.inputs)]
    elif first_image(model):
        inputs = _image_lines(model)
    else:
        names = [port.get_any_name() for port in model.inputs]
        # numpy_dict_reader calls an array FILE.npy.NAME; the whole name, since that of one input may end as another's.
        inputs = [
            f"{{name: {quoted(name)}, type: INPUT, value: {in_quotes(f'.*[.]npy[.]{re.escape(name)}$')}}}"
            for name in names
        ]
    return layout + "".join(["          inputs:\n", *(f"            - {line}\n" for line in inputs)])


def _layout(model: ov.Model) -> str:
    """Return the line for what is not NCHW: the checker takes four dimensions, batch included, for an image's."""
    image = first_image(model)
    if image is not None:
        return "          default_layout: NHWC\n" if image.layout == "NHWC" else ""
    if any(len(sizes(port)) > 2 for port in model.inputs):
        return "          default_layout: NHWC            # leaves arrays as they are\n"
    return ""


def _token_line(found: TokenInput) -> str:
    name = quoted(found.name)
    if found.feature is None and found.length:
        return f"{{name: {name}, type: CONST_INPUT, value: [{list(range(found.length))}]}}"
    if found.feature is None:
        return f"{{name: {name}, type: IGNORE_INPUT}}   # TODO: texts have no positions; fix the length by input_shapes"
    note = "   # TODO: guessed by its place" if found.guessed else ""
    return f'{{name: {name}, type: INPUT, value: "{found.feature}*"}}{note}'


def _image_lines(model: ov.Model) -> list[str]:
    """Return a line for each input; a single image needs no expression, and has no file name that would fit one."""
    infos = [info_type(port) for port in model.inputs]
    single = infos.count(None) == 1
    lines = []
    for port, info in zip(model.inputs, infos, strict=True):
        name = quoted(port.get_any_name())
        if info is not None:
            lines.append(f"{{name: {name}, type: {info}}}   # TODO: or what else fills {described(port)}")
        elif single:
            lines.append(f"{{name: {name}, type: INPUT}}")
        else:
            value = in_quotes(f".*{re.escape(port.get_any_name())}.*")
            lines.append(
                f"{{name: {name}, type: INPUT, value: {value}}}   # TODO: a regular expression of what fills it"
            )
    return lines


def _data(model: ov.Model, task: Task) -> str:
    if task.tokens:
        names = ", ".join(found.feature for found in token_inputs(model.inputs) if found.feature)
        return f"          reader: {{type: annotation_features_extractor, features: [{names}]}}\n"
    lines = ("data_source: data    # TODO: the folder of your samples", *task.dataset)
    return "".join(f"          {line}\n" for line in lines)


def _preprocessing(model: ov.Model) -> str:
    image = first_image(model)
    if image is None:
        return ""
    steps = ["- {type: bgr_to_gray}"] if image.channels == 1 else []
    steps.append(_resize(image.height, image.width))
    if image.is_real:
        steps.append("- {type: normalization, mean: 127.5, std: 127.5}   # TODO: as in training; pictures come as BGR")
    heading = "# " if all(step.startswith("#") for step in steps) else ""
    return "".join([f"          {heading}preprocessing:\n", *(f"            {step}\n" for step in steps)])


def _resize(height: int | None, width: int | None) -> str:
    if height and width:
        size = f"size: {height}" if height == width else f"dst_height: {height}, dst_width: {width}"
        return f"- {{type: resize, {size}}}"
    if height or width:
        kept, side = ("width", height) if height else ("height", width)
        return f"- {{type: resize, dst_height: {side}, dst_width: {side}, aspect_ratio_scale: {kept}}}"
    return "# - {type: resize, size: SIZE}   # if the model was trained on one size; else pictures keep theirs"
