"""A detector in two stages, built and fitted here, and pictures for it.

How many boxes the second stage gets only the picture tells: the input's shape is static, tensors inside are not.
Convolutions have random weights; what is linear in them is fitted by least squares, in seconds.
"""

import itertools

import cv2
import numpy as np
import openvino as ov
import yaml

from builders import model, named, parameter
from quantize_zoo.graph import save_model
from quantize_zoo.graph.opset import opset13 as ops

CLASSES = ("disc", "square", "triangle")
SIZE, STRIDE, POOLED = 96, 8, 5
SIDES = (16, 24, 36)  # of the anchors, in pixels
CHANNELS = (3, 16, 24, 32)
_WINDOW = 5  # places of the first stage's convolution, in each direction
_F32 = {"INFERENCE_PRECISION_HINT": "f32"}


def draw(rng):
    """A picture with one to four bright shapes on a dark ground; their classes and corners."""
    scene = np.repeat(rng.uniform(0, 0.25, (SIZE, SIZE, 1)), 3, axis=2)
    labels, corners = [], []
    for _ in range(rng.integers(1, 5)):
        half = rng.integers(8, 19)
        x, y = rng.integers(half, SIZE - half, 2)
        box = np.array([x - half, y - half, x + half, y + half], float)
        if corners and overlaps(np.array(corners), box[None]).max() > 0.02:
            continue
        label, mask = rng.integers(len(CLASSES)), np.zeros((SIZE, SIZE), np.uint8)
        if label == 0:
            cv2.circle(mask, (int(x), int(y)), int(half), 1, -1)
        else:
            top = [[x - half, y - half], [x + half, y - half]] if label == 1 else [[x, y - half]]
            cv2.fillPoly(mask, [np.array([*top, [x + half, y + half], [x - half, y + half]], np.int32)], 1)
        scene[mask > 0] = rng.uniform(0.5, 1.0, 3)
        labels.append(label)
        corners.append(box)
    noisy = scene + rng.normal(0, 0.03, scene.shape)
    return np.clip(255 * noisy, 0, 255).astype(np.uint8), np.array(labels), np.array(corners)


def overlaps(boxes, others):
    """Intersection over union (boxes, others) of corners."""
    low, high = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [(each[:, 2:] - each[:, :2]).prod(1) for each in (boxes, others)]
    return shared / (areas[0][:, None] + areas[1] - shared)


