"""Draw the pictures and sentences of the embedded zoo; everything is a function of the generator that is handed in."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

DETECTION_SIZE = 96
SHAPES = ("background", "disc", "square", "triangle")
SHAPES_SIZE = 64
FACE_SIZE = 64
SEQUENCE_LENGTH = 32
OPINIONS_LENGTH = 128  # at most; an opinion is as long as it is

NOUNS = [
    "film",
    "plot",
    "cast",
    "score",
    "sound",
    "camera",
    "story",
    "ending",
    "script",
    "pace",
    "hero",
    "villain",
    "set",
    "costume",
    "dialogue",
    "scene",
]
STRENGTHS = {
    "superb": 3, "brilliant": 3, "great": 2, "clever": 2, "lovely": 2, "good": 1, "decent": 1, "fine": 1, "nice": 1,
    "awful": -3, "terrible": -3, "dull": -2, "clumsy": -2, "weak": -2, "bad": -1, "slow": -1, "bland": -1, "thin": -1,
}  # fmt: skip
DEGREES = {"somewhat": 0.5, "rather": 1.0, "very": 1.5, "utterly": 2.0}
_FILLERS = ["today", "overall", "frankly", "honestly", "again", "perhaps", "still", "however", "really", "also"]
_GRAMMAR = ["the", "a", "was", "is", "and", "but", "although", "not", ",", "."]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *_GRAMMAR, *NOUNS, *STRENGTHS, *DEGREES, *_FILLERS]


@dataclass(frozen=True)
class Boxes:
    """Labels 0..9 (count,) and corners x0, y0, x1, y1 in pixels (count, 4)."""

    labels: NDArray[np.int64]
    corners: Floats


def draw_detection(images: Floats, labels: NDArray[np.int64], rng: np.random.Generator) -> tuple[Picture, Boxes]:
    """Place one to four digits of 16 to 44 pixels on a shaded background; grey, DETECTION_SIZE squared."""
    size = DETECTION_SIZE
    scene = _shading(size, rng) * 0.45
    kept: list[tuple[int, Floats]] = []
    for _ in range(rng.integers(1, 5)):
        side = int(np.exp(rng.uniform(np.log(16), np.log(44))))
        left, top = rng.integers(0, size - side, 2)
        if any(_overlap(np.array([left, top, left + side, top + side]), other) > 0.02 for _, other in kept):
            continue
        chosen = int(rng.integers(len(images)))
        digit = np.clip(cv2.resize(images[chosen], (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
        ink = np.argwhere(digit > 0.25)
        (y0, x0), (y1, x1) = ink.min(axis=0), ink.max(axis=0) + 1
        region = scene[top : top + side, left : left + side]
        scene[top : top + side, left : left + side] = np.maximum(region, digit * rng.uniform(0.5, 1.0))
        kept.append((int(labels[chosen]), np.array([left + x0, top + y0, left + x1, top + y1], dtype=np.float64)))
    scene = scene * np.exp(rng.uniform(np.log(0.4), 0)) + rng.normal(0, 0.015, scene.shape)
    boxes = Boxes(np.array([label for label, _ in kept]), np.array([box for _, box in kept]))
    return _to_bytes(scene), boxes


def draw_shapes(rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Discs, squares and triangles of many colours, and the class of each pixel; RGB and grey, SHAPES_SIZE squared."""
    size, enlarged = SHAPES_SIZE, 4
    ground = np.stack([_shading(size * enlarged, rng) for _ in range(3)], axis=2) * rng.uniform(0.3, 1.0, 3)
    classes = np.zeros((size * enlarged, size * enlarged), np.uint8)
    for _ in range(rng.integers(2, 6)):
        kind = int(rng.integers(1, len(SHAPES)))
        radius = rng.uniform(6, 16) * enlarged
        centre = rng.uniform(radius * 0.5, size * enlarged - radius * 0.5, 2)
        mask = np.zeros_like(classes)
        if kind == 1:
            cv2.circle(mask, tuple(int(value) for value in centre), int(radius), 1, -1)
        else:
            corners = {2: 4, 3: 3}[kind]
            angles = rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners
            points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
        inside = mask > 0
        classes[inside] = kind
        texture = 1.0 + 0.25 * np.sin(np.arange(size * enlarged) * rng.uniform(0.05, 0.4))[:, None, None]
        colour = rng.uniform(0.15, 1.0, 3) * texture
        ground[inside] = np.broadcast_to(colour, ground.shape)[inside]
    picture = cv2.resize(ground, (size, size), interpolation=cv2.INTER_AREA) * np.exp(rng.uniform(np.log(0.25), 0))
    picture += rng.normal(0, 0.02, picture.shape)
    return _to_bytes(picture), classes[enlarged // 2 :: enlarged, enlarged // 2 :: enlarged]


def shrink(picture: Picture) -> Picture:
    """Halve a picture's height and width, as a sensor of half the resolution would see it."""
    height, width = picture.shape[:2]
    return np.asarray(cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def draw_face(rng: np.random.Generator) -> tuple[Picture, Floats]:
    """Draw a face of a few strokes; return it, grey, and x, y in pixels of eyes, nose and mouth (5, 2)."""
    size, enlarged = FACE_SIZE, 4
    canvas = _shading(size * enlarged, rng) * 0.6
    scale = rng.uniform(0.28, 0.44) * size * enlarged
    middle = rng.uniform(0.4, 0.6, 2) * size * enlarged
    turn = rng.uniform(-0.5, 0.5)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    apart, smile, yaw = rng.uniform(0.3, 0.45), rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12)
    face = np.array([[-apart, -0.25], [apart, -0.25], [yaw, 0.1], [-0.3, 0.45 - smile], [0.3, 0.45 - smile]])
    points = (face + np.array([yaw, 0.0])) @ rotation.T * scale + middle
    skin, ink = rng.uniform(0.5, 1.0), rng.uniform(0.0, 0.3)
    whole = tuple(int(value) for value in middle)
    cv2.ellipse(canvas, whole, (int(scale * 0.75), int(scale)), np.rad2deg(turn), 0, 360, skin, -1)
    for eye in points[:2]:
        cv2.circle(canvas, tuple(int(value) for value in eye), int(scale * rng.uniform(0.07, 0.13)), ink, -1)
    cv2.circle(canvas, tuple(int(value) for value in points[2]), int(scale * 0.06), (skin + ink) / 2, -1)
    bottom = (np.array([yaw, 0.45 + smile]) @ rotation.T) * scale + middle
    curve = np.stack([_bezier(points[3], 2 * bottom - (points[3] + points[4]) / 2, points[4], t) for t in _STEPS])
    cv2.polylines(canvas, [np.round(curve).astype(np.int32)], isClosed=False, color=ink, thickness=int(scale * 0.07))
    picture = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA) * np.exp(rng.uniform(np.log(0.2), 0))
    return _to_bytes(picture + rng.normal(0, 0.02, picture.shape)), points / enlarged


