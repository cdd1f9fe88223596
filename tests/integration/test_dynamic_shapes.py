"""A model of images of any size, from its data to the report and back: each sample is fed as large as it is."""

import json

import numpy as np
import openvino as ov
import pytest
from PIL import Image

from quantize_zoo.graph import read_model, save_model


@pytest.fixture
def sizes(small):
    """The small matrix with images of different sizes, and a model that takes any; returns heights and widths."""
    rng = np.random.default_rng(0)
    found = []
    for path in sorted((small.folder / "images").iterdir()):
        with Image.open(path) as image:
            size = tuple(int(each) for each in rng.integers(40, 57, size=2))
            image.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR).save(path)
        found.append(size)
    net = read_model(small.folder / "net.onnx")
    net.reshape([-1, 3, -1, -1])
    save_model(net, small.folder / "net.xml")

    def keep_sizes(content):
        steps = content["models"][0]["datasets"][0]["preprocessing"]
        content["models"][0]["datasets"][0]["preprocessing"] = [each for each in steps if each["type"] != "resize"]

    small.edit("accuracy-check.yml", keep_sizes)
    small.edit("net.yml", lambda content: content.update(model="net.xml"))
    return found


def results(small):
    return json.loads((small.reports / "latest" / "results.json").read_text())


def test_images_of_any_size_end_to_end(sizes, small, quantize_zoo):
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports)
    assert status == 0, err
    (cell,) = results(small)["cells"]
    assert cell["status"] == "done"
    assert cell["reference"]["accuracy"]["value"] > 0.5
    (told,) = [note for note in cell["reference"]["notes"] if note.startswith("latency is that of 8 samples")]
    assert all(f"(1, 3, {height}, {width})" in told for height, width in timed(sizes))
    assert "latency is that of 8 samples" in small.cell_page()
    status, _, err = quantize_zoo("baseline", "accept", "--reports", small.reports)
    assert status == 0, err
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports, "--trials-load-method", "eval")
    assert status in (0, 1), err  # a busy machine may seem slower
    (cell,) = results(small)["cells"]
    checks = [check for check in cell["gate"]["checks"] if check["quantity"] == "accuracy"]
    assert {check["status"] for check in checks} == {"pass"}
    exported = export(small, quantize_zoo)
    assert shape_of(exported) == "[?,3,?,?]"
    status, out, err = quantize_zoo(
        "compare", small.folder / "net.xml", exported, "--model", small.folder / "net.yml", "--devices", "CPU",
        "--reports", small.reports,
    )  # fmt: skip
    assert status in (0, 1), err  # the loss of INT8 counts
    assert "latency" in out


@pytest.mark.release
def test_throughput_of_images_of_any_size(sizes, small, quantize_zoo):
    small.edit("net.yml", lambda content: content["optimizer"]["params"]["benchmark"].update(api_type="async"))
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", 1)
    assert status == 0, err
    (cell,) = results(small)["cells"]
    assert cell["final"]["latency"]["speedup"]["low"] > 0
    assert any("latency is that of 8 samples" in note for note in cell["reference"]["notes"])


def export(small, quantize_zoo):
    status, _, err = quantize_zoo(
        "export", "net-CPU[f32]", "--reports", small.reports, "--output-dir", small.folder / "exported"
    )
    assert status == 0, err
    (exported,) = (small.folder / "exported").glob("*.xml")
    return exported


def timed(sizes):
    """Which images are measured: the middles of eighths of their sorted sizes, of equal ones any."""
    areas = sorted(height * width for height, width in sizes)
    middles = [areas[(2 * part + 1) * len(areas) // 16] for part in range(8)]
    unique = [next(size for size in sizes if np.prod(size) == area) for area in middles if areas.count(area) == 1]
    assert unique
    return unique


def shape_of(path):
    return str(ov.Core().read_model(path).input(0).partial_shape)


def test_pinned_shapes_are_static_throughout(sizes, small, quantize_zoo):
    small.edit(
        "accuracy-check.yml",
        lambda content: content["models"][0]["datasets"][0]["preprocessing"].insert(0, {"type": "resize", "size": 48}),
    )
    small.edit("net.yml", lambda content: content.update(input_shapes={"image": [1, 3, 48, 48]}))
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", 1)
    assert status == 0, err
    (cell,) = results(small)["cells"]
    assert not [note for note in cell["reference"]["notes"] if "latency" in note]
    assert shape_of(export(small, quantize_zoo)) == "[1,3,48,48]"
