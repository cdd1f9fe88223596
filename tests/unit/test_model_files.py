"""Models as files: which weights belong to which model."""

import numpy as np
import pytest

from builders import model, parameter
from quantize_zoo.graph import save_model, weights_file_bytes
from quantize_zoo.graph.opset import opset13 as ops


def classifier(width):
    image = parameter((1, 8))
    return model(ops.matmul(image, ops.constant(np.ones((8, width), np.float32)), False, False), image)


@pytest.mark.parametrize("width", [1, 7, 1000])
def test_an_ir_s_constants_take_its_file_of_weights(tmp_path, width):
    save_model(classifier(width), tmp_path / "net.xml")
    assert weights_file_bytes(tmp_path / "net.xml") == (tmp_path / "net.bin").stat().st_size


def test_a_model_without_constants_has_no_weights(tmp_path):
    image = parameter((1, 8))
    save_model(model(ops.relu(image), image), tmp_path / "net.xml")
    assert weights_file_bytes(tmp_path / "net.xml") == 0


@pytest.mark.parametrize(
    "text", ["", "no XML", "<html/>", '<net><layer type="Const"><data offset="x" size="1"/></layer></net>']
)
def test_of_what_is_no_ir_nothing_is_said(tmp_path, text):
    (tmp_path / "net.xml").write_text(text)
    assert weights_file_bytes(tmp_path / "net.xml") is None
    assert weights_file_bytes(tmp_path / "missing.xml") is None
