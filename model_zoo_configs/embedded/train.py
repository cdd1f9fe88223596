"""Train the embedded zoo and export it as ONNX (extra ``train``: torch for CPU, scikit-learn, onnx).

Run it as ``python train.py [NAME ...]``. Training data are drawn afresh in every epoch, from the training digits and
from seeds other than the validation data's; the committed validation data are never seen. Some minutes a model on two
cores. Accuracies are the accuracy checker's affair: score the exported models with ``quantize-zoo run``.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

import networks
from make_data import SEED, SENTENCES, distort, split_digits
from scenes import (
    DETECTION_SIZE,
    FACE_SIZE,
    OPINIONS_LENGTH,
    SEQUENCE_LENGTH,
    VOCABULARY,
    draw_detection,
    draw_face,
    draw_shapes,
    shrink,
    write_opinions,
    write_review,
)
from text_lines import ALPHABET, CHARACTERS, SIZES, draw_line, room, write_line

HERE = Path(__file__).parent
DIGIT_SIZE = 48
SCALES = (21, 45, 99, 153)  # of pytorch_ssd_decoder, in 1/300 of the picture
ASPECTS = ((2,), (2, 3), (2, 3))
_NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d)
Loss = Callable[[nn.Module, list[Tensor]], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a model is made: what is drawn of it, the loss of a batch, and the export's names.

    ``examples`` draws tensors, samples first and all of one shape; an epoch has ``draws`` of them. ``axes`` names
    the dynamic dimensions of inputs and outputs. Where batches differ in shape, they differ in their statistics too:
    ``frozen`` is the share of the epochs, the last ones, in which batch normalization keeps what it has learnt.
    """

    network: Callable[[], nn.Module]
    examples: Callable[[np.random.Generator], list[Tensor]]
    loss: Loss
    epochs: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rate: float = 6e-3
    draws: int = 1
    frozen: float = 0.0
    axes: dict[str, dict[int, str]] | None = None  # by default the batch, which comes first


def to_digit_input(images: np.ndarray) -> Tensor:
    """(N, 32, 32) uint8 to (N, 3, DIGIT_SIZE, DIGIT_SIZE), as the zoo's accuracy checker configuration does it."""
    pixels = torch.from_numpy(images).float().unsqueeze(1)
    pixels = functional.interpolate(pixels, DIGIT_SIZE, mode="bilinear", align_corners=False)
    return ((pixels - 127.5) / 63.75).expand(-1, 3, -1, -1).contiguous()


def to_grey_input(images: np.ndarray) -> Tensor:
    """(N, H, W) uint8 to (N, 3, H, W) in -2..2."""
    return ((torch.from_numpy(images).float() - 127.5) / 63.75).unsqueeze(1).expand(-1, 3, -1, -1).contiguous()


def to_colour_input(images: np.ndarray) -> Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W) in 0..1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0


def digit_examples(repeats: int) -> Callable[[np.random.Generator], list[Tensor]]:
    """Distorted training digits and their labels."""
    images, _, labels, _ = split_digits()

    def examples(rng: np.random.Generator) -> list[Tensor]:
        drawn = np.stack([distort(image, rng) for _ in range(repeats) for image in images])
        return [to_digit_input(drawn), torch.from_numpy(np.tile(labels, repeats))]

    return examples


def scene_examples(rng: np.random.Generator) -> list[Tensor]:
    """Scenes, the label of each default box, and its offsets."""
    images, _, labels, _ = split_digits()
    boxes = default_boxes()
    pictures, classes, offsets = [], [], []
    for _ in range(640):
        picture, found = draw_detection(images.astype(np.float64), labels, rng)
        label, offset = match(boxes, torch.from_numpy(found.corners / DETECTION_SIZE).float(), found.labels)
        pictures.append(picture)
        classes.append(label)
        offsets.append(offset)
    return [to_grey_input(np.stack(pictures)), torch.stack(classes), torch.stack(offsets)]


