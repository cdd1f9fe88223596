"""How much quantizing an operation, or several, changes the model's output: a guess of what each costs in accuracy.

One model computes every operation twice, in floating point and quantized, and an input of its own says which result is
passed on. So it is compiled once, whatever is to be switched: each operation by itself, or any of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.graph import Placement, branches_by_operation, nodes_by_name
from quantize_zoo.graph.opset import opset13 as ops
from quantize_zoo.graph.requests import infer_ahead, requests_of
from quantize_zoo.graph.runtime import core
from quantize_zoo.graph.states import Steps, continues, infer_in_order, is_stateful
from quantize_zoo.quantization.candidate import feed_with_fp32
from quantize_zoo.quantization.statistics import Samples

AT_F32 = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}  # what changes are computed with

# Compiles a model so and returns its outputs for one sample after another, in this process or in another.
Infer = Callable[[ov.Model, Samples], Iterable[list[NDArray[Any]]]]
_SWITCHES = "quantize_zoo_switches"
_TIMES_FP32 = 2.5  # what an inference takes of which every operation is computed twice


@dataclass(frozen=True)
class Switchable:
    """``model`` with one more input (operations,): which of ``operations`` pass on what they compute quantized."""

    model: ov.Model
    operations: tuple[str, ...]


def switchable(model: ov.Model, candidate: ov.Model, placement: Placement, ends: Mapping[str, str]) -> Switchable:
    """Return the model that can quantize each of its operations or not.

    Operations of bodies, and those that compute no floating point, cannot be switched.

    Args:
        model: the FP32 model.
        candidate: the same model, all of it quantized.
        placement: of the model.
        ends: by operation the addition of its bias, which is switched with it.

    """
    reference, quantized = model.clone(), candidate.clone()
    original, copies = nodes_by_name(reference), nodes_by_name(quantized)
    feed_with_fp32(quantized, reference, placement)
    inside = branches_by_operation(reference)
    names = [
        each.name
        for each in placement.operations
        if each.name not in inside and original[each.name].output(0).get_element_type().is_real()
    ]
    switches = ops.parameter([len(names)], np.bool_, name=_SWITCHES)
    switches.output(0).set_names({_SWITCHES})
    for index, name in enumerate(names):
        end = ends.get(name, name)
        is_on = ops.gather(switches, np.int64(index), np.int64(0))
        for port, output in enumerate(original[end].outputs()):
            consumers = output.get_target_inputs()
            passed = ops.select(is_on, copies[end].output(port), output)
            for consumer in consumers:
                consumer.replace_source_output(passed.output(0))
    parameters = [*reference.get_parameters(), switches]
    made = ov.Model(reference.get_results(), reference.get_sinks(), parameters, "switchable")
    return Switchable(made, tuple(names))


def affordable_samples(operations: int, evaluated: int, evaluations: float, most: int) -> int:
    """Return on how many samples so many operations can be switched for the price of some evaluations.

    Args:
        operations: how many are switched, one by one.
        evaluated: samples of an evaluation.
        evaluations: how many it may cost.
        most: samples that are enough.

    """
    return int(np.clip(evaluations * evaluated / _TIMES_FP32 / max(1, operations), 1, most))


def infer_here(model: ov.Model, samples: Samples) -> Iterator[list[NDArray[Any]]]:
    """Yield the outputs of a model for each sample; without states the next ones are inferred meanwhile.

    Raises:
        CellError: inference fails.

    """
    try:
        compiled = core().compile_model(model, "CPU", AT_F32)
        yield from infer_in_order(compiled, samples) if is_stateful(model) else _ahead(compiled, samples)
    except RuntimeError as error:
        raise errors.inference_failed("comparing outputs with FP32", errors.message_of(error)) from error


def output_changes(
    made: Switchable, sets: Sequence[Collection[str]], samples: Samples, infer: Infer = infer_here
) -> NDArray[np.float64]:
    """Return how much quantizing each set of operations changes the model's outputs in each sample (sets, samples).

    A change is relative and squared, sum((y - y_fp32)^2) / sum(y_fp32^2), the mean over the outputs in floating point.
    What is not finite counts as no number.

    Raises:
        CellError: inference fails.

    """
    switched = [np.array([name in chosen for name in made.operations], dtype=np.bool_) for chosen in ((), *sets)]
    switching = [{**sample, _SWITCHES: switches} for switches in switched for sample in samples]
    goes_on = [continues(samples, index) for index in range(len(samples))] * len(switched)
    outputs = iter(infer(made.model, Steps(switching, goes_on)))
    reference = [next(outputs) for _ in samples]
    changes = [_change(found, reference[number % len(samples)]) for number, found in enumerate(outputs)]
    return np.array(changes).reshape(len(sets), len(samples))


def _ahead(compiled: Any, samples: Samples) -> Iterator[list[NDArray[Any]]]:
    return infer_ahead(compiled, requests_of(compiled), len(samples), lambda index, *_: samples[index])


def _change(found: Sequence[NDArray[Any]], wanted: Sequence[NDArray[Any]]) -> float:
    changes = []
    for one, other in zip(found, wanted, strict=True):
        if not np.issubdtype(other.dtype, np.floating):
            continue
        if one.shape != other.shape:  # how many there are depends on the values
            changes.append(1.0)
            continue
        reference = other.astype(np.float64)
        size = float((reference**2).sum())
        if size > 0:
            changes.append(float(((one - reference) ** 2).sum()) / size)
    return float(np.mean(changes)) if changes else 0.0
