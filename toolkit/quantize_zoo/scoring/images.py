"""POT's simplified engine: images of a folder as calibration data, resized and otherwise as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config.pot import Images
from quantize_zoo.scoring.preprocessing import input_shapes, shape_text


def read_images(images: Images, model: ov.Model, count: int | None) -> list[dict[str, NDArray[Any]]]:
    """Return the first images in the order of their names, each as the model's one input: BGR, 0..255, float32.

    Raises:
        CellError: the model does not take one image, or no file of the folder is one.

    """
    if len(model.inputs) != 1:
        raise errors.not_an_image_model(f"the model has {len(model.inputs)} inputs")
    port = model.inputs[0]
    shape = input_shapes(model)[port.get_any_name()]
    channels_first = images.layout == "NCHW"
    if len(shape) != 4 or shape[1 if channels_first else 3] not in (1, 3):
        raise errors.not_an_image_model(
            f"its input has shape {shape_text(shape)}, which is no image in {images.layout}"
        )
    sizes = [None if each.is_dynamic else each.get_length() for each in shape]
    channels, height, width = sizes[1:] if channels_first else (sizes[3], sizes[1], sizes[2])
    flag = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    samples: list[dict[str, NDArray[Any]]] = []
    for file in sorted(images.data_source.iterdir()):
        if count is not None and len(samples) == count:
            break
        image = _read(file, flag) if file.is_file() else None
        if image is None:
            continue
        cropped = _crop(image, images.central_fraction)
        size = (width or cropped.shape[1], height or cropped.shape[0])  # where any will do, as it is
        pixels = cv2.resize(cropped, size).reshape(size[1], size[0], -1).astype(np.float32)
        samples.append({port.get_any_name(): (pixels.transpose(2, 0, 1) if channels_first else pixels)[None]})
    if not samples:
        raise errors.no_images(images.data_source)
    return samples


def _read(file: Path, flag: int) -> NDArray[np.uint8] | None:
    image = cv2.imread(str(file), flag)  # None where the file is no image
    return None if image is None else np.asarray(image, dtype=np.uint8)


def _crop(image: NDArray[np.uint8], fraction: float | None) -> NDArray[np.uint8]:
    """Return the middle of the image, of this fraction of its height and width."""
    if fraction is None:
        return image
    height, width = (max(1, round(size * fraction)) for size in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
