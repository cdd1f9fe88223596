"""Where two models begin to differ on samples that they answer differently, layer by layer.

Both run today, each in its interpreter, as copies whose outputs are all layers' outputs. A difference is held against
what rounding gives: the baseline's own model, with constants and inputs that are off by a few units in the last place.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.layers import LayerDeviation, LayerDeviations, PrecisionTrace, reason_of, share_text
from quantize_zoo.graph import (
    common_layers,
    in_passes,
    layers_before,
    layers_of,
    save_model,
    with_bodies,
    with_layer_results,
    with_other_rounding,
)
from quantize_zoo.graph.propagation import tensor_of
from quantize_zoo.scoring import ModelProcess, Side, compile_for_accuracy, describe_execution, started
from quantize_zoo.text.counts import counted

SAMPLES = 4
_OUTPUTS = "the outputs"
_MOST_BYTES = 32_000_000  # of the layers' outputs for a sample, in one pass
_DRAWS = 3  # runs of the baseline with other roundings
_MARGIN = 2.0  # times the largest of them is what rounding may give
# Half a unit in the last place, and how many of these a layer may be off by. A sum of n products in f32 errs by about
# the root of n of them; in lower precisions products are summed up in f32, and only what goes in and out is rounded.
_ROUNDING = {"f32": 16 * 2.0**-24, "f16": 2 * 2.0**-11, "bf16": 2 * 2.0**-9}
_F32 = {"INFERENCE_PRECISION_HINT": "f32"}

Sample = Mapping[str, NDArray[Any]]
Outputs = dict[tuple[str, int], NDArray[Any]]  # of one sample, by operation and the number of its output


@dataclass(frozen=True)
class _Case:
    """Two models, the layers that they have in common, and the samples to compute them on."""

    sides: tuple[Side, Side]
    models: tuple[ov.Model, ov.Model]
    layers: tuple[str, ...]
    samples: Sequence[Sample]


class _Sums:
    """Squares of differences and of both sides, over samples, by what they are of."""

    def __init__(self) -> None:
        self._squares: dict[str, NDArray[np.float64]] = {}

    def add(self, name: str, before: Sequence[Outputs], now: Sequence[Outputs]) -> None:
        """Add all outputs of both sides to one figure."""
        for one, other in zip(before, now, strict=True):
            for first, second in zip(one.values(), other.values(), strict=True):
                self._add(name, first, second)

    def add_each(self, before: Sequence[Outputs], now: Sequence[Outputs]) -> None:
        """Add the outputs that both sides have to the figures of their layers."""
        for one, other in zip(before, now, strict=True):
            for tensor in one.keys() & other.keys():
                self._add(tensor[0], one[tensor], other[tensor])

    def _add(self, name: str, one: NDArray[Any], other: NDArray[Any]) -> None:
        self._squares[name] = self._squares.get(name, np.zeros(3)) + _squares(one, other)

    def deviation(self, name: str) -> float | None:
        """Return the norm of the difference relative to the larger side's; None if it is not finite."""
        difference, *both = self._squares.get(name, np.zeros(3))
        if difference == 0:
            return 0.0
        return float(np.sqrt(difference / max(both))) if np.isfinite(difference) and max(both) > 0 else None

    def largest(self) -> float:
        """Return the largest deviation of all."""
        found = [self.deviation(name) for name in self._squares]
        return max((np.inf if each is None else each for each in found), default=0.0)


def layer_deviations(bench: Bench, baseline: Side, candidate: Side, identifiers: Sequence[str]) -> LayerDeviations:
    """Return where the models of two sides begin to differ on these samples; never raises for what cannot be done."""
    try:
        return _compare(bench, (baseline, candidate), tuple(identifiers[:SAMPLES]))
    except Exception as error:  # of a plugin, a release or a graph; the regression is told without
        return LayerDeviations(skipped=reason_of(error))


def _compare(bench: Bench, sides: tuple[Side, Side], identifiers: tuple[str, ...]) -> LayerDeviations:
    if bench.accuracy.sequences is not None:
        return LayerDeviations(skipped="the model has states, which go on from one sample to the next")
    first, second = (bench.read(side.model) for side in sides)
    layers = common_layers(first, second)
    if not layers:
        return LayerDeviations(skipped="no layer of one model has the name and type of one of the other's")
    numbers = {name: index for index, name in reversed(list(enumerate(bench.accuracy.identifiers())))}
    samples = bench.accuracy.inputs([numbers[name] for name in identifiers])
    case = _Case(sides, (first, second), layers, samples)
    precision = describe_execution(compile_for_accuracy(first, bench.device)).inference_precision
    traces = [_trace(case, precision, {})]
    if precision != "f32":
        traces.append(_trace(case, "f32", _F32))
    return LayerDeviations(identifiers, tuple(traces), tuple(_notes(first, second, layers)))


def _notes(first: ov.Model, second: ov.Model, common: Sequence[str]) -> Iterator[str]:
    for model, side in ((first, "the baseline"), (second, "the candidate")):
        alone = [name for name in layers_of(model) if name not in common]
        if alone:
            listed = ", ".join(alone[:3]) + (", ..." if len(alone) > 3 else "")
            yield f"only {side} has {counted(alone, 'layer')}: {listed}"
    for name in with_bodies(first):
        yield f"the operations in the body of {name} are not looked into"


