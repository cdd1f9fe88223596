"""What task a model seems to have, by its inputs and outputs."""

from __future__ import annotations

import openvino as ov

from quantize_zoo.zoo import tasks
from quantize_zoo.zoo.ports import IMAGE_CHANNELS, ImageInput, first_image, sizes
from quantize_zoo.zoo.tasks import Task

_BOXES = 7  # values of a detection: image, label, score, corners
_LETTERS = 10  # a recognizer tells at least so many apart
_CORNERS = 4  # values of a row that is a box, at least
_LINE = 2  # a line of text is at least so many times as wide as high


def task_of(model: ov.Model) -> Task:
    """Return the task that a model seems to have."""
    image = first_image(model)
    if image is None:
        return _task_without_image(model)
    if len(model.outputs) > 1:
        return tasks.DETECTION
    shape = sizes(model.outputs[0])
    if len(shape) == 2 and shape[1] != 1:
        return tasks.CLASSIFICATION
    if len(shape) == 3:
        return _task_of_rows(model, image, shape)
    if len(shape) == 4:
        return _task_of_maps(image, shape)
    return tasks.NUMBERS_OF_IMAGES


def _task_without_image(model: ov.Model) -> Task:
    tokens = all(port.get_element_type().is_integral() for port in model.inputs)
    if tokens and len(model.outputs) == 1 and len(sizes(model.outputs[0])) == 2:
        return tasks.TEXT if sizes(model.inputs[0])[-1:] != [None] else tasks.TEXT_OF_ANY_LENGTH
    return tasks.NUMBERS_OF_SEVERAL if len(model.inputs) > 1 else tasks.NUMBERS


def _task_of_rows(model: ov.Model, image: ImageInput, shape: list[int | None]) -> Task:
    """Return whether rows are the steps of a line of text, or boxes."""
    if shape[2] is not None and shape[2] < _CORNERS:
        return tasks.NUMBERS_OF_IMAGES
    is_line = image.width is None or (image.height is not None and image.width >= _LINE * image.height)
    if not is_line or (shape[2] or 0) < _LETTERS:
        return tasks.ROWS
    return tasks.RECOGNITION if _batch_axis(model, image, shape) == 1 else tasks.RECOGNITION_BATCH_FIRST


def _task_of_maps(image: ImageInput, shape: list[int | None]) -> Task:
    if shape[-1] == _BOXES and shape[1] == 1:
        return tasks.DETECTION
    if shape[2:] == [1, 1] or (image.layout == "NHWC" and shape[1:3] == [1, 1]):
        return tasks.CLASSIFICATION
    last = image.layout == "NHWC" and shape[3] in IMAGE_CHANNELS
    channels = shape[3] if last else shape[1]
    if channels == 1 and image.channels != 1:
        return tasks.MASK
    return tasks.IMAGE if channels in IMAGE_CHANNELS else tasks.SEGMENTATION


def _batch_axis(model: ov.Model, image: ImageInput, shape: list[int | None]) -> int:
    """Return which of the first two axes of an output is the batch."""
    if 1 in shape[:2]:
        return shape.index(1)
    copy = model.clone()
    sized = next(port for port in copy.inputs if port.get_any_name() == image.name).get_partial_shape()
    sized[0] = 1
    try:
        copy.reshape({image.name: sized})
    except RuntimeError:  # the batch is not free
        return 0
    found = sizes(copy.outputs[0])[:2]
    return found.index(1) if 1 in found else 0
