"""A model whose work is done in the branches of an If, from its data to the report and the exported file."""

import json

import numpy as np
import openvino as ov
import pytest

from quantize_zoo.graph import nodes_by_name, read_model, save_model
from quantize_zoo.graph.opset import opset13 as ops


def with_branches(net, margin):
    """The network in both branches: the first one computes it if the left half is brighter by a margin."""
    image = ops.parameter(net.input(0).get_partial_shape(), np.float32, "image")
    image.output(0).set_names(net.input(0).get_names())
    halves = ops.split(image, np.int64(3), 2)
    left, right = (ops.reduce_mean(half, np.arange(4), keep_dims=False) for half in halves.outputs())
    brighter = ops.greater(left, ops.add(right, np.float32(margin)))
    choose = ops.if_op(brighter.output(0))
    choose.set_friendly_name("choose")
    bodies = [net.clone(), net.clone()]
    choose.set_then_body(bodies[0])
    choose.set_else_body(bodies[1])
    choose.set_input(image.output(0), *(body.get_parameters()[0] for body in bodies))
    output = choose.set_output(*(body.get_results()[0] for body in bodies))
    output.set_names(net.output(0).get_names())
    return ov.Model([ops.result(output)], [image], "branches")


def run(small, quantize_zoo, margin):
    save_model(with_branches(read_model(small.folder / "net.onnx"), margin), small.folder / "net.xml")
    small.edit("net.yml", lambda content: content.update(model="net.xml"))
    status, _, err = quantize_zoo("run", small.path, "--reports", small.reports, "--max-trials", 1)
    assert status == 0, err
    (cell,) = json.loads((small.reports / "latest" / "results.json").read_text())["cells"]
    assert cell["status"] == "done"
    (exported,) = (small.reports / "latest" / "models").glob("*.xml")
    return cell, nodes_by_name(ov.Core().read_model(exported))


def quantized(nodes, branch):
    return [name for name, node in nodes.items() if branch in name and node.get_type_name() == "FakeQuantize"]


def test_both_branches_are_quantized_and_exported(small, quantize_zoo):
    cell, nodes = run(small, quantize_zoo, 0)
    assert quantized(nodes, "choose/then/")
    assert quantized(nodes, "choose/else/")
    assert not [note for note in cell["reference"]["notes"] if "branch" in note or "body" in note]
    assert cell["reference"]["accuracy"]["value"] > 0.9


@pytest.mark.release
def test_a_branch_that_is_never_taken_is_told(small, quantize_zoo):
    cell, nodes = run(small, quantize_zoo, 1e9)
    assert (
        "no calibration sample takes the branch 'choose/then': operations in it are not quantized"
        in (cell["reference"]["notes"])
    )
    assert quantized(nodes, "choose/else/")
    assert not quantized(nodes, "choose/then/")
