"""Does a model's inference fit into the memory of this machine? Told by its shapes, before anything is compiled."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.graph.operations import CONVOLUTIONS
from quantize_zoo.graph.opset import Node, Output

# The most that a container's processes may have together, of both versions of control groups.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_bytes() -> int:
    """Return how many bytes a process may have here: the machine's, its container's, or its own limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _LIMITS:
        with suppress(OSError, ValueError):  # there is none, or it is "max"
            limits.append(int(file.read_text()))
    own, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([*limits, own] if own != resource.RLIM_INFINITY else limits)


def require_memory(
    model: ov.Model,
    shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    where: str = "input_shapes",
    memory: Callable[[], int] = memory_bytes,
) -> None:
    """Refuse a model whose inputs, or whatever it certainly keeps besides, are more than the memory takes.

    A dynamic dimension counts as its least, so that what is refused never fits; what is not refused may still not fit.

    Args:
        model: with names of inputs.
        shapes: of what is to be inferred, by input.
        where: what they are from.
        memory: tells how many bytes there are.

    Raises:
        CellError: it does not fit.

    """
    if shapes is not None and any(port.get_partial_shape().is_dynamic for port in model.inputs):
        model = model.clone()
        try:
            model.reshape({name: list(shape) for name, shape in shapes.items()})
        except RuntimeError:  # it cannot be inferred with these: the inference tells why
            return
    available = memory()
    taken = sum(map(_bytes, model.inputs))
    if taken > available:
        named = ", ".join(f"{port.get_any_name()} {port.get_partial_shape()}" for port in model.inputs)
        raise errors.beyond_memory(f"the model's inputs ({named})", taken, available, where)
    for node, taken in _kept(model):
        if taken > available:
            what = f"operation {node.get_friendly_name()!r} with its output {node.output(0).get_partial_shape()}"
            raise errors.beyond_memory(what, taken, available, where)


def _kept(model: ov.Model) -> Iterator[tuple[Node, int]]:
    """Yield operations with the bytes that are certainly in memory at one time when they are executed."""
    for node in model.get_ops():
        if node.get_type_name() == "Result":
            yield node.input_value(0).get_node(), _bytes(node.input_value(0))
        elif node.get_type_name() in CONVOLUTIONS:  # plugins fuse others, whose tensors need not be in memory ever
            yield node, _bytes(node.input_value(0)) + _bytes(node.output(0))


def _bytes(port: Output) -> int:
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return 0
    elements = math.prod(max(1, int(each.get_min_length())) for each in shape)
    return elements * int(port.get_element_type().size)
