"""Draw lines of text with the font that Pillow brings; everything is a function of the generator that is handed in."""

from __future__ import annotations

import string
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]

ALPHABET = string.digits + string.ascii_lowercase + " -."
SIZES = (18, 30)  # of the font, in pixels
CHARACTERS = (3, 14)
_SLANT = 0.25  # pixels to the right for each pixel upwards, at most
_RISE = 3.0  # pixels from the line's first character to its last, at most


def write_line(rng: np.random.Generator, count: int) -> str:
    """Up to ``count`` characters: words of one to six random letters and digits, and what stands between them."""
    text = ""
    while len(text) < count:
        word = "".join(rng.choice(list(string.digits + string.ascii_lowercase), rng.integers(1, 7)))
        text += word + str(rng.choice([" ", " ", "-", "."]))
    return text[:count].strip(" ")


def room(text: str, size: int) -> tuple[int, int]:
    """Return the height and width that a line needs, however it is distorted."""
    font = _font(size)
    height = sum(font.getmetrics()) + int(_RISE)
    return height, int(np.ceil(font.getlength(text) + _SLANT * height)) + 2


def draw_line(text: str, size: int, shape: tuple[int, int], rng: np.random.Generator) -> Picture:
    """Draw a line somewhere on a canvas that has room for it: sheared, out of focus, noisy, of any exposure; grey."""
    height, width = shape
    needed = room(text, size)
    canvas = Image.new("L", (width, height))
    slant, rise = rng.uniform(-_SLANT, _SLANT), rng.uniform(-_RISE, _RISE) / width
    left, top = rng.integers(0, width - needed[1] + 1), rng.integers(0, height - needed[0] + 1)
    origin = (int(left + _SLANT * needed[0] / 2) + 1, int(top + _RISE / 2))
    ImageDraw.Draw(canvas).text(origin, text, fill=255, font=_font(size))
    middle = np.array([width / 2, top + needed[0] / 2])
    matrix = np.array([[1.0, slant], [rise, 1.0]])
    shear = np.column_stack([matrix, middle - matrix @ middle])
    ink = cv2.warpAffine(np.asarray(canvas, np.float64) / 255, shear, (width, height), flags=cv2.INTER_LINEAR)
    ink = cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.3, 0.9))
    ground = rng.uniform(0.5, 1.0)
    colour = ground * rng.uniform(0.0, 0.5)
    shade = cv2.resize(rng.uniform(0.7, 1.0, (2, 4)), (width, height), interpolation=cv2.INTER_LINEAR)
    scene = (ground + (colour - ground) * ink) * shade + rng.normal(0, 0.04, ink.shape)
    exposure = np.exp(rng.uniform(np.log(0.25), 0.0))
    return np.clip(np.round(255 * exposure * scene), 0, 255).astype(np.uint8)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow is built without FreeType")
    return font