def _trace(case: _Case, precision: str, properties: Mapping[str, Any]) -> PrecisionTrace:
    """Compute both models in one precision, and the baseline's with other roundings, pass by pass."""
    share = _ROUNDING.get(precision, _ROUNDING["f32"])
    found, roundings, readings = _Sums(), [_Sums() for _ in range(_DRAWS)], (_Sums(), _Sums())
    shapes = {name: value.shape for name, value in case.samples[0].items()}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        runners = _runners(case.sides, properties, Path(folder), stack)
        plain = [runner.outputs(model, case.samples) for runner, model in zip(runners, case.models, strict=True)]
        found.add(_OUTPUTS, *plain)
        for layers in (None, *in_passes(case.models[0], case.layers, shapes, _MOST_BYTES)):
            before, now = plain
            if layers is not None:
                before, now = (
                    runner.outputs(model, case.samples, layers)
                    for runner, model in zip(runners, case.models, strict=True)
                )
                found.add_each(before, now)
                for side, read in zip(range(2), (before, now), strict=True):
                    readings[side].add_each(plain[side], read)
            for draw, sums in enumerate(roundings):
                rng = np.random.default_rng(draw)
                rounded = with_other_rounding(case.models[0], share, rng)
                samples = [_rounded(sample, share, rng) for sample in case.samples]
                again = runners[0].outputs(rounded, samples, layers)
                if layers is None:
                    sums.add(_OUTPUTS, before, again)
                else:
                    sums.add_each(before, again)
    limits = {name: _limit([sums.deviation(name) for sums in roundings], share) for name in (*case.layers, _OUTPUTS)}
    return PrecisionTrace(
        precision,
        tuple(_layers(case, found, limits)),
        LayerDeviation(_OUTPUTS, "", found.deviation(_OUTPUTS), limits[_OUTPUTS]),
        tuple(_reading_notes(readings, limits[_OUTPUTS])),
    )


def _layers(case: _Case, found: _Sums, limits: Mapping[str, float | None]) -> Iterator[LayerDeviation]:
    inputs, nodes = layers_before(case.models[0], case.layers), layers_of(case.models[0])
    for name in case.layers:
        before = [found.deviation(each) or 0.0 for each in inputs[name]]
        kind = nodes[name].get_type_name()
        yield LayerDeviation(name, kind, found.deviation(name), limits[name], max(before, default=None))


def _reading_notes(readings: tuple[_Sums, _Sums], limit: float | None) -> Iterator[str]:
    """Tell where a model computes something else for its outputs once those of its layers are read."""
    for sums, side in zip(readings, ("the baseline", "the candidate"), strict=True):
        moved = sums.largest()
        if limit is not None and moved > limit:
            yield f"reading the layers of {side} moves its outputs by {share_text(moved)}, beyond rounding"


class _Runner:
    """Computes layers in a process."""

    def __init__(self, process: ModelProcess, side: Side, folder: Path) -> None:
        self._process, self._side, self._folder = process, side, folder
        self._count = 0

    def outputs(self, model: ov.Model, samples: Sequence[Sample], layers: Sequence[str] | None = None) -> list[Outputs]:
        """Return each sample's outputs of these layers, or those of the model as it is."""
        of_model = {port.get_any_name(): tensor_of(port.get_node().input(0)) for port in model.outputs}
        read, tensors = (model, of_model) if layers is None else with_layer_results(model, layers)
        self._count += 1
        path = self._folder / f"{id(self)}-{self._count}.xml"
        save_model(read, path)
        self._process.load(Side(path, self._side.device, self._side.properties))
        return [
            {tensors[name]: value for name, value in outputs.items() if np.issubdtype(value.dtype, np.floating)}
            for outputs in self._process.infer(samples)
        ]


def _runners(
    sides: tuple[Side, Side], properties: Mapping[str, Any], folder: Path, stack: ExitStack
) -> tuple[_Runner, _Runner]:
    first = stack.enter_context(started(sides[0]))
    second = first
    if sides[1].python != sides[0].python:
        second = stack.enter_context(started(sides[1]))
    one, other = (
        _Runner(process, Side(side.model, side.device, {**side.properties, **properties}, side.python), folder)
        for process, side in zip((first, second), sides, strict=True)
    )
    return one, other


def _squares(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sums of squares of the difference and of both; what is no number on both sides does not differ."""
    if one.shape != other.shape:
        return np.array([np.inf, 1.0, 1.0])
    first, second = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        same = (first == second) | (np.isnan(first) & np.isnan(second))
        difference = np.where(same, 0.0, second - first)
    numbers = (difference, *(np.where(np.isfinite(each), each, 0.0) for each in (first, second)))
    found = np.array([np.square(each).sum() for each in numbers])
    return np.where(np.isnan(found), np.inf, found)


def _rounded(sample: Sample, share: float, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Return a sample whose real numbers are off by up to a share each, at random."""
    return {
        name: (value * (1 + share * rng.uniform(-1, 1, value.shape))).astype(value.dtype)
        if np.issubdtype(value.dtype, np.floating)
        else value
        for name, value in sample.items()
    }


def _limit(deviations: Sequence[float | None], share: float) -> float | None:
    """Return the most that rounding gives a layer, of its deviations with other roundings; None: no limit."""
    known = [each for each in deviations if each is not None]
    return max(share, _MARGIN * max(known)) if len(known) == len(deviations) else None