def write_review(rng: np.random.Generator) -> tuple[str, int]:
    """One to three opinions as a sentence; 1 if they are good on balance. What follows "but" counts twice."""
    while True:
        words, total = _write_sentence(rng)
        if abs(total) > 0.05 and len(words) <= SEQUENCE_LENGTH - 2:
            return " ".join(words), int(total > 0)


def write_opinions(rng: np.random.Generator, sentences: int) -> tuple[str, int]:
    """Several such sentences; 1 if their opinions are good on balance."""
    while True:
        written = [_write_sentence(rng) for _ in range(sentences)]
        words = [word for sentence, _ in written for word in sentence]
        total = sum(opinion for _, opinion in written)
        if abs(total) > 0.05 and len(words) <= OPINIONS_LENGTH - 2:
            return " ".join(words), int(total > 0)


def _write_sentence(rng: np.random.Generator) -> tuple[list[str], float]:
    """Return the words of a sentence, and how good its opinions are on balance."""
    words: list[str] = []
    total = 0.0
    for clause in range(rng.integers(1, 4)):
        weight = 1.0
        if clause:
            joint = str(rng.choice(["and", "but", ","]))
            words.append(joint)
            weight = 2.0 if joint == "but" else 1.0
        words += [str(rng.choice(["the", "a"])), str(rng.choice(NOUNS)), str(rng.choice(["was", "is"]))]
        sign = 1.0
        if rng.random() < 0.3:
            words.append("not")
            sign = -0.7
        if rng.random() < 0.5:
            degree = str(rng.choice(list(DEGREES)))
            words.append(degree)
            weight *= DEGREES[degree]
        opinion = str(rng.choice(list(STRENGTHS)))
        words.append(opinion)
        total += sign * weight * STRENGTHS[opinion]
        if rng.random() < 0.3:
            words.append(str(rng.choice(_FILLERS)))
    return [*words, "."], total


_STEPS = np.linspace(0, 1, 12)


def _bezier(start: Floats, control: Floats, end: Floats, t: float) -> Floats:
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end


def _shading(size: int, rng: np.random.Generator) -> Floats:
    """A smooth background in 0..1."""
    coarse = rng.uniform(0.0, 1.0, (3, 3))
    return np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def _overlap(box: Floats, other: Floats) -> float:
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    return shared / (float(np.prod(box[2:] - box[:2])) + float(np.prod(other[2:] - other[:2])) - shared)


def _to_bytes(picture: Floats) -> Picture:
    return np.clip(np.round(255.0 * picture), 0, 255).astype(np.uint8)
