"""Where a model's time goes, by the device's own times of layers: in FP32, quantized, and where the two meet."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import openvino as ov
import scipy
from numpy.typing import NDArray

from quantize_zoo.gate.bench import Bench
from quantize_zoo.graph import layers_before, owners, weights_bytes
from quantize_zoo.quantization import ModelOption, Pipeline, option_hash, without_quantization
from quantize_zoo.scoring import Estimate, Times, compile_for_latency, owner_of, times_in_turns
from quantize_zoo.scoring.estimate import CONFIDENCE, exponential, location_estimate
from quantize_zoo.search import Frontier, OperationSurvey, Survey, speedup

_FEWEST_ROUNDS, _MOST_ROUNDS = 2, 6  # each of which compiles all models anew
_SECONDS = 10.0  # that rounds may take
_SECONDS_A_ROUND = 0.25  # of inferences
_SURELY_FASTER = 1.05  # a speedup by which it is clear that quantizing pays; trials tell the rest


def survey(pipeline: Pipeline, fp32: ov.Model, base: ModelOption, bench: Bench, evaluated: int) -> Survey:
    """Find out what quantizing each operation as the base does saves and changes.

    Four models take turns, each compiled several times: FP32, the base, and the base with every other operation in
    floating point, one way and the other, which have a border at every operation.

    Args:
        pipeline: what builds options' models.
        fp32: the model that they are built of.
        base: everything quantized.
        bench: where and how latency is measured.
        evaluated: how many samples a trial is scored on.

    Raises:
        CellError: a model cannot be built or run.

    """
    start = time.perf_counter()
    quantized = [name for name, choice in base.operations.items() if choice.quantize]
    before = layers_before(fp32, quantized)  # in graph order; operations of bodies are not among them
    names = list(before)
    changes = pipeline.output_changes(base, evaluated)
    smaller = pipeline.saved_bytes(base)
    whole = weights_bytes(fp32)
    times = _profiled(pipeline, fp32, base, bench, before) if bench.measures_latency else None
    if times is None or not times[:, 0].any(axis=1).all():  # a round of less than the clock's microsecond tells nothing
        alike = Estimate(1.0, None, None, "us", 0)
        told = (
            OperationSurvey(name, before[name], 1.0, 0.0, alike, 0.0, 0.0, changes.get(name), smaller.get(name, 0))
            for name in names
        )
        return Survey(tuple(told), None, time.perf_counter() - start, option_hash(base), whole)
    operations = tuple(
        replace(_surveyed(name, before[name], each, changes.get(name)), saved_bytes=smaller.get(name, 0))
        for name, each in zip(names, times.T, strict=True)
    )
    return Survey(operations, _speedup(before, times), time.perf_counter() - start, option_hash(base), whole)


def _profiled(
    pipeline: Pipeline, fp32: ov.Model, base: ModelOption, bench: Bench, before: Mapping[str, tuple[str, ...]]
) -> NDArray[np.float64]:
    """Return the microseconds of each operation's region (rounds, times of ``_surveyed``, operations)."""
    names = list(before)
    even = _even(names, before)
    options = (only(base, even), only(base, [name for name in names if name not in even]))
    models = [fp32, *(pipeline.build(each) for each in (base, *options))]
    regions = owners(fp32, names)
    samples = bench.timed_samples()
    is_even = np.array([name in even for name in names])
    rounds: list[NDArray[np.float64]] = []
    wanted, since = _MOST_ROUNDS, time.perf_counter()
    while len(rounds) < wanted and not _is_clear(before, rounds):
        compiled = [compile_for_latency(model, bench.device, bench.benchmark, profiled=True) for model in models]
        turns = times_in_turns(compiled, samples, _SECONDS_A_ROUND)
        plain, whole, evens, odds = np.array([_by_operation(times, names, regions) for times in turns])
        # Behind the others, as what is even is behind what is odd.
        rounds.append(np.stack([plain, whole, np.where(is_even, evens, odds), np.where(is_even, odds, evens)]))
        del compiled
        taken = (time.perf_counter() - since) / len(rounds)
        wanted = int(np.clip(_SECONDS / taken, _FEWEST_ROUNDS, _MOST_ROUNDS))
    return np.array(rounds)


