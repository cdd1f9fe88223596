"""Two files are one model only if everything that is computed is the same."""

import numpy as np
import pytest

from builders import model, named, parameter
from quantize_zoo.graph import same_model, save_model
from quantize_zoo.graph.opset import opset13 as ops

WEIGHTS = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)


def convolution(folder, file, name="conv", stride=1, pad=1, tensor="image", after=ops.relu, weights=WEIGHTS):
    image = named(ops.parameter([1, 3, 8, 8], np.float32), name + "_in")
    image.output(0).set_names({tensor})
    node = ops.convolution(image, ops.constant(weights), [stride] * 2, [pad] * 2, [pad] * 2, [1, 1])
    result = named(after(named(node, name)), name + "_out")
    save_model(model(result, image), folder / file)
    return folder / file


def test_a_copy_under_other_names_is_the_same_model(tmp_path):
    first = convolution(tmp_path, "a.xml")
    assert same_model(first, first)
    assert same_model(first, convolution(tmp_path, "b.xml", name="other", tensor="picture"))


@pytest.mark.parametrize(
    "changed",
    [
        {"stride": 2},
        {"pad": 0},
        {"after": ops.sigmoid},
        {"weights": WEIGHTS * 2},
        {"after": lambda node: ops.relu(ops.relu(node))},
    ],
    ids=["stride", "pad", "operation", "weights", "one operation more"],
)
def test_what_computes_something_else_is_another_model(tmp_path, changed):
    assert not same_model(convolution(tmp_path, "a.xml"), convolution(tmp_path, "b.xml", **changed))


def wired(folder, file, swapped):
    """The difference of two branches, either way round: the same operations and weights with other edges."""
    image = parameter((1, 3, 8, 8))
    branches = [ops.relu(image), ops.sigmoid(image)]
    first, second = reversed(branches) if swapped else branches
    save_model(model(named(ops.subtract(first, second), "difference"), image), folder / file)
    return folder / file


def test_other_edges_are_another_model(tmp_path):
    assert not same_model(wired(tmp_path, "a.xml", False), wired(tmp_path, "b.xml", True))


def test_a_file_without_its_weights_is_not_the_same(tmp_path):
    first, second = convolution(tmp_path, "a.xml"), convolution(tmp_path, "b.xml", name="other")
    second.with_suffix(".bin").unlink()
    assert not same_model(first, second)
