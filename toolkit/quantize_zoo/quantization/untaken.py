"""Which branches of If operations no sample takes: nothing is known of the values in them."""

from __future__ import annotations

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.graph.bodies import branches_never_taken, conditions
from quantize_zoo.graph.runtime import core
from quantize_zoo.graph.states import infer_in_order
from quantize_zoo.quantization.statistics import Samples


def untaken_branches(model: ov.Model, samples: Samples) -> tuple[str, ...]:
    """Return the names of the branches that no sample takes.

    Raises:
        CellError: inference fails.

    """
    computing, names = conditions(model)
    try:
        compiled = core().compile_model(computing, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return branches_never_taken(names, infer_in_order(compiled, samples))
    except RuntimeError as error:
        raise errors.inference_failed("looking which branches are taken", errors.message_of(error)) from error