def shape_examples(rng: np.random.Generator) -> list[Tensor]:
    """Pictures and the class of each pixel."""
    drawn = [draw_shapes(rng) for _ in range(320)]
    masks = np.stack([mask for _, mask in drawn]).astype(np.int64)
    return [to_colour_input(np.stack([picture for picture, _ in drawn])), torch.from_numpy(masks)]


def resolution_examples(rng: np.random.Generator) -> list[Tensor]:
    """Pictures of half the resolution, and the pictures."""
    pictures = np.stack([draw_shapes(rng)[0] for _ in range(320)])
    return [to_colour_input(np.stack([shrink(picture) for picture in pictures])), to_colour_input(pictures)]


def face_examples(rng: np.random.Generator) -> list[Tensor]:
    """Faces, and their points as ten numbers in 0..1."""
    drawn = [draw_face(rng) for _ in range(640)]
    points = np.stack([points.reshape(-1) for _, points in drawn]) / FACE_SIZE
    return [to_grey_input(np.stack([face for face, _ in drawn])), torch.from_numpy(points).float()]


def review_examples(rng: np.random.Generator) -> list[Tensor]:
    """Word numbers, mask and label, as the checker's word piece tokenizer makes them of such sentences."""
    return tokenized([write_review(rng) for _ in range(3000)], SEQUENCE_LENGTH)


def opinion_examples(rng: np.random.Generator) -> list[Tensor]:
    """Word numbers, mask and label of texts of about one length."""
    sentences = int(rng.integers(*SENTENCES))
    ids, mask, labels = tokenized([write_opinions(rng, sentences) for _ in range(64)], OPINIONS_LENGTH)
    longest = int(mask.sum(1).max())
    return [ids[:, :longest], mask[:, :longest].float(), labels]


def tokenized(texts: list[tuple[str, int]], length: int) -> list[Tensor]:
    """Word numbers, mask and label of texts, padded to this length."""
    numbers = {word: number for number, word in enumerate(VOCABULARY)}
    ids, labels = np.zeros((len(texts), length), np.int64), np.zeros(len(texts), np.int64)
    for row, (text, label) in enumerate(texts):
        sequence = [numbers[word] for word in ["[CLS]", *text.split(), "[SEP]"]]
        ids[row, : len(sequence)], labels[row] = sequence, label
    return [torch.from_numpy(ids), torch.from_numpy((ids != 0).astype(np.int64)), torch.from_numpy(labels)]


