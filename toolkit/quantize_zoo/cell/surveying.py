"""Where a model's time goes, by the device's own times of layers: in FP32, quantized, and where the two meet."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import openvino as ov
import scipy
from numpy.typing import NDArray

from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate.bench import Bench
from quantize_zoo.graph import layers_before, owners, weights_bytes
from quantize_zoo.quantization import ModelOption, Pipeline, option_hash, without_quantization
from quantize_zoo.scoring import Estimate, Times, compile_for_latency, owner_of, times_in_turns
from quantize_zoo.scoring.estimate import CONFIDENCE, exponential, location_estimate
from quantize_zoo.search import Frontier, MemberSurvey, OperationSurvey, Survey, of_all

SECONDS_A_ROUND = 0.25  # of inferences
_FEWEST_ROUNDS, _MOST_ROUNDS = 2, 6  # each of which compiles all models anew
_SECONDS = 10.0  # that rounds may take
_ALIKE = Estimate(1.0, None, None, "us", 0)  # what an operation saves where no times are told

# Compiles models anew and lets them take turns, again and again; yields the times of their layers of each round.
Rounds = Callable[[Sequence[ov.Model]], Iterator[Sequence[Times]]]


@dataclass(frozen=True)
class Profiled:
    """A place where operations are profiled, ``rounds`` None where the device is not here.

    Of a fleet each member is one, by its name and share.
    """

    rounds: Rounds | None
    name: str = ""
    share: float = 1.0


def profiled_here(bench: Bench) -> Profiled:
    """Return the bench's device as a place of this process."""

    def rounds(models: Sequence[ov.Model]) -> Iterator[Sequence[Times]]:
        samples = bench.timed_samples()
        while True:
            compiled = [compile_for_latency(model, bench.device, bench.benchmark, profiled=True) for model in models]
            times = times_in_turns(compiled, samples, SECONDS_A_ROUND)
            del compiled
            gc.collect()
            yield times

    return Profiled(rounds if bench.measures_latency else None)


def survey(pipeline: Pipeline, fp32: ov.Model, base: ModelOption, place: Profiled, evaluated: int) -> Survey:
    """Find out what quantizing each operation as the base does saves and changes.

    Four models take turns, each compiled several times: FP32, the base, and the base with every other operation in
    floating point, one way and the other, which have a border at every operation.

    Args:
        pipeline: what builds options' models.
        fp32: the model that they are built of.
        base: everything quantized.
        place: where operations are profiled.
        evaluated: how many samples a trial is scored on.

    Raises:
        CellError: a model cannot be built or run.

    """
    start = time.perf_counter()
    operations = _Operations(pipeline, fp32, base, evaluated)
    times = operations.profiled(place)
    told = operations.surveyed(times)
    speedup = None if times is None else _speedup([MemberSurvey(place.name, 1.0, told, None)], [times])
    return Survey(told, speedup, time.perf_counter() - start, option_hash(base), weights_bytes(fp32))


def survey_fleet(
    pipeline: Pipeline,
    fp32: ov.Model,
    base: ModelOption,
    places: Sequence[Profiled],
    evaluated: int,
    *,
    allow_slower: bool,
) -> Survey:
    """Find out the same of a fleet: on one member after another what operations save, once what they change.

    What they change is computed at f32 wherever that is done, and differs little between instruction sets. A member
    whose operations cannot be profiled counts as a device that tells no times.

    Args:
        pipeline: what builds options' models.
        fp32: the model that they are built of.
        base: everything quantized.
        places: the members.
        evaluated: how many samples a trial is scored on.
        allow_slower: a member may become slower than its FP32.

    Raises:
        CellError: a model cannot be built.

    """
    start = time.perf_counter()
    operations = _Operations(pipeline, fp32, base, evaluated)
    times: list[NDArray[np.float64] | None] = []
    members = []
    for place in places:
        try:
            times.append(operations.profiled(place))
        except (QuantizeZooError, RuntimeError) as error:  # of graphs or plugins that are not made for it
            print(f"operations are not profiled on {place.name}: {error}")  # to the cell's log
            times.append(None)
        told, known = operations.surveyed(times[-1]), times[-1]
        alone = MemberSurvey(place.name, 1.0, told, None)
        members.append(replace(alone, share=place.share, speedup=None if known is None else _speedup([alone], [known])))
    known_times = [each for each in times if each is not None]
    everywhere = len(known_times) == len(members)
    speedup = _speedup(members, known_times, allow_slower=allow_slower) if everywhere else None
    return Survey(
        of_all(members),
        speedup,
        time.perf_counter() - start,
        option_hash(base),
        weights_bytes(fp32),
        tuple(members),
        allow_slower,
    )


