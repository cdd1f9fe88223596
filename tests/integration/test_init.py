"""``init`` for models of every kind: what it writes runs once there are data under the names that it writes."""

import json

import cv2
import numpy as np
import openvino as ov
import pytest

from cases import axes, parameter
from quantize_zoo.graph import save_model
from quantize_zoo.graph.opset import opset13 as ops

COUNT = 40


def random(*shape, scale=0.4, seed=7):
    return ops.constant((scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32))


def net(result, *inputs):
    result.output(0).set_names({"out"})
    return ov.Model([ops.result(result)], list(inputs), "net")


def pooled_classes(image, channels):
    features = ops.relu(ops.convolution(image, random(8, channels, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1]))
    return ops.softmax(ops.matmul(ops.reduce_mean(features, axes(2, 3)), random(8, 5, scale=4), False, False), 1)


def answers_of(model, samples):
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [compiled(sample)[0] for sample in samples]


def pictures(folder, sizes):
    rng = np.random.default_rng(0)
    (folder / "data").mkdir()
    found = []
    for index, size in enumerate(sizes):
        shade = rng.integers(40, 216, size=3) + rng.integers(-40, 40, size=(*size, 3))
        picture = shade.astype(np.uint8)
        cv2.imwrite(str(folder / "data" / f"{index}.png"), picture)
        found.append(picture)
    return found


def labelled(folder, model, samples):
    """Write what the model answers as the annotation."""
    labels = [int(answer.argmax()) for answer in answers_of(model, samples)]
    assert len(set(labels)) > 1
    (folder / "annotation.txt").write_text("".join(f"{index}.png {label}\n" for index, label in enumerate(labels)))


def grey_of_any_size(folder):
    image = parameter([-1, 1, -1, -1], np.float32, "image")
    model = net(pooled_classes(image, 1), image)
    sizes = np.random.default_rng(1).integers(12, 40, size=(COUNT, 2))
    grey = [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY).astype(np.float32) for each in pictures(folder, sizes)]
    labelled(folder, model, [{"image": ((each - 127.5) / 127.5)[None, None]} for each in grey])
    return model


def bytes_channels_last(folder):
    """Preprocessing is a part of the model."""
    image = parameter([1, 24, 24, 3], np.uint8, "image")
    scaled = ops.divide(ops.subtract(ops.convert(image, "f32"), np.float32(127.5)), np.float32(127.5))
    model = net(pooled_classes(ops.transpose(scaled, axes(0, 3, 1, 2)), 3), image)
    labelled(folder, model, [{"image": each[None]} for each in pictures(folder, [(24, 24)] * COUNT)])
    return model


def tokens_of_any_length(folder):
    """Two inputs, as a tokenizer fills them."""
    ids, mask = (parameter([-1, -1], np.int64, name) for name in ("input_ids", "attention_mask"))
    words = ops.gather(random(30, 16, scale=2), ids, np.int64(0))
    masked = ops.multiply(words, ops.unsqueeze(ops.convert(mask, "f32"), axes(2)))
    mixed = ops.reduce_sum(ops.matmul(masked, random(16, 16), False, True), axes(1))
    model = net(ops.matmul(mixed, random(16, 2, seed=1), False, False), ids, mask)
    rng = np.random.default_rng(2)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{index}" for index in range(26))]
    (folder / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n")
    sentences = [rng.integers(4, 30, size=rng.integers(3, 20)) for _ in range(COUNT)]
    rows = [np.array([[2, *sentence, 3]]) for sentence in sentences]
    labels = [
        int(answer.argmax())
        for answer in answers_of(model, [{"input_ids": row, "attention_mask": np.ones_like(row)} for row in rows])
    ]
    assert len(set(labels)) > 1
    lines = [f"{' '.join(vocabulary[index] for index in sentence)}\t{label}"
             for sentence, label in zip(sentences, labels, strict=True)]  # fmt: skip
    (folder / "annotation.tsv").write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    return model


def two_arrays(folder):
    first, second = parameter([1, 6], np.float32, "first"), parameter([1, 4], np.float32, "second")
    joined = ops.concat(
        [ops.matmul(first, random(6, 8), False, False), ops.matmul(second, random(4, 8), False, False)], 1
    )
    model = net(ops.matmul(ops.relu(joined), random(16, 3), False, False), first, second)
    rng = np.random.default_rng(3)
    for name in ("data", "references"):
        (folder / name).mkdir()
    for index in range(COUNT):
        sample = {name: rng.normal(size=(1, size)).astype(np.float32) for name, size in (("first", 6), ("second", 4))}
        np.save(folder / "data" / f"{index}.npy", sample)
        (answer,) = answers_of(model, [sample])
        np.savetxt(folder / "references" / f"{index}.txt", answer[0] + 0.1 * rng.normal(size=3))
    return model


def letters_of_any_width(folder, order=(2, 0, 1)):
    """One output of (steps, batch, letters)."""
    image = parameter([1, 1, 16, -1], np.float32, "image")
    features = ops.relu(ops.convolution(image, random(12, 1, 16, 5), [16, 4], [0, 2], [0, 2], [1, 1]))
    steps = ops.transpose(ops.reshape(features, axes(1, 12, -1), False), axes(*order))
    model = net(ops.matmul(steps, random(12, 11, scale=2), False, False), image)
    letters = ["_", *"abcdefghij"]
    (folder / "vocabulary.txt").write_text("\n".join(letters) + "\n")
    sizes = [(16, int(width)) for width in np.random.default_rng(4).integers(24, 90, size=COUNT)]
    grey = [cv2.cvtColor(each, cv2.COLOR_BGR2GRAY).astype(np.float32) for each in pictures(folder, sizes)]
    texts = []
    for answer in answers_of(model, [{"image": ((each - 127.5) / 127.5)[None, None]} for each in grey]):
        best = answer.squeeze(order.index(0)).argmax(1)
        kept = [index for index, before in zip(best, [0, *best], strict=False) if index and index != before]
        texts.append("".join(letters[index] for index in kept))
    assert all(texts)
    (folder / "annotation.txt").write_text("".join(f"{index}.png {text}\n" for index, text in enumerate(texts)))
    return model


def letters_with_the_batch_first(folder):
    """One output of (batch, steps, letters), whose vocabulary has no blank."""
    model = letters_of_any_width(folder, (0, 2, 1))
    (folder / "vocabulary.txt").write_text("\n".join("abcdefghij") + "\n")
    return model


@pytest.mark.parametrize(
    ("make", "metric"),
    [
        (grey_of_any_size, "accuracy@top1"),
        (bytes_channels_last, "accuracy@top1"),
        (tokens_of_any_length, "accuracy"),
        (two_arrays, "mae"),
        (letters_of_any_width, "character_recognition_accuracy"),
        (letters_with_the_batch_first, "character_recognition_accuracy"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_init_writes_runs_with_data_under_its_names(make, metric, tmp_path, quantize_zoo, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(make(tmp_path), tmp_path / "net.xml")
    status, _, err = quantize_zoo("init", "net.xml")
    assert status == 0, err
    status, _, err = quantize_zoo("run", "net.yml", "--max-trials", 1)
    assert status == 0, err
    (cell,) = json.loads((tmp_path / "reports" / "latest" / "results.json").read_text())["cells"]
    assert cell["status"] == "done"
    assert cell["reference"]["metric"] == metric
    value = cell["reference"]["accuracy"]["value"]
    assert 0 < value < 0.2 if metric == "mae" else value > 0.95
