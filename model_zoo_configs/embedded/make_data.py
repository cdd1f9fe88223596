"""Make the validation images of the embedded zoo from scikit-learn's bundled digits.

Run it as ``python make_data.py`` (extra ``train``). The output is a function of ``SEED`` alone.

The 8x8 digits are enlarged and distorted the way a camera would: rotation, scale, shear, shift, sensor noise and
above all exposure, which is drawn log-uniformly. Dark images use few of the levels of an INT8 tensor, so quantization
has a cost here that tuning can win back.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 20240601
SIZE = 32
VALIDATION_SAMPLES = 1200
FOLDER = Path(__file__).parent / "data" / "digits"

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


def split_digits() -> tuple[Images, Images, Labels, Labels]:
    """Return training images, validation images, training labels, validation labels; images are (N, 8, 8) in 0..1."""
    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)
    parts = train_test_split(
        images, digits.target, test_size=VALIDATION_SAMPLES, stratify=digits.target, random_state=SEED
    )
    return parts[0], parts[1], parts[2], parts[3]


def distort(image: Images, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn one 8x8 digit in 0..1 into a SIZE x SIZE grey photograph of it, uint8."""
    angle = np.deg2rad(rng.uniform(-25, 25))
    shear = rng.uniform(-0.25, 0.25)
    zoom = rng.uniform(0.28, 0.42)  # source pixels for each target pixel
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = zoom * rotation @ np.array([[1.0, shear], [0.0, 1.0]])
    centre = np.full(2, (SIZE - 1) / 2) + rng.uniform(-4, 4, 2)
    shape = ndimage.affine_transform(
        image, matrix, offset=np.full(2, 3.5) - matrix @ centre, output_shape=(SIZE, SIZE), order=3, mode="constant"
    )
    exposure = np.exp(rng.uniform(np.log(0.02), np.log(1.0)))
    background = rng.uniform(0.0, 0.25)
    scene = background + (1.0 - background) * np.clip(shape, 0.0, 1.0)
    noisy = exposure * (scene + rng.normal(0.0, 0.10, scene.shape))
    return np.clip(np.round(255.0 * noisy), 0, 255).astype(np.uint8)


def main() -> None:
    """Write ``data/digits/NNNN.png`` and ``data/digits.txt`` (image and label a line)."""
    _, images, _, labels = split_digits()
    rng = np.random.default_rng(SEED)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    lines = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        name = f"{number:04d}.png"
        Image.fromarray(distort(image, rng)).save(FOLDER / name, optimize=True)
        lines.append(f"{name} {label}\n")
    FOLDER.with_suffix(".txt").write_text("".join(lines), encoding="ascii")


if __name__ == "__main__":
    main()