def write_detector(folder, pictures=80):
    """Write ``net.xml``, ``net.yml`` with the checker's configuration, and pictures; return the YAML's path."""
    save_model(fitted_detector(), folder / "net.xml")
    rng = np.random.default_rng(1)
    for part in ("images", "boxes"):
        (folder / part).mkdir()
    for number in range(pictures):
        picture, labels, corners = draw(rng)
        cv2.imwrite(str(folder / "images" / f"{number:03d}.png"), picture)
        rows = [f"{label} {' '.join(map(str, box))}\n" for label, box in zip(labels, corners, strict=True)]
        (folder / "boxes" / f"{number:03d}.txt").write_text("".join(rows))
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    (folder / "pairs.txt").write_text("".join(f"{number:03d}.png {number:03d}.txt\n" for number in range(pictures)))
    dataset = {
        "name": "shapes", "data_source": "images",
        "annotation_conversion": {
            "converter": "common_object_detection", "annotation_dir": "boxes", "labels_file": "labels.txt",
            "pairs_file": "pairs.txt", "has_background": True, "add_background_to_label_id": True,
        },
        "preprocessing": [{"type": "normalization", "std": 255}],
        "postprocessing": [{"type": "resize_prediction_boxes"}],
        "metrics": [{"name": "mAP", "type": "map", "overlap_threshold": 0.5, "include_boundaries": False}],
    }  # fmt: skip
    checker = {"launchers": [{"framework": "openvino", "adapter": "ssd"}], "datasets": [dataset], "name": "two-stage"}
    content = {
        "name": "two-stage", "model": "net.xml", "metric": "mAP", "accuracy_checker": {"models": [checker]},
        "compression": {"algorithms": [{
            "name": "TunableQuantization", "params": {"preset": "performance", "stat_subset_size": 40},
        }]},
        "optimizer": {"params": {
            "max_trials": 2, "accuracy_loss": 10, "latency_reduce": 0.01, "benchmark": {"duration_seconds": 0.1},
        }},
    }  # fmt: skip
    (folder / "net.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / "net.yml"


def fitted_detector(pictures=120):
    """The detector, each stage fitted to what the one before it makes of the same pictures."""
    rng = np.random.default_rng(0)
    drawn = [draw(rng) for _ in range(pictures)]
    inputs = [picture.transpose(2, 0, 1)[None].astype(np.float32) / 255 for picture, _, _ in drawn]
    image = parameter((1, 3, SIZE, SIZE))
    features = _backbone(image)
    found = _run(ov.Model([ops.result(features)], [image], "backbone"), inputs)
    proposals = _propose(features, _fit_proposals([each[0] for each in found], drawn))
    pooled = _pool(features, proposals)
    found = _run(ov.Model([ops.result(node) for node in (proposals, pooled)], [image], "first"), inputs)
    answers = _detect(proposals, pooled, _fit_head(found, drawn))
    return model(answers, image)


def anchors():
    """Corners (places x sides, 4) of the first stage's boxes, place by place."""
    centres = (np.arange(SIZE // STRIDE) + 0.5) * STRIDE
    y, x, side = np.meshgrid(centres, centres, SIDES, indexing="ij")
    return np.stack([x - side / 2, y - side / 2, x + side / 2, y + side / 2], 3).reshape(-1, 4).astype(np.float32)


def _backbone(image):
    rng, node = np.random.default_rng(0), image
    for level, (inputs, outputs) in enumerate(itertools.pairwise(CHANNELS)):
        weights = rng.normal(0, np.sqrt(2 / (9 * inputs)), (outputs, inputs, 3, 3)).astype(np.float32)
        bias = rng.normal(0, 0.1, (1, outputs, 1, 1)).astype(np.float32)
        raw = named(ops.convolution(node, weights, [2, 2], [1, 1], [1, 1], [1, 1]), f"backbone{level}")
        node = ops.relu(ops.add(raw, bias))
    return node


def _propose(features, fitted):
    """The boxes that the first NonMaxSuppression keeps (boxes, 4): anchors, moved."""
    weights, bias = fitted
    kernel = np.ascontiguousarray(weights.T.reshape(-1, CHANNELS[-1], _WINDOW, _WINDOW), np.float32)
    pad = [_WINDOW // 2] * 2
    raw = named(ops.convolution(features, kernel, [1, 1], pad, pad, [1, 1]), "proposals")
    places = ops.transpose(ops.add(raw, bias.reshape(1, -1, 1, 1)), np.array([0, 2, 3, 1]))
    values = ops.reshape(places, np.array([-1, 5]), False)
    score, offsets = ops.variadic_split(values, np.int64(1), np.array([1, 4])).outputs()
    boxes = _moved(ops.constant(anchors()), offsets)
    kept = _suppress(boxes, ops.transpose(score, np.array([1, 0])), 16, 0.6, 0.3)
    return ops.gather(boxes, ops.squeeze(_column(kept, 2), np.array([1])), np.int64(0))


def _pool(features, proposals):
    count = ops.gather(ops.shape_of(proposals, "i32"), np.array([0]), np.int64(0))
    numbers = ops.broadcast(np.int32(0), count)
    scale = 1 / STRIDE
    pooled = ops.roi_align(features, proposals, numbers, POOLED, POOLED, 2, scale, "avg", "asymmetric")
    return ops.reshape(named(pooled, "rois"), np.array([0, -1]), True)


def _detect(proposals, pooled, fitted):
    """Rows of DetectionOutput (1, 1, detections, 7), as many as the second NonMaxSuppression keeps."""
    weights, bias = fitted
    raw = named(ops.matmul(pooled, np.ascontiguousarray(weights, np.float32), False, False), "head")
    scores, offsets = ops.variadic_split(ops.add(raw, bias[None]), np.int64(1), np.array([-1, 4])).outputs()
    boxes = _moved(proposals, offsets)
    scores = ops.softmax(ops.multiply(scores, np.float32(6)), 1)
    without_background = ops.gather(scores, np.arange(1, len(CLASSES) + 1), np.int64(1))
    chances = ops.transpose(without_background, np.array([1, 0]))
    kept = _suppress(boxes, chances, 10, 0.4, 0.1)
    label, number = _column(kept, 1), _column(kept, 2)
    chance = ops.gather_nd(chances, ops.concat([label, number], 1), 0)
    corners = ops.divide(ops.gather(boxes, ops.squeeze(number, np.array([1])), np.int64(0)), np.float32(SIZE))
    columns = [
        ops.convert(_column(kept, 0), "f32"),
        ops.add(ops.convert(label, "f32"), np.float32(1)),
        ops.unsqueeze(chance, np.array([1])),
        corners,
    ]
    rows = named(ops.unsqueeze(ops.concat(columns, 1), np.array([0, 1])), "detections")
    rows.output(0).set_names({"detections"})
    return rows


def _moved(boxes, offsets):
    """Boxes moved and enlarged by offsets (boxes, 4) in shares of their sides: x, y, logarithm of width, of height."""
    corners = ops.split(boxes, np.int64(1), 4).outputs()
    shares = ops.split(offsets, np.int64(1), 4).outputs()
    low, high = [], []
    for axis in range(2):
        side = ops.subtract(corners[axis + 2], corners[axis])
        centre = ops.add(ops.add(corners[axis], ops.divide(side, np.float32(2))), ops.multiply(shares[axis], side))
        half = ops.divide(ops.multiply(side, ops.exp(shares[axis + 2])), np.float32(2))
        low.append(ops.subtract(centre, half))
        high.append(ops.add(centre, half))
    return ops.concat([*low, *high], 1)


def _suppress(boxes, scores, count, overlap, score):
    """Rows (kept, 3) of batch, class and box; the number of rows is dynamic."""
    batched = [ops.unsqueeze(each, np.array([0])) for each in (boxes, scores)]
    limits = np.int64(count), np.float32(overlap), np.float32(score)
    found = ops.non_max_suppression(*batched, *limits, np.float32(0), box_encoding="corner", output_type="i64")
    return found.output(0)


def _column(rows, number):
    return ops.gather(rows, np.array([number]), np.int64(1))


def _run(net, inputs):
    compiled = ov.Core().compile_model(net, "CPU", _F32)
    return [[np.array(each) for each in compiled(value).values()] for value in inputs]


def _fit_proposals(features, drawn):
    """Weights (window, sides x 5) and bias of objectness and offsets at each place."""
    boxes, margin = anchors(), _WINDOW // 2
    padded = np.pad(np.concatenate(features), ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (_WINDOW, _WINDOW), (2, 3))
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, CHANNELS[-1] * _WINDOW**2)
    known = [_targets(boxes, corners) for _, _, corners in drawn]
    overlap, offsets = (np.concatenate([each[index] for each in known]) for index in range(2))
    overlap, offsets = overlap.reshape(-1, len(SIDES)), offsets.reshape(-1, len(SIDES), 4)
    weights, bias = np.empty((rows.shape[1], len(SIDES), 5)), np.empty((len(SIDES), 5))
    for side in range(len(SIDES)):
        near = overlap[:, side] > 0.45
        weights[:, side, :1], bias[side, :1] = _least_squares(rows, near[:, None].astype(float), 1 + 8 * near)
        weights[:, side, 1:], bias[side, 1:] = _least_squares(rows[near], offsets[near, side])
    return weights.reshape(rows.shape[1], -1), bias.reshape(-1).astype(np.float32)


def _fit_head(found, drawn):
    """Weights and bias of background, classes and offsets of each proposal."""
    rows, labels, offsets = [], [], []
    for (proposals, pooled), (_, classes, corners) in zip(found, drawn, strict=True):
        overlap, offset, chosen = _targets(proposals, corners)
        rows.append(pooled)
        labels.append(np.where(overlap > 0.5, classes[chosen] + 1, 0))
        offsets.append(offset)
    rows, labels, offsets = np.concatenate(rows), np.concatenate(labels), np.concatenate(offsets)
    scores = _least_squares(rows, np.eye(len(CLASSES) + 1)[labels])
    moves = _least_squares(rows[labels > 0], offsets[labels > 0])
    return np.concatenate([scores[0], moves[0]], 1), np.concatenate([scores[1], moves[1]]).astype(np.float32)


def _targets(boxes, corners):
    """Overlap of each box with the object nearest to it, the offsets to that one, and which one it is."""
    overlap = overlaps(boxes, corners)
    chosen = overlap.argmax(1)
    sides, wanted = boxes[:, 2:] - boxes[:, :2], corners[chosen, 2:] - corners[chosen, :2]
    moved = (corners[chosen, :2] + wanted / 2 - boxes[:, :2] - sides / 2) / sides
    return overlap.max(1), np.concatenate([moved, np.log(wanted / sides)], 1), chosen


def _least_squares(rows, wanted, importance=None):
    """Weights and bias of a ridge regression."""
    scale = np.sqrt(np.ones(len(rows)) if importance is None else importance)[:, None]
    known = np.concatenate([rows, np.ones((len(rows), 1))], 1) * scale
    found = np.linalg.solve(known.T @ known + 0.3 * np.eye(known.shape[1]), known.T @ (wanted * scale))
    return found[:-1], found[-1]
