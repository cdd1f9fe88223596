"""Which layers a slower model spends its time in: both sides profiled in turns, over rounds of compiling anew."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import openvino as ov

from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.layers import LayerTimeChange, LayerTimes, reason_of
from quantize_zoo.scoring import CLOCK_US, Estimate, Side, Times, location_estimate, owner_of, profile_rounds

_ROUNDS = 8
_NOTHING = ("", 0.0)
# What is no layer of its own: its time is that of the operation that it was made for.
_MADE_FOR_OTHERS = frozenset({"FakeQuantize", "Constant", "Result"})


def layer_times(bench: Bench, baseline: Side, candidate: Side) -> LayerTimes:
    """Return the times of both sides' layers, the one that got slowest first; never raises for what a plugin cannot."""
    try:
        names = [_operations(bench.read(side.model)) for side in (baseline, candidate)]
        rounds = profile_rounds(baseline, candidate, bench.timed_samples(), cores=bench.benchmark.nthreads)
        return compare_times(list(itertools.islice(rounds, _ROUNDS)), names[0], names[1])
    except Exception as error:  # of a plugin, a release or a graph; the regression is told without
        return LayerTimes(skipped=reason_of(error))


def compare_times(rounds: Sequence[tuple[Times, Times]], before: Collection[str], now: Collection[str]) -> LayerTimes:
    """Compare the times of layers, round by round.

    A difference is the Hodges-Lehmann estimate over the rounds, which are independent. Its interval is wider by a tick
    of the plugin's clock on either side: that leaves fractions of a microsecond out in every inference.

    Args:
        rounds: the times of both sides.
        before: the operations of the baseline's model.
        now: those of the candidate's.

    """
    known = {*before, *now}
    first, second = ([_by_operation(each[side], known) for each in rounds] for side in (0, 1))
    ran = [{name for each in side for name in each} for side in (first, second)]
    names = dict.fromkeys(name for each in (*first, *second) for name in each)
    if not names:
        return LayerTimes(skipped="the device's plugin does not tell times of single layers")
    layers = []
    for name in names:
        one, other = (np.array([each.get(name, _NOTHING)[1] for each in side]) for side in (first, second))
        layers.append(
            LayerTimeChange(
                name,
                float(np.median(one)) if name in ran[0] else None,
                float(np.median(other)) if name in ran[1] else None,
                _widened(location_estimate(other - one, "us")),
                _kernel(name, first),
                _kernel(name, second),
                _note(name, ran[0], before, "the baseline") or _note(name, ran[1], now, "the candidate"),
            )
        )
    return LayerTimes(
        tuple(sorted(layers, key=lambda layer: -layer.difference_us.value)),
        sum(layer.baseline_us or 0.0 for layer in layers),
        sum(layer.candidate_us or 0.0 for layer in layers),
        len(rounds),
    )


def _operations(model: ov.Model) -> dict[str, None]:
    return {
        node.get_friendly_name(): None
        for node in model.get_ordered_ops()
        if node.get_type_name() not in _MADE_FOR_OTHERS
    }


def _by_operation(times: Times, known: Collection[str]) -> Times:
    """Sum up what belongs to one operation; its kernel is that of the longest part."""
    parts: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for name, part in times.items():
        parts[owner_of(name, known)].append(part)
    return {
        name: (max(found, key=lambda part: part[1])[0], sum(micros for _, micros in found))
        for name, found in parts.items()
    }


def _kernel(name: str, rounds: Sequence[Times]) -> str:
    return next((each[name][0] for each in rounds if name in each), "")


def _note(name: str, ran: Collection[str], operations: Collection[str], side: str) -> str:
    """Say why a side does not execute a layer; empty if it does."""
    if name in ran:
        return ""
    if name in operations:
        return f"in {side} it is part of another layer, or not executed"
    return f"{side} has no such layer"


def _widened(estimate: Estimate) -> Estimate:
    if estimate.low is None or estimate.high is None:
        return estimate
    return replace(estimate, low=estimate.low - CLOCK_US, high=estimate.high + CLOCK_US)
