"""What can be told of a model's inputs and outputs by their names, shapes and types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import openvino as ov

from quantize_zoo.text.quoting import commented

IMAGE_CHANNELS = (1, 3)
_IMAGE_RANK = 4
_IMAGE_INFO = (2, 3, 6)  # height and width, and what the checker adds to them
_FEATURES = ("input_ids", "input_mask", "segment_ids")  # of the checker's texts, in the order that exporters keep


@dataclass(frozen=True)
class ImageInput:
    """An input that takes an image; height and width are None where they are dynamic."""

    name: str
    layout: str
    channels: int
    height: int | None
    width: int | None
    is_real: bool


@dataclass(frozen=True)
class TokenInput:
    """An input of tokens and the checker's feature that fills it; None for positions, which texts do not have.

    ``length`` is None where it is dynamic; a feature may be ``guessed``, by the input's place only.
    """

    name: str
    feature: str | None
    length: int | None
    guessed: bool


def sizes(port: Any) -> list[int | None]:
    """Return the shape of an input or output; None for what is dynamic, of a batch too."""
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return []
    return [None if each.is_dynamic else each.get_length() for each in shape]


def described(port: Any) -> str:
    """Return name, shape and type of an input or output, as people write them."""
    shape = ", ".join("?" if size is None else str(size) for size in sizes(port))
    return f"{commented(port.get_any_name())} [{shape}] {port.get_element_type().get_type_name()}"


def image_input(port: Any) -> ImageInput | None:
    """Return layout and size of an image input."""
    shape = sizes(port)
    if len(shape) != _IMAGE_RANK:
        return None
    name, is_real = port.get_any_name(), port.get_element_type().is_real()
    if shape[1] in IMAGE_CHANNELS:
        return ImageInput(name, "NCHW", shape[1], shape[2], shape[3], is_real)
    if shape[3] in IMAGE_CHANNELS:
        return ImageInput(name, "NHWC", shape[3], shape[1], shape[2], is_real)
    return None


def first_image(model: ov.Model) -> ImageInput | None:
    """Return the first input that takes an image; some models ask for the image's size before it."""
    return next((image for image in map(image_input, model.inputs) if image is not None), None)


def info_type(port: Any) -> str | None:
    """Return the checker's type of an input beside an image that takes its size, or how much it was scaled."""
    shape = sizes(port)
    if len(shape) != 2 or shape[-1] not in _IMAGE_INFO:
        return None
    return "SCALE_FACTOR" if "scale" in port.get_any_name().lower() and shape[-1] == 2 else "IMAGE_INFO"


def token_inputs(ports: Sequence[Any]) -> list[TokenInput]:
    """Return which of the checker's features fills each token input.

    Names are those that exporters give; where two would be filled alike, the later ones take what is left, by order.
    """
    named = [_feature(port.get_any_name()) for port in ports]
    left = [feature for feature in _FEATURES if feature not in named]
    found: list[TokenInput] = []
    for number, (port, feature) in enumerate(zip(ports, named, strict=True)):
        repeated = feature is not None and feature in named[:number]
        taken = left.pop(0) if repeated and left else feature
        found.append(TokenInput(port.get_any_name(), taken, (sizes(port) or [None])[-1], repeated))
    return found


def _feature(name: str) -> str | None:
    lower = name.lower()
    if "position" in lower:
        return None
    if "mask" in lower:
        return "input_mask"
    return "segment_ids" if "type" in lower or "segment" in lower else "input_ids"
