"""The canonical FP32 model of a cell: converted once, written as IR and read back; everything starts from that file.

What a converter leaves in memory is not what a file gives: OpenVINO keeps an ONNX model's GRU decomposed until it is
saved and read. So figures of a model in memory are not those of the model that is deployed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.graph.bodies import branches, name_bodies
from quantize_zoo.graph.files import content_hash, read_model, save_model
from quantize_zoo.graph.opset import Node

_VERSION = 2  # of what is done to a model here
Shapes = Mapping[str, Sequence[int]]  # of inputs by name; -1 is dynamic


def canonical_path(source: Path, shapes: Shapes, folder: Path) -> Path:
    """Return where the canonical model of a source is kept: by content, shapes, and the release that reads it."""
    parts = [str(_VERSION), content_hash(source), repr(sorted((key, tuple(each)) for key, each in shapes.items()))]
    digest = hashlib.sha256("\n".join([*parts, ov.get_version()]).encode()).hexdigest()
    return folder / digest[:24] / f"{source.stem}.xml"


def make_canonical(source: Path, shapes: Shapes, target: Path) -> None:
    """Convert a model, give it the shapes that are asked for and names of its own, and write it as IR.

    Raises:
        CellError: it cannot be read, has no inputs or no outputs, does not take the shapes, or cannot be written.

    """
    model = read_model(source)
    if not model.inputs or not model.outputs:
        raise errors.no_ports(source, "input" if model.outputs else "output")
    _reshape(model, shapes)
    with_own_names(model)
    save_model(model, target)


def with_own_names(model: ov.Model) -> ov.Model:
    """Give every operation, and every input and output, a name of its own, in place; return the model.

    Files may repeat names of operations, and need not name tensors. Operations in bodies are named after these.
    """
    taken: set[str] = set()
    for node in model.get_ordered_ops():
        _name_freely(node, taken)
    name_bodies(model)
    for branch in branches(model):
        for node in branch.body.get_ordered_ops():
            _name_freely(node, taken)
    tensors = {name for port in (*model.inputs, *model.outputs) for name in port.get_names()}
    for kind, ports in (("input", model.inputs), ("output", model.outputs)):
        for index, port in enumerate(ports):
            if not port.get_names():
                name = _free(f"{kind}_{index}", tensors)
                tensors.add(name)
                port.get_tensor().set_names({name})
    return model


def _name_freely(node: Node, taken: set[str]) -> None:
    name = _free(node.get_friendly_name(), taken)
    taken.add(name)
    node.set_friendly_name(name)


def _free(name: str, taken: set[str]) -> str:
    count, free = 1, name
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free


def _reshape(model: ov.Model, shapes: Shapes) -> None:
    if not shapes:
        return
    names = {name: port for port in model.inputs for name in port.get_names()}
    for name, shape in shapes.items():
        if name not in names:
            raise errors.unknown_input(name, names)
        own = names[name].get_partial_shape()
        if own.rank.is_static and len(own) != len(shape):
            raise errors.another_rank(name, len(shape), str(own), len(own))
    own_shapes = ", ".join(
        f"{port.get_any_name()} {port.get_partial_shape()}" for port in model.inputs if port.get_names()
    )
    try:
        model.reshape({names[name]: list(shape) for name, shape in shapes.items()})
    except RuntimeError as error:
        raise errors.shapes_refused(shapes, own_shapes, errors.message_of(error)) from error