def line_examples(rng: np.random.Generator) -> list[Tensor]:
    """Lines on canvases of one size, the numbers of their letters (0: none), and how many."""
    largest = int(rng.integers(*SIZES))
    sizes = rng.integers(max(SIZES[0], largest - 4), largest + 1, 64)
    # Short ones as well: by single letters the recognizer learns where in a line letters are.
    longest = int(np.exp(rng.uniform(0.0, np.log(CHARACTERS[1] + 1))))
    texts = [write_line(rng, int(rng.integers((longest + 1) // 2, longest + 1))) for _ in sizes]
    lines = [(text, int(size)) for text, size in zip(texts, sizes, strict=True)]
    height, width = np.max([room(*line) for line in lines], axis=0) + rng.integers(0, (7, 13))
    images = np.stack([draw_line(*line, (int(height), int(width)), rng) for line in lines])
    letters = np.zeros((len(texts), CHARACTERS[1]), np.int64)
    for row, text in enumerate(texts):
        letters[row, : len(text)] = [1 + ALPHABET.index(letter) for letter in text]
    counts = torch.tensor([len(text) for text in texts])
    return [to_grey_input(images)[:, :1].contiguous(), torch.from_numpy(letters), counts]


def default_boxes() -> Tensor:
    """Centre, width and height (boxes, 4) in 0..1, in the order of the checker's adapter pytorch_ssd_decoder."""
    scales = [int(scale * DETECTION_SIZE / 300) / DETECTION_SIZE for scale in SCALES]
    boxes = []
    for level, side in enumerate(networks.LEVELS):
        small, between = scales[level], math.sqrt(scales[level] * scales[level + 1])
        sizes = [(small, small), (between, between)]
        for aspect in ASPECTS[level]:
            width, height = small * math.sqrt(aspect), small / math.sqrt(aspect)
            sizes += [(width, height), (height, width)]
        for width, height in sizes:
            for row, column in itertools.product(range(side), range(side)):
                boxes.append(((column + 0.5) / side, (row + 0.5) / side, width, height))
    return torch.tensor(boxes).clamp(0, 1)


def match(boxes: Tensor, corners: Tensor, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the label of each default box (0: background), and its offsets (4, boxes) scaled by 0.1 and 0.2."""
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    shared = (torch.minimum(high[:, None], corners[:, 2:]) - torch.maximum(low[:, None], corners[:, :2])).clamp(min=0)
    area = shared.prod(2)
    overlap = area / (boxes[:, 2:].prod(1)[:, None] + (corners[:, 2:] - corners[:, :2]).prod(1) - area)
    overlap[overlap.argmax(0), torch.arange(len(corners))] = 2.0  # every object has a box
    value, chosen = overlap.max(1)
    label = torch.where(value > 0.45, torch.from_numpy(labels + 1)[chosen], 0)
    target = corners[chosen]
    centre, size = (target[:, :2] + target[:, 2:]) / 2, target[:, 2:] - target[:, :2]
    offset = torch.cat([(centre - boxes[:, :2]) / boxes[:, 2:] / 0.1, torch.log(size / boxes[:, 2:]) / 0.2], 1)
    return label, offset.T


def classification_loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
    """The last layer is the softmax that the deployed model ends with."""
    return functional.nll_loss(torch.log(model(batch[0]) + 1e-9), batch[1])


def detection_loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
    """Cross entropy with three times as many of the hardest background boxes, smooth L1 on offsets."""
    images, labels, offsets = batch
    scores, predicted = model(images)
    positive = labels > 0
    entropy = functional.cross_entropy(scores, labels, reduction="none")
    background = entropy.masked_fill(positive, 0.0)
    rank = background.argsort(1, descending=True).argsort(1)
    hard = rank < 3 * positive.sum(1, keepdim=True)
    distance = functional.smooth_l1_loss(predicted, offsets, reduction="none").sum(1)
    return ((entropy * (positive | hard)).sum() + (distance * positive).sum()) / positive.sum()


def segmentation_loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
    """Cross entropy over pixels."""
    return functional.cross_entropy(model(batch[0]), batch[1])


def distance_loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
    """Mean absolute distance, of pixels or of coordinates."""
    return functional.l1_loss(model(batch[0]), batch[1])


def review_loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
    """Cross entropy over two classes."""
    return functional.cross_entropy(model(batch[0], batch[1]), batch[2])


def opinion_loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
    """Cross entropy over two classes."""
    return functional.cross_entropy(model(batch[0], batch[1]), batch[2])


def line_loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
    """Connectionist temporal classification."""
    images, letters, counts = batch
    scores = functional.log_softmax(model(images), 2)
    steps = torch.full((len(images),), len(scores))
    return functional.ctc_loss(scores, letters, steps, counts, zero_infinity=True)


_IMAGE = ("image",)
ZOO: dict[str, Recipe] = {
    "digits-resnet": Recipe(
        networks.digits_resnet, digit_examples(1), classification_loss, 60, _IMAGE, ("probabilities",)
    ),
    "digits-mobilenet": Recipe(
        networks.digits_mobilenet, digit_examples(1), classification_loss, 60, _IMAGE, ("probabilities",)
    ),
    "digits-vit": Recipe(
        networks.VisionTransformer, digit_examples(3), classification_loss, 130, _IMAGE, ("probabilities",), rate=2e-3
    ),
    "scenes-ssd": Recipe(networks.Detector, scene_examples, detection_loss, 110, _IMAGE, ("scores", "boxes")),
    "shapes-unet": Recipe(networks.UNet, shape_examples, segmentation_loss, 70, _IMAGE, ("classes",)),
    "shapes-upscaler": Recipe(
        networks.Upscaler, resolution_examples, distance_loss, 45, _IMAGE, ("picture",), rate=2e-3
    ),
    "faces-landmarks": Recipe(networks.faces_landmarks, face_examples, distance_loss, 60, _IMAGE, ("points",)),
    "reviews-transformer": Recipe(
        networks.ReviewTransformer,
        review_examples,
        review_loss,
        40,
        ("input_ids", "input_mask"),
        ("logits",),
        rate=2e-3,
    ),
    "lines-crnn": Recipe(
        networks.LineRecognizer,
        line_examples,
        line_loss,
        160,
        _IMAGE,
        ("logits",),
        rate=5e-3,
        draws=25,
        frozen=0.25,
        axes={"image": {0: "N", 2: "H", 3: "W"}, "logits": {0: "T", 1: "N"}},
    ),
    "opinions-encoder": Recipe(
        networks.OpinionEncoder,
        opinion_examples,
        opinion_loss,
        20,
        ("tokens",),
        ("logits",),
        rate=3e-3,
        draws=25,
        axes={"tokens": {0: "N", 1: "T"}, "logits": {0: "N"}},
    ),
}


def train(model: nn.Module, recipe: Recipe) -> None:
    """Train in place: AdamW, one cycle of the learning rate, no weight decay."""
    rng = np.random.default_rng(SEED + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.rate / 2, weight_decay=0.0)
    batch, schedule = 64, None
    for epoch in range(recipe.epochs):
        model.train()
        if epoch >= recipe.epochs * (1 - recipe.frozen):
            for module in model.modules():
                if isinstance(module, _NORMALIZATIONS):
                    module.eval()
        total = 0.0
        for _ in range(recipe.draws):
            tensors = recipe.examples(rng)
            if schedule is None:
                steps = recipe.draws * -(-len(tensors[0]) // batch)
                schedule = torch.optim.lr_scheduler.OneCycleLR(
                    optimizer, recipe.rate, epochs=recipe.epochs, steps_per_epoch=steps
                )
            for chosen in torch.from_numpy(rng.permutation(len(tensors[0]))).split(batch):
                loss = recipe.loss(model, [tensor[chosen] for tensor in tensors])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += float(loss) * len(chosen) / len(tensors[0]) / recipe.draws
        if epoch % 10 == 9:
            print(f"  epoch {epoch + 1}: loss {total:.4f}", flush=True)


def fold_batch_norm(module: nn.Module) -> None:
    """Fold each batch normalization into the convolution before it, in place."""
    for child in module.children():
        if isinstance(child, nn.Sequential) and len(child) > 1 and isinstance(child[1], _NORMALIZATIONS):
            child[0] = fuse_conv_bn_eval(child[0], child[1])
            child[1] = nn.Identity()
        fold_batch_norm(child)


def make(recipe: Recipe, path: Path) -> None:
    """Train a model and export it."""
    torch.manual_seed(SEED)
    model = recipe.network()
    train(model, recipe)
    model.eval()
    fold_batch_norm(model)
    few = [tensor[:1] for tensor in recipe.examples(np.random.default_rng(SEED))[: len(recipe.inputs)]]
    torch.onnx.export(
        model, tuple(few), str(path), input_names=list(recipe.inputs), output_names=list(recipe.outputs),
        dynamic_axes=recipe.axes or {port: {0: "N"} for port in (*recipe.inputs, *recipe.outputs)},
        dynamo=False, opset_version=17,
    )  # fmt: skip
    print(f"  {path.stat().st_size / 1000:.0f} kB", flush=True)


def main(names: list[str]) -> None:
    """Train and export the named models."""
    for name in names:
        print(name, flush=True)
        make(ZOO[name], HERE / f"{name}.onnx")


if __name__ == "__main__":
    main(sys.argv[1:] or list(ZOO))
