"""Do a model's inferences fit into the memory of the machine that runs its cell? Told before any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.graph import require_memory

Inputs = Mapping[str, NDArray[Any]]


def require_room(model: ov.Model, inputs: Sequence[Inputs], batch: int) -> None:
    """Refuse samples whose inference takes more memory than there is, or a batch for the latency that does.

    Args:
        model: as it is deployed; what is dynamic takes the shapes of the samples.
        inputs: of the inferences that the samples take, at least one.
        batch: how many samples the latency is measured with at a time.

    Raises:
        CellError: they do not fit.

    """
    if not model.is_dynamic():  # its shapes are those that were looked at with the model
        return
    by_size = sorted(inputs, key=lambda each: sum(value.nbytes for value in each.values()))
    require_memory(model, _shapes(by_size[-1]), where="dataset")
    if batch > 1:
        batched = {port.get_any_name() for port in model.inputs if _has_dynamic_batch(port.get_partial_shape())}
        shapes = _shapes(by_size[0])
        repeated = {name: (batch * shapes[name][0], *shapes[name][1:]) for name in batched & shapes.keys()}
        require_memory(model, shapes | repeated, where="benchmark")


def _shapes(inputs: Inputs) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in inputs.items()}


def _has_dynamic_batch(shape: ov.PartialShape) -> bool:
    return bool(len(shape)) and shape[0].is_dynamic
