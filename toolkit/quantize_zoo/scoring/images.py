"""Pictures as calibration data, as POT's engines fed them: of files, resized and otherwise as they are, or of noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config.pot import Images, Noise, image_files
from quantize_zoo.scoring.preprocessing import input_shapes, shape_text

_COLORS = (1, 3)
_OPEN_SIZE = 224  # pixels of noise where neither the model nor the configuration says how many
_NOISE_SAMPLES = 300  # as many as POT's templates calibrate on
_SHARPEST, _SMOOTHEST = 0.5, 8.0  # pixels: noise of one sharpness has one spatial frequency, pictures have many


@dataclass(frozen=True)
class _Input:
    """Where pictures go: the input's name and layout, channels, and height and width, None where any will do.

    ``size_input`` is a second input, which takes height, width and channels.
    """

    name: str
    layout: str
    channels: int
    height: int | None
    width: int | None
    size_input: str | None

    def sample(self, pixels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return pixels (height, width, channels) as the model takes them."""
        ordered = pixels.transpose(2, 0, 1) if self.layout.endswith("CHW") else pixels
        inputs = {self.name: ordered[None] if self.layout.startswith("N") else ordered}
        if self.size_input is not None:
            inputs[self.size_input] = np.array([pixels.shape], np.float32)
        return inputs


def read_images(
    images: Images, model: ov.Model, count: int | None, damaged: Callable[[Path], object] = lambda _: None
) -> list[dict[str, NDArray[Any]]]:
    """Return the first images in the order of their names, each as the model's input: BGR, 0..255, float32.

    ``damaged`` is told of each image that cannot be read; what is no image is passed over.

    Raises:
        CellError: the model does not take one image, or no file of the folder is one.

    """
    found = _image_input(model, images.layout, images.shape)
    flag = cv2.IMREAD_GRAYSCALE if found.channels == 1 else cv2.IMREAD_COLOR
    samples: list[dict[str, NDArray[Any]]] = []
    for file in image_files(images.data_source):
        if count is not None and len(samples) == count:
            break
        image = _read(file, flag)
        if image is None:
            if cv2.haveImageReader(str(file)):
                damaged(file)
            continue
        cropped = _crop(image, images.central_fraction)
        size = (found.width or cropped.shape[1], found.height or cropped.shape[0])  # where any will do, as it is
        pixels = cv2.resize(cropped, size).reshape(size[1], size[0], -1).astype(np.float32)
        samples.append(found.sample(pixels))
    if not samples:
        raise errors.no_images(images.data_source)
    return samples


def make_noise(noise: Noise, model: ov.Model, count: int | None) -> list[dict[str, NDArray[Any]]]:
    """Return pictures of random noise, always the same ones: smoothed, in random colours, 0..255, float32.

    POT painted fractals and coloured them with a network; these are as far from real pictures, and need none.

    Raises:
        CellError: the model does not take one image, or the shape is not that of its input.

    """
    found = _image_input(model, noise.layout, noise.shape)
    rng = np.random.default_rng(0)
    size = (found.height or _OPEN_SIZE, found.width or _OPEN_SIZE)
    return [found.sample(_noise_picture(rng, size, found.channels)) for _ in range(count or _NOISE_SAMPLES)]


def require_pictures(engine: Images | Noise, model: ov.Model) -> None:
    """See that a model takes pictures, and that an engine has some.

    Raises:
        CellError: the model does not take one image, the shape is not that of its input, or no file is one.

    """
    if isinstance(engine, Noise):
        _image_input(model, engine.layout, engine.shape)
    else:
        read_images(engine, model, 1)


def _noise_picture(rng: np.random.Generator, size: tuple[int, int], channels: int) -> NDArray[np.float32]:
    sharpness = rng.uniform(np.log(_SHARPEST), np.log(_SMOOTHEST))
    raw = rng.normal(size=(*size, channels)).astype(np.float32)
    blurred = np.asarray(cv2.GaussianBlur(raw, (0, 0), float(np.exp(sharpness)))).reshape(*size, channels)
    low, high = blurred.min(axis=(0, 1)), blurred.max(axis=(0, 1))
    # Each channel spans a part of its own of all that there is.
    bounds = np.sort(rng.uniform(0, 255, size=(2, channels)), axis=0)
    scaled = (blurred - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
    return np.asarray(bounds[0] + scaled * (bounds[1] - bounds[0]), np.float32)


def _image_input(model: ov.Model, layout: str | None, sizes: tuple[int | None, ...] | None = None) -> _Input:
    """Return the input that takes pictures; ``sizes`` are of dimensions that the model leaves open."""
    shapes = input_shapes(model)
    sizes_of_one = ov.PartialShape([1, 3])  # height, width and channels
    beside = [name for name, shape in shapes.items() if len(shapes) == 2 and shape.compatible(sizes_of_one)]
    pictured = [name for name in shapes if name not in beside]
    if len(pictured) != 1:
        raise errors.not_an_image_model(f"the model has {len(shapes)} inputs", "type")
    (name,) = pictured
    shape = shapes[name]
    lengths = [None if each.is_dynamic else each.get_length() for each in shape]
    wanted = shape
    if sizes is not None:
        if len(sizes) != len(lengths):
            raise errors.not_the_models_shape(f"has {len(sizes)} sizes", shape_text(shape))
        wanted = ov.PartialShape([-1 if each is None else each for each in sizes])
        if not shape.compatible(wanted):
            raise errors.not_the_models_shape(f"is {shape_text(wanted)}", shape_text(shape))
        lengths = [own or given for own, given in zip(lengths, sizes, strict=True)]
    known = _layout(lengths, layout)
    if known is None:
        asked = f"in {layout}" if layout else "in any layout"
        problem = f"its input has shape {shape_text(shape)}, which is no image {asked}"
        raise errors.not_an_image_model(problem, "layout" if layout else "type")
    if sizes is not None and known.startswith("N") and sizes[0] not in (None, 1):
        raise errors.shape_of_several(shape_text(wanted))
    by_axis = dict(zip(known, lengths, strict=True))
    channels = by_axis["C"]
    assert channels is not None, "a layout is one whose channels are known"
    return _Input(name, known, channels, by_axis["H"], by_axis["W"], beside[0] if beside else None)


def _layout(lengths: list[int | None], wanted: str | None) -> str | None:
    """Return the layout in which these are an image; of a batch that the model does not have nothing is said."""
    layouts: tuple[str, ...] = ("NCHW", "NHWC") if len(lengths) == 4 else ("CHW", "HWC") if len(lengths) == 3 else ()
    if wanted is not None:
        layouts = tuple(each for each in layouts if each.removeprefix("N") == wanted.removeprefix("N"))
    return next((each for each in layouts if lengths[each.index("C")] in _COLORS), None)


def _read(file: Path, flag: int) -> NDArray[np.uint8] | None:
    image = cv2.imread(str(file), flag)  # None where the file is no image
    return None if image is None else np.asarray(image, dtype=np.uint8)


def _crop(image: NDArray[np.uint8], fraction: float | None) -> NDArray[np.uint8]:
    """Return the middle of the image, of this fraction of its height and width."""
    if fraction is None:
        return image
    height, width = (max(1, int(size * fraction)) for size in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
