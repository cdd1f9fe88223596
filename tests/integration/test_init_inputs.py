"""What reaches a model by the YAML that ``init`` writes: the very data, in the model's shape, and the right answers."""

import cv2
import numpy as np
import openvino as ov
import pytest

from cases import axes, parameter
from quantize_zoo.commands.places import matrix_at
from quantize_zoo.graph import read_model, save_model, with_own_names
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import AccuracySession, find_checker
from quantize_zoo.zoo import write_starter

RNG = np.random.default_rng(0)


def summed(shape, *inputs):
    """A model that adds up whatever comes in and answers in this shape."""
    ports = [parameter(size, kind, name) for name, kind, size in inputs]
    totals = [
        ops.reduce_sum(ops.convert(port, "f32"), np.arange(len(port.output(0).partial_shape)), keep_dims=False)
        for port in ports
    ]
    total = ops.reduce_sum(ops.concat([ops.unsqueeze(each, axes(0)) for each in totals], 0), axes(0), keep_dims=False)
    return ov.Model([ops.result(ops.broadcast(total, axes(*shape)))], ports, "net")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def session(folder):
    """Open a session of a model by the file that is written for it."""

    def opened(model):
        save_model(model, folder / "net.xml")
        config = matrix_at(write_starter(folder / "net.xml", "schema.json"), [], [], {}).models[0]
        return AccuracySession(find_checker(), config, with_own_names(read_model(folder / "net.xml")))

    return opened


def picture(folder, name, size):
    (folder / "data").mkdir(exist_ok=True)
    made = RNG.integers(0, 256, size=(*size, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / "data" / name), made)
    return cv2.imread(str(folder / "data" / name))


def sample(folder, value):
    for name in ("data", "references"):
        (folder / name).mkdir()
    np.save(folder / "data" / "0.npy", value)
    np.savetxt(folder / "references" / "0.txt", np.zeros(1))


def normalized(picture):
    return ((picture.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]


@pytest.mark.parametrize(("shape", "saved"), [([1, 1, -1], (1, 1, 50)), ([1, 1, -1], (50,)), ([1, 4, 6, 5], (4, 6, 5))])
def test_an_array_stays_as_it_is_with_a_batch_and_without(shape, saved, folder, session):
    value = RNG.normal(size=saved).astype(np.float32)
    sample(folder, value)
    (found,) = session(summed((1, 1), ("signal", np.float32, shape))).inputs()
    assert np.array_equal(found["signal"].ravel(), value.ravel())
    assert found["signal"].shape == tuple(value.size if size < 0 else size for size in shape)


@pytest.mark.parametrize("names", [("x", "x_length"), ("length", "x.length"), ("0", "serve(x):0")])
def test_each_array_goes_to_the_input_of_its_name(names, folder, session):
    arrays = {name: RNG.normal(size=(1, 3)).astype(np.float32) for name in reversed(names)}
    sample(folder, arrays)
    (found,) = session(summed((1, 1), *[(name, np.float32, [1, 3]) for name in names])).inputs()
    assert all(np.array_equal(found[name], arrays[name]) for name in names)


def boxes(folder):
    (folder / "boxes").mkdir()
    (folder / "boxes" / "0.txt").write_text("0 1 1 9 9\n")
    (folder / "labels.txt").write_text("thing\n")


def test_a_detector_is_told_the_size_of_the_resized_picture(folder, session):
    picture(folder, "0.jpg", (20, 40))
    boxes(folder)
    inputs = ("im_info", np.float32, [1, 3]), ("image", np.float32, [1, 3, 24, 32])
    (found,) = session(summed((1, 1, 5, 7), *inputs)).inputs()
    assert found["image"].shape == (1, 3, 24, 32)
    assert found["im_info"].tolist() == [[24, 32, 1]]


def test_a_detector_of_any_size_is_told_the_pictures_own(folder, session):
    made = picture(folder, "0.jpg", (20, 40))
    boxes(folder)
    inputs = [("im_shape", np.float32, [1, 2]), ("image", np.float32, [1, 3, -1, -1])]
    (found,) = session(summed((1, 1, 5, 7), *inputs, ("scale_factor", np.float32, [1, 2]))).inputs()
    assert np.allclose(found["image"], normalized(made), atol=1e-6)
    assert (found["im_shape"].tolist(), found["scale_factor"].tolist()) == ([[20, 40]], [[1, 1]])


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ([1, 28, 28, 1], (1, 28, 28, 1)),
        ([1, -1, -1, 1], (1, 20, 40, 1)),
        ([1, 1, 28, 28], (1, 1, 28, 28)),
        ([1, 1, 10, -1], (1, 1, 10, 20)),
        ([1, 3, -1, 20], (1, 3, 10, 20)),
    ],
)
def test_pictures_are_resized_to_what_is_fixed(shape, shown, folder, session):
    picture(folder, "0.png", (20, 40))
    (folder / "annotation.txt").write_text("0.png 0\n")
    (found,) = session(summed((1, 5), ("image", np.uint8, shape))).inputs()
    assert found["image"].shape == shown
    assert found["image"].std() > 0


def masked(classes):
    """Tells a bright pixel from a dark one, in one map or in one a class."""
    image = parameter([1, 3, -1, -1], np.float32, "image")
    bright = ops.reduce_mean(image, axes(1), keep_dims=True)
    maps = (
        [ops.negative(bright), bright]
        if classes == 2
        else [ops.add(ops.multiply(bright, np.float32(9)), np.float32(0.5))]
    )
    return ov.Model([ops.result(ops.concat(maps, 1))], [image], "net")


@pytest.mark.parametrize("classes", [1, 2])
def test_masks_come_from_their_own_folder(classes, folder, session):
    made = picture(folder, "0.png", (20, 40))
    (folder / "masks").mkdir()
    mask = normalized(made).mean(1)[0] > 0
    cv2.imwrite(str(folder / "masks" / "0.png"), mask.astype(np.uint8))
    (folder / "classes.json").write_text('{"label_map": {"0": "dark", "1": "bright"}}')
    model = masked(classes)
    scored = session(model).score(ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    assert scored.metrics["mean_iou"] > 0.98  # a mean of zero is on one side or the other by rounding


SEGMENTS = [1, 0, 0, 0, 0, 0]  # with a vocabulary file the checker gives [CLS] a segment of its own
POSITIONS = [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("names", "third"),
    [(("0", "1", "2"), SEGMENTS), (("input_ids", "attention_mask", "position_ids"), POSITIONS)],
)
def test_tokens_mask_and_the_third_input_are_filled(names, third, folder, session):
    (folder / "vocabulary.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad"]) + "\n")
    (folder / "annotation.tsv").write_text("sentence\tlabel\ngood bad\t1\n")
    (found,) = session(summed((1, 2), *[(name, np.int64, [1, 6]) for name in names])).inputs()
    assert found[names[0]].tolist() == [[2, 4, 5, 3, 0, 0]]
    assert found[names[1]].tolist() == [[1, 1, 1, 1, 0, 0]]
    assert found[names[2]].tolist() == [third]
