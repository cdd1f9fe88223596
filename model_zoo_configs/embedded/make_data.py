"""Make the validation data of the embedded zoo: scikit-learn's bundled digits, and scenes drawn from a seed.

Run it as ``python make_data.py`` (extra ``train``). The output is a function of ``SEED`` alone.

The 8x8 digits are enlarged and distorted the way a camera would: rotation, scale, shear, shift, sensor noise and
above all exposure, which is drawn log-uniformly. Dark images use few of the levels of an INT8 tensor, so quantization
has a cost here that tuning can win back.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from scenes import SHAPES, VOCABULARY, draw_detection, draw_face, draw_shapes, shrink, write_opinions, write_review
from text_lines import ALPHABET, CHARACTERS, SIZES, draw_line, room, write_line

SEED = 20240601
SIZE = 32
VALIDATION_SAMPLES = 1200
SCENES, SHAPE_PICTURES, FACES, REVIEWS, LINES, OPINIONS = 240, 200, 240, 1000, 600, 1000
SENTENCES = (1, 7)  # of an opinion
DATA = Path(__file__).parent / "data"
FOLDER = DATA / "digits"

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


def make_digits() -> None:
    """Write ``digits/NNNN.png`` and ``digits.txt`` (image and label a line)."""
    _, images, _, labels = split_digits()
    rng = np.random.default_rng(SEED)
    folder = _emptied("digits")
    lines = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        name = f"{number:04d}.png"
        Image.fromarray(distort(image, rng)).save(folder / name, optimize=True)
        lines.append(f"{name} {label}\n")
    folder.with_suffix(".txt").write_text("".join(lines), encoding="ascii")


def make_scenes() -> None:
    """Write ``scenes/images``, ``scenes/boxes`` (label and corners a line) and ``scenes/labels.txt``."""
    _, images, _, labels = split_digits()
    rng = np.random.default_rng(SEED)
    folder = _emptied("scenes")
    (folder / "images").mkdir()
    (folder / "boxes").mkdir()
    pairs = []
    for number in range(SCENES):
        scene, boxes = draw_detection(images.astype(np.float64), labels, rng)
        Image.fromarray(scene).save(folder / "images" / f"{number:03d}.jpg", quality=70, optimize=True)
        rows = [
            f"{label} {' '.join(f'{value:.0f}' for value in corners)}\n"
            for label, corners in zip(boxes.labels, boxes.corners, strict=True)
        ]
        (folder / "boxes" / f"{number:03d}.txt").write_text("".join(rows), encoding="ascii")
        pairs.append(f"{number:03d}.jpg {number:03d}.txt\n")
    (folder / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)), encoding="ascii")
    (folder / "pairs.txt").write_text("".join(pairs), encoding="ascii")


def make_shapes() -> None:
    """Write ``shapes/images``, ``shapes/masks``, ``shapes/small`` (half the resolution) and ``shapes/meta.json``."""
    rng = np.random.default_rng(SEED)
    folder = _emptied("shapes")
    for part in ("images", "masks", "small"):
        (folder / part).mkdir()
    # The checker's converter finds the large picture of a small one by its number, wherever that is in a name.
    for number in range(1000, 1000 + SHAPE_PICTURES):
        picture, mask = draw_shapes(rng)
        Image.fromarray(picture).save(folder / "images" / f"{number}.jpg", quality=85, optimize=True)
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png", optimize=True)
        stored = np.asarray(Image.open(folder / "images" / f"{number}.jpg"))
        Image.fromarray(shrink(stored)).save(folder / "small" / f"{number}.jpg", quality=95, optimize=True)
    meta = {"label_map": {str(index): name for index, name in enumerate(SHAPES)}}
    (folder / "meta.json").write_text(json.dumps(meta) + "\n", encoding="ascii")


def make_faces() -> None:
    """Write ``faces/images`` and ``faces/landmarks.csv``."""
    rng = np.random.default_rng(SEED)
    folder = _emptied("faces")
    (folder / "images").mkdir()
    rows = ["NAME_ID," + ",".join(f"P{point}{axis}" for point in range(1, 6) for axis in "XY") + "\n"]
    for number in range(FACES):
        face, points = draw_face(rng)
        Image.fromarray(face).save(folder / "images" / f"{number:03d}.jpg", quality=70, optimize=True)
        rows.append(f"{number:03d}," + ",".join(f"{value:.3f}" for value in points.reshape(-1)) + "\n")
    (folder / "landmarks.csv").write_text("".join(rows), encoding="ascii")


def make_reviews() -> None:
    """Write ``reviews/reviews.tsv`` and ``reviews/vocabulary.txt``."""
    rng = np.random.default_rng(SEED)
    folder = _emptied("reviews")
    reviews = [write_review(rng) for _ in range(REVIEWS)]
    rows = ["sentence\tlabel\n", *(f"{text}\t{label}\n" for text, label in reviews)]
    (folder / "reviews.tsv").write_text("".join(rows), encoding="ascii")
    (folder / "vocabulary.txt").write_text("".join(f"{word}\n" for word in VOCABULARY), encoding="ascii")


def make_lines() -> None:
    """Write ``lines/images``, ``lines/lines.txt`` (image and text a line) and ``lines/alphabet.txt``."""
    rng = np.random.default_rng(SEED)
    folder = _emptied("lines")
    (folder / "images").mkdir()
    rows = []
    for number in range(LINES):
        text, size = write_line(rng, int(rng.integers(CHARACTERS[0], CHARACTERS[1] + 1))), int(rng.integers(*SIZES))
        height, width = room(text, size)
        picture = draw_line(text, size, (height + int(rng.integers(7)), width + int(rng.integers(13))), rng)
        # What noise leaves of a line PNG cannot compress.
        Image.fromarray(picture).save(folder / "images" / f"{number:03d}.jpg", quality=80, optimize=True)
        rows.append(f"{number:03d}.jpg,{text}\n")
    (folder / "lines.txt").write_text("".join(rows), encoding="ascii")
    (folder / "alphabet.txt").write_text(f"{ALPHABET}\n", encoding="ascii")


def make_opinions() -> None:
    """Write ``opinions/opinions.tsv``; the vocabulary is that of the reviews."""
    rng = np.random.default_rng(SEED)
    folder = _emptied("opinions")
    opinions = [write_opinions(rng, int(rng.integers(*SENTENCES))) for _ in range(OPINIONS)]
    rows = ["sentence\tlabel\n", *(f"{text}\t{label}\n" for text, label in opinions)]
    (folder / "opinions.tsv").write_text("".join(rows), encoding="ascii")


def _emptied(name: str) -> Path:
    folder = DATA / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main() -> None:
    """Write all data."""
    for make in (make_digits, make_scenes, make_shapes, make_faces, make_reviews, make_lines, make_opinions):
        make()


if __name__ == "__main__":
    main()