def _is_clear(before: Mapping[str, tuple[str, ...]], rounds: Sequence[NDArray[np.float64]]) -> bool:
    """Tell whether these rounds say enough: quantizing surely pays, or surely does not."""
    if len(rounds) < _FEWEST_ROUNDS or not all(each[0].any() for each in rounds):
        return False
    found = _speedup(before, np.array(rounds))
    return (found.low or 0.0) > _SURELY_FASTER or (found.high or np.inf) < 1


def _surveyed(name: str, before: tuple[str, ...], times: NDArray[np.float64], change: float | None) -> OperationSurvey:
    """Return what is known of an operation (times, rounds): in FP32, quantized, and either of them behind the other."""
    fp32, int8, entering, leaving = times
    return OperationSurvey(
        name,
        before,
        float(np.median(fp32)),
        float(np.median(int8)),
        _located(fp32 - int8, "us"),
        float(np.median(entering - int8)) if before else 0.0,
        float(np.median(leaving - fp32)) if before else 0.0,
        change,
    )


def _even(names: list[str], before: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """Return the operations with an even number of others before them, along the longest way."""
    depth: dict[str, int] = {}
    for name in names:
        depth[name] = max((depth[each] + 1 for each in before[name] if each in depth), default=0)
    return frozenset(name for name in names if depth[name] % 2 == 0)


def only(base: ModelOption, quantized: Collection[str]) -> ModelOption:
    """Return the base with nothing but these operations quantized."""
    changed = {
        name: choice if name in quantized else without_quantization(choice) for name, choice in base.operations.items()
    }
    return replace(base, operations=changed)


def _by_operation(times: Times, names: list[str], regions: Mapping[str, str]) -> list[float]:
    """Return the microseconds of each operation's region; what belongs to none is left out, as all models have it."""
    found = dict.fromkeys(names, 0.0)
    for layer, (_, micros) in times.items():
        name = regions.get(owner_of(layer, regions)) or _made_for(layer, regions)
        if name:
            found[name] += micros
    return list(found.values())


def _made_for(layer: str, regions: Mapping[str, str]) -> str:
    """Return whose a layer is that the plugin named after what it lies between: ``source_formats_reader``."""
    readers = [name for name in regions if layer.endswith(f"_{name}")]
    sources = [name for name in regions if layer.startswith(f"{name}_")]
    named = max(readers, key=len, default="") or max(sources, key=len, default="")
    return regions.get(named, "")


def _speedup(before: Mapping[str, tuple[str, ...]], times: NDArray[np.float64]) -> Estimate:
    """Return what the best choice is predicted to gain, by each round with the choice that the others make."""
    logs = []
    for left_out in range(len(times)):
        others = _frontier(before, np.delete(times, left_out, axis=0))
        held = _frontier(before, times[[left_out]])
        chosen = others.fastest(np.inf)
        saved = 0.0 if chosen is None else held.saving(chosen)
        logs.append(np.log(speedup(held.fp32_us, saved)))
    return exponential(_located(np.array(logs), "x"))


def _located(values: NDArray[np.float64], unit: str) -> Estimate:
    """Return where rounds lie; of so few that ranks give no interval, Student's: what is hardly known says so."""
    found = location_estimate(values, unit)
    if found.low is not None or len(values) < _FEWEST_ROUNDS:
        return found
    spread = float(values.std(ddof=1)) / np.sqrt(len(values))
    half = spread * float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return replace(found, low=found.value - half, high=found.value + half)


def _frontier(before: Mapping[str, tuple[str, ...]], times: NDArray[np.float64]) -> Frontier:
    pairs = zip(before.items(), times.T, strict=True)
    return Frontier([_surveyed(name, sources, own, None) for (name, sources), own in pairs])