class _Operations:
    """What is to be found out of the operations that a base quantizes, and what they change."""

    def __init__(self, pipeline: Pipeline, fp32: ov.Model, base: ModelOption, evaluated: int) -> None:
        quantized = [name for name, choice in base.operations.items() if choice.quantize]
        self._before = layers_before(fp32, quantized)  # in graph order; operations of bodies are not among them
        self._names = list(self._before)
        self._changes = pipeline.output_changes(base, evaluated)
        self._smaller = pipeline.saved_bytes(base)
        self._even = _even(self._names, self._before)
        odd = [name for name in self._names if name not in self._even]
        options = (base, only(base, self._even), only(base, odd))
        self._models = [fp32, *(pipeline.build(each) for each in options)]
        self._regions = owners(fp32, self._names)

    def profiled(self, place: Profiled) -> NDArray[np.float64] | None:
        """Return the microseconds of each operation's region (rounds, times of ``_surveyed``, operations).

        None where they are not told.
        """
        if place.rounds is None:
            return None
        rounds: list[list[list[float]]] = []
        wanted, since = _MOST_ROUNDS, time.perf_counter()
        for found in place.rounds(self._models):
            rounds.append([_by_operation(times, self._names, self._regions) for times in found])
            taken = (time.perf_counter() - since) / len(rounds)
            wanted = int(np.clip(_SECONDS / taken, _FEWEST_ROUNDS, _MOST_ROUNDS))
            if len(rounds) >= wanted:
                break
        plain, whole, evens, odds = np.array(rounds).transpose(1, 0, 2)
        if not plain.any(axis=1).all():  # a round of less than the clock's microsecond tells nothing
            return None
        is_even = np.array([name in self._even for name in self._names])
        # Behind the others, as what is even is behind what is odd.
        return np.stack([plain, whole, np.where(is_even, evens, odds), np.where(is_even, odds, evens)], axis=1)

    def surveyed(self, times: NDArray[np.float64] | None) -> tuple[OperationSurvey, ...]:
        """Return what is known of each with such times; without any all operations count the same."""
        if times is None:
            return tuple(
                OperationSurvey(
                    name, self._before[name], 1.0, 0.0, _ALIKE, 0.0, 0.0, self._changes.get(name),
                    self._smaller.get(name, 0),
                )
                for name in self._names
            )  # fmt: skip
        return tuple(
            replace(
                _surveyed(name, self._before[name], each, self._changes.get(name)),
                saved_bytes=self._smaller.get(name, 0),
            )
            for name, each in zip(self._names, times.T, strict=True)
        )


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


def _speedup(
    members: Sequence[MemberSurvey], times: Sequence[NDArray[np.float64]], *, allow_slower: bool = True
) -> Estimate:
    """Return what the best choice is predicted to gain, by each round with the choice that the others make.

    Args:
        members: of a fleet; a cell is one by itself.
        times: of each.
        allow_slower: a member may become slower than its FP32.

    """
    logs = []
    for left_out in range(min(map(len, times))):
        others = _frontier(members, [np.delete(each, left_out, axis=0) for each in times], allow_slower=allow_slower)
        held = _frontier(members, [each[[left_out]] for each in times], allow_slower=allow_slower)
        logs.append(np.log(held.speedup(others.fastest(np.inf))))
    return exponential(_located(np.array(logs), "x"))


def _located(values: NDArray[np.float64], unit: str) -> Estimate:
    """Return where rounds lie; of so few that ranks give no interval, Student's: what is hardly known says so."""
    found = location_estimate(values, unit)
    if found.low is not None or len(values) < _FEWEST_ROUNDS:
        return found
    spread = float(values.std(ddof=1)) / np.sqrt(len(values))
    half = spread * float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return replace(found, low=found.value - half, high=found.value + half)


def _frontier(members: Sequence[MemberSurvey], times: Sequence[NDArray[np.float64]], *, allow_slower: bool) -> Frontier:
    """Return the frontier by these rounds of each member."""
    found = []
    for member, rounds in zip(members, times, strict=True):
        pairs = zip(member.operations, rounds.T, strict=True)
        told = tuple(_surveyed(each.name, each.before, own, each.change) for each, own in pairs)
        found.append(replace(member, operations=told))
    return Frontier(of_all(found), members=found, allow_slower=allow_slower)
