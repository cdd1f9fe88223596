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
    require_memory(model, _shapes(max(inputs, key=_size)), where="dataset")
    if batch > 1:
        shapes = _shapes(min(inputs, key=_size))
        batched = batched_inputs(model) & shapes.keys()
        repeated = {name: (batch * shapes[name][0], *shapes[name][1:]) for name in batched}
        require_memory(model, shapes | repeated, where="benchmark")


def batched_inputs(model: ov.Model) -> frozenset[str]:
    """Return the inputs whose first dimension is dynamic."""
    shapes = {port.get_any_name(): port.get_partial_shape() for port in model.inputs}
    return frozenset(name for name, shape in shapes.items() if len(shape) and shape[0].is_dynamic)


def _shapes(inputs: Inputs) -> dict[str, tuple[int, ...]]:
    return {name: value.shape for name, value in inputs.items()}


def _size(inputs: Inputs) -> int:
    return sum(value.nbytes for value in inputs.values())
