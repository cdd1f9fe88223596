"""Pictures as calibration data: of files, of noise, and whether the model normalizes them."""

import cv2
import numpy as np
import openvino as ov
import pytest

from builders import convolution, model, named, parameter
from quantize_zoo.config.pot import Images, Noise
from quantize_zoo.errors import CellError
from quantize_zoo.graph import normalizes_input
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.scoring import make_noise, read_images, require_pictures


def taking(*shapes):
    """A model that takes inputs of these shapes."""
    inputs = [parameter(ov.PartialShape(list(shape)), f"input{index}") for index, shape in enumerate(shapes)]
    return ov.Model([ops.result(ops.relu(each)) for each in inputs], inputs, "taking")


@pytest.fixture
def pictures(tmp_path):
    """A folder with a picture of 10 x 20 pixels, which are counted, one of grey, and a text."""
    pixels = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    cv2.imwrite(str(tmp_path / "b.png"), np.full((10, 20), 7, np.uint8))
    (tmp_path / "c.txt").write_text("no picture")
    return tmp_path, pixels


@pytest.mark.parametrize(
    ("shape", "layout", "found"),
    [
        ((1, 3, 10, 20), None, (1, 3, 10, 20)), ((1, 10, 20, 3), None, (1, 10, 20, 3)),
        ((3, 10, 20), None, (3, 10, 20)), ((10, 20, 3), "HWC", (10, 20, 3)), ((1, 3, -1, -1), "CHW", (1, 3, 10, 20)),
        ((-1, 3, 5, 6), None, (1, 3, 5, 6)), ((1, 1, 10, 20), None, (1, 1, 10, 20)),
    ],
)  # fmt: skip
def test_a_picture_is_fed_in_the_layout_of_the_input(pictures, shape, layout, found):
    samples = read_images(Images(data_source=pictures[0], layout=layout), taking(shape), None)
    assert [sample["input0"].shape for sample in samples] == [found, found]


def test_pixels_are_fed_as_they_are(pictures):
    folder, pixels = pictures
    (sample,) = read_images(Images(data_source=folder / "a*"), taking((1, 10, 20, 3)), 1)
    np.testing.assert_array_equal(sample["input0"][0], pixels)


def test_the_middle_is_cut_out_of_whole_pixels(pictures):
    (sample,) = read_images(Images(data_source=folder_of(pictures), central_fraction=0.35), taking((1, 3, -1, -1)), 1)
    assert sample["input0"].shape == (1, 3, 3, 7)


def folder_of(pictures):
    return pictures[0] / "a.*"


def test_a_second_input_of_two_dimensions_takes_the_size(pictures):
    (sample,) = read_images(Images(data_source=folder_of(pictures)), taking((1, 3, 10, 20), (1, 3)), None)
    assert sample["input1"].tolist() == [[10, 20, 3]]


@pytest.mark.parametrize(
    ("shapes", "layout", "message"),
    [
        ([(1, 8)], None, "no image in any layout"), ([(1, 3, 8, 8)], "NHWC", "no image in NHWC"),
        ([(1, 3, 8, 8), (1, 3, 8, 8)], None, "the model has 2 inputs"), ([(1, 7, 8, 8)], None, "no image"),
    ],
)  # fmt: skip
def test_a_model_that_takes_no_picture_is_told(pictures, shapes, layout, message):
    with pytest.raises(CellError, match=message):
        read_images(Images(data_source=pictures[0], layout=layout), taking(*shapes), None)


def test_noise_is_always_the_same_and_every_picture_another():
    taken = taking((1, 3, 16, 24))
    first, again = make_noise(Noise(), taken, 5), make_noise(Noise(), taken, 5)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["input0"], other["input0"])
    pictures = np.stack([each["input0"] for each in first])
    assert pictures.shape == (5, 1, 3, 16, 24)
    assert pictures.min() >= 0
    assert pictures.max() <= 255
    assert len({each["input0"].tobytes() for each in first}) == 5


def test_noise_has_the_sizes_that_the_model_leaves_open():
    (sample,) = make_noise(Noise(shape=(1, 3, 32, 40)), taking((1, 3, -1, -1)), 1)
    assert sample["input0"].shape == (1, 3, 32, 40)
    with pytest.raises(CellError, match=r"engine\.shape has 2"):
        make_noise(Noise(shape=(1, 3)), taking((1, 3, -1, -1)), 1)


@pytest.mark.parametrize(
    ("taken", "shape", "message"),
    [
        ((1, 3, 16, 16), (1, 3, 32, 32), r"is \(1, 3, 32, 32\), which the model's input \(1, 3, 16, 16\) cannot have"),
        ((1, 3, -1, -1), (1, 1, 32, 32), "cannot have"),
        ((-1, 3, 16, 16), (4, 3, None, None), "one at a time"),
        ((1, 3, ov.Dimension(8, 16), -1), (1, 3, 32, 32), "cannot have"),
    ],
)  # fmt: skip
def test_a_shape_that_the_model_cannot_have_is_told(pictures, taken, shape, message):
    for engine in (Noise(shape=shape), Images(data_source=pictures[0], shape=shape)):
        with pytest.raises(CellError, match=message) as raised:
            require_pictures(engine, taking(taken))
        assert raised.value.keys == ("shape",)


def test_pictures_have_the_sizes_that_the_model_leaves_open(pictures):
    images = Images(data_source=pictures[0], shape=(1, 3, 6, 8))
    assert read_images(images, taking((1, 3, -1, -1)), 1)[0]["input0"].shape == (1, 3, 6, 8)


def shifted(image):
    return ops.subtract(image, np.float32(127))


def scaled(image):
    return ops.multiply(
        np.full((1, 3, 1, 1), 0.01, np.float32), ops.transpose(ops.transpose(image, [0, 2, 3, 1]), [0, 3, 1, 2])
    )


def normalized(image):
    return ops.mvn(image, np.array([2, 3], np.int64), True, 1e-6, "inside_sqrt")


def plain(image):
    return ops.transpose(ops.transpose(image, [0, 2, 3, 1]), [0, 3, 1, 2])


def weighted(image):
    """The bias behind the first layer normalizes nothing."""
    return ops.add(convolution(image, 3, 3, "earlier"), np.ones((1, 3, 1, 1), np.float32))


@pytest.mark.parametrize(
    ("prepare", "found"), [(shifted, True), (scaled, True), (normalized, True), (plain, False), (weighted, False)]
)
def test_normalization_is_what_changes_values_before_the_first_layer(prepare, found):
    image = parameter()
    assert normalizes_input(model(named(convolution(prepare(image), 3, 4, "first"), "first"), image), "image") is found
