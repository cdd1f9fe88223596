"""A two-stage detector with constructed weights: proposals, regions of interest, and a head on as many as there are.

Its input is static and most of its tensors are not: NonMaxSuppression, ROIAlign and Gather make shapes of data. It
finds red and green squares on a dark ground; an image may have none.
"""

import cv2
import numpy as np
import openvino as ov

from builders import parameter
from quantize_zoo.graph.opset import opset13 as ops

SIDE, WINDOW, STRIDE, POOLED = 64, 16, 4, 4
PLACES = (SIDE - WINDOW) // STRIDE + 1
COLOURS = np.array([[30, 30, 220], [30, 220, 30]])  # BGR


def two_stage_detector():
    """Rows (image, label, score, left, top, right, bottom), as the checker's ``ssd`` adapter reads them."""
    image = parameter((1, 3, SIDE, SIDE), "image")
    features = ops.avg_pool(image, [STRIDE] * 2, [0, 0], [0, 0], [STRIDE] * 2, False)
    brightness = constant(np.full((1, 3, WINDOW // STRIDE, WINDOW // STRIDE), 1 / (3 * (WINDOW // STRIDE) ** 2)))
    objectness = ops.convolution(features, brightness, [1, 1], [0, 0], [0, 0], [1, 1])
    corners = np.stack(np.meshgrid(range(PLACES), range(PLACES), indexing="ij"), -1).reshape(-1, 2) * STRIDE
    anchors = np.concatenate([corners, corners + WINDOW], 1)  # top, left, bottom, right, as NonMaxSuppression has them
    chosen = ops.non_max_suppression(
        constant(anchors[None]), ops.reshape(objectness, np.array([1, 1, -1]), False), np.int64(8), np.float32(0.05),
        np.float32(0.25),
    ).output(0)  # fmt: skip
    places = ops.reshape(ops.gather(chosen, np.array([2]), np.int64(1)), np.array([-1]), False)
    boxes = ops.gather(constant(anchors[:, [1, 0, 3, 2]]), places, np.int64(0))
    of_image = ops.multiply(places, ops.constant(np.int64(0)))
    regions = ops.roi_align(features, boxes, of_image, POOLED, POOLED, 1, 1 / STRIDE, "avg")
    flat = ops.reshape(regions, np.array([-1, 3 * POOLED * POOLED]), False)
    hidden = ops.relu(ops.matmul(flat, constant(hidden_weights()), False, False))
    scores = ops.softmax(ops.matmul(hidden, constant(score_weights()), False, False), 1)
    best = ops.topk(scores, np.int64(1), 1, "max", "none")
    labels = ops.add(ops.convert(best.output(1), "f32"), np.float32(1))
    numbers = ops.unsqueeze(ops.convert(of_image, "f32"), np.array([1]))
    found = ops.concat([numbers, labels, best.output(0), ops.divide(boxes, np.float32(SIDE))], 1)
    result = ops.unsqueeze(found, np.array([0, 1]))
    result.output(0).set_names({"detections"})
    return ov.Model([ops.result(result)], [image], "two-stage")


def constant(values):
    return ops.constant(np.asarray(values, dtype=np.float32))


def hidden_weights():
    """The mean of each channel, and a few directions that only add noise."""
    area = POOLED * POOLED
    means = np.kron(np.eye(3), np.full((area, 1), 1 / area))
    return np.concatenate([means, 0.05 * np.random.default_rng(0).normal(size=(3 * area, 5))], 1)


def score_weights():
    """Red against green, by the channels of BGR."""
    weights = 0.05 * np.random.default_rng(1).normal(size=(8, 2))
    weights[:3] = [[0, 0], [-6, 6], [6, -6]]
    return weights


def draw_scenes(folder, count):
    """Write pictures, boxes and labels as the checker's ``common_object_detection`` reads them."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    (folder / "boxes").mkdir()
    (folder / "labels.txt").write_text("red\ngreen\n")
    for index in range(count):
        picture = rng.integers(0, 40, size=(SIDE, SIDE, 3))
        lines = []
        quarters = rng.permutation(4)[: index % 4]  # every fourth has none
        for quarter in quarters:
            top, left = (SIDE // 2 * half + STRIDE * int(rng.integers(0, 5)) for half in divmod(int(quarter), 2))
            label = int(rng.integers(2))
            noise = rng.integers(-25, 25, size=(WINDOW, WINDOW, 3))
            picture[top : top + WINDOW, left : left + WINDOW] = COLOURS[label] + noise
            lines.append(f"{label} {left} {top} {left + WINDOW} {top + WINDOW}\n")
        cv2.imwrite(str(folder / "images" / f"{index}.png"), picture.clip(0, 255))
        (folder / "boxes" / f"{index}.txt").write_text("".join(lines))
    pairs = "".join(f"{index}.png {index}.txt\n" for index in range(count))
    (folder / "pairs.txt").write_text(pairs)
