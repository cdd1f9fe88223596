"""What does not fit into memory, and what a model's inputs cannot be, is told by shapes alone."""

import numpy as np
import openvino as ov
import pytest

from builders import convolution, model, parameter
from quantize_zoo.cell.room import require_room
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.graph import make_canonical, require_memory, save_model
from quantize_zoo.graph.memory import memory_bytes


def net(shape=(1, 3, 8, 8), channels=64):
    image = parameter(shape)
    return model(convolution(image, 3, channels, "conv"), image)


def few_bytes():
    return 10_000


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((1000, 3, 8, 8), "the model's inputs (image [1000,3,8,8]) take"),
        ((5, 3, 8, 8), "operation 'conv' with its output [5,64,8,8] take"),
    ],
)
def test_inputs_and_what_convolutions_make_are_counted(shape, told):
    with pytest.raises(QuantizeZooError) as refused:
        require_memory(net(shape), memory=few_bytes)
    assert told in refused.value.what


def test_dynamic_dimensions_count_as_what_is_inferred():
    dynamic = net(ov.PartialShape([-1, 3, -1, -1]), channels=1)
    require_memory(dynamic, memory=few_bytes)
    require_memory(dynamic, {"image": (1, 3, 8, 8)}, memory=few_bytes)
    with pytest.raises(QuantizeZooError, match=r"image \[64,3,8,8\]"):
        require_memory(dynamic, {"image": (64, 3, 8, 8)}, memory=few_bytes)
    assert dynamic.is_dynamic()


def test_what_fits_here_is_not_refused():
    require_memory(net())
    assert memory_bytes() > 100_000_000


@pytest.mark.parametrize("shape", [(1, 3, 16), (1, 3, 16, 16, 1)])
def test_another_number_of_dimensions_is_refused_whatever_the_operations_make_of_it(tmp_path, shape):
    save_model(net(), tmp_path / "net.xml")
    with pytest.raises(QuantizeZooError, match="input 'image' of the model has rank 4") as refused:
        make_canonical(tmp_path / "net.xml", {"image": shape}, tmp_path / "canonical.xml")
    assert refused.value.where == "input_shapes"


def test_dimensions_that_the_operations_do_not_take_are_refused_with_the_models_own(tmp_path):
    save_model(net(), tmp_path / "net.xml")
    with pytest.raises(QuantizeZooError, match=r"image \[1, 4, 8, 8\]") as refused:
        make_canonical(tmp_path / "net.xml", {"image": (1, 4, 8, 8)}, tmp_path / "canonical.xml")
    assert refused.value.remedy.endswith("the model's own are image [1,3,8,8]")


@pytest.mark.parametrize(
    ("sizes", "batch", "where"), [((8, 40), 1, "dataset"), ((8, 12), 64, "benchmark"), ((8, 12), 1, "")]
)
def test_the_largest_sample_and_a_batch_of_the_smallest_have_to_fit(monkeypatch, sizes, batch, where):
    monkeypatch.setattr("quantize_zoo.graph.memory.os.sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 10_000}.get)
    inputs = [{"image": np.zeros((1, 3, size, size), np.float32)} for size in sizes]
    dynamic = net(ov.PartialShape([-1, 3, -1, -1]), channels=1)
    if not where:
        require_room(dynamic, inputs, batch)
        return
    with pytest.raises(QuantizeZooError, match="the model's inputs") as refused:
        require_room(dynamic, inputs, batch)
    assert refused.value.where == where
