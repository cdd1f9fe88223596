"""Where a model's time goes, by the device's own times of layers: in FP32, quantized, and where the two meet."""

from __future__ import annotations

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
from quantize_zoo.quantization.output_changes import Infer, infer_here
from quantize_zoo.scoring import Estimate, Times, compile_for_latency, compile_from, owner_of, times_in_turns
from quantize_zoo.scoring.estimate import CONFIDENCE, exponential, location_estimate
from quantize_zoo.search import Frontier, MemberSurvey, OperationSurvey, Survey, of_all

SECONDS_A_ROUND = 0.25  # of inferences
_FEWEST_ROUNDS, _MOST_ROUNDS = 2, 6  # each of which compiles all models anew
_SECONDS = 10.0  # that rounds may take
_SURELY_FASTER = 1.05  # a speedup by which it is clear that quantizing pays; trials tell the rest
_ALIKE = Estimate(1.0, None, None, "us", 0)  # what an operation saves where no times are told

# Compiles models anew and lets them take turns, again and again; yields the times of their layers of each round.
Rounds = Callable[[Sequence[ov.Model]], Iterator[Sequence[Times]]]


@dataclass(frozen=True)
class Place:
    """Where operations are surveyed: a cell's device, or a member of a fleet, by its name and share.

    ``rounds`` is None where the device is not here, ``infer`` where others compute the same in floating point.
    """

    rounds: Rounds | None
    infer: Infer | None = infer_here
    name: str = ""
    share: float = 1.0


def place_here(bench: Bench) -> Place:
    """Return the bench's device, in this process."""

    def rounds(models: Sequence[ov.Model]) -> Iterator[Sequence[Times]]:
        device, benchmark, samples = bench.device, bench.benchmark, bench.timed_samples()
        compiled = [compile_for_latency(model, device, benchmark, profiled=True) for model in models]
        yield times_in_turns(compiled, samples, SECONDS_A_ROUND)
        # One after the other is taken down: together they are as large as four models.
        again = [compile_from(compiled.pop(0), model, device, benchmark, profiled=True) for model in models]
        while True:
            compiled = [each() for each in again]
            times = times_in_turns(compiled, samples, SECONDS_A_ROUND)
            del compiled
            yield times

    return Place(rounds if bench.measures_latency else None)


def survey(pipeline: Pipeline, fp32: ov.Model, base: ModelOption, place: Place, evaluated: int) -> Survey:
    """Find out what quantizing each operation as the base does saves and changes.

    Four models take turns, each compiled several times: FP32, the base, and the base with every other operation in
    floating point, one way and the other, which have a border at every operation.

    Args:
        pipeline: what builds options' models.
        fp32: the model that they are built of.
        base: everything quantized.
        place: where operations are surveyed.
        evaluated: how many samples a trial is scored on.

    Raises:
        CellError: a model cannot be built or run.

    """
    start = time.perf_counter()
    operations = _Operations(pipeline, fp32, base)
    changes = operations.changes(place, evaluated)
    times = operations.profiled(place)
    told = operations.surveyed(times, changes)
    speedup = None if times is None else _speedup([MemberSurvey(place.name, 1.0, told, None)], [times])
    return Survey(told, speedup, time.perf_counter() - start, option_hash(base), weights_bytes(fp32))


def survey_fleet(
    pipeline: Pipeline,
    fp32: ov.Model,
    base: ModelOption,
    places: Sequence[Place],
    evaluated: int,
    *,
    allow_slower: bool,
) -> Survey:
    """Find out the same of a fleet, on one member after another.

    An operation changes as much as it does where it changes most: sums of INT8 products overflow where the instruction
    set has no VNNI. A member where that cannot be found out counts as a device that tells no times, and its changes are
    those of the others.

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
    operations = _Operations(pipeline, fp32, base)
    found = [operations.told_by(place, evaluated) for place in places]
    changes: dict[str, float] = {}
    for name, change in (item for each, _ in found for item in each.items()):
        changes[name] = max(change, changes.get(name, 0.0))
    times = [each for _, each in found]
    members = []
    for place, known in zip(places, times, strict=True):
        alone = MemberSurvey(place.name, 1.0, operations.surveyed(known, changes), None)
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
    """The operations that a base quantizes, and the models that tell of them."""

    def __init__(self, pipeline: Pipeline, fp32: ov.Model, base: ModelOption) -> None:
        self._pipeline, self._base = pipeline, base
        quantized = [name for name, choice in base.operations.items() if choice.quantize]
        self._before = layers_before(fp32, quantized)  # in graph order; operations of bodies are not among them
        self._names = list(self._before)
        self._smaller = pipeline.saved_bytes(base)
        self._even = _even(self._names, self._before)
        odd = [name for name in self._names if name not in self._even]
        options = (base, only(base, self._even), only(base, odd))
        self._models = [fp32, *(pipeline.build(each) for each in options)]
        self._regions = owners(fp32, self._names)

    def told_by(self, place: Place, evaluated: int) -> tuple[dict[str, float], NDArray[np.float64] | None]:
        """Return changes and times of a place; none where they cannot be found out, which goes to the cell's log."""
        try:
            return self.changes(place, evaluated), self.profiled(place)
        except (QuantizeZooError, RuntimeError) as error:  # of graphs or plugins that are not made for it
            print(f"operations are not surveyed on {place.name}: {error}")
            return {}, None

    def changes(self, place: Place, evaluated: int) -> dict[str, float]:
        """Return what each changes of the output; see ``Pipeline.output_changes``."""
        return {} if place.infer is None else self._pipeline.output_changes(self._base, evaluated, place.infer)

    def profiled(self, place: Place) -> NDArray[np.float64] | None:
        """Return the microseconds of each operation's region (rounds, times of ``_surveyed``, operations).

        None where they are not told.
        """
        if place.rounds is None:
            return None
        is_even = np.array([name in self._even for name in self._names])
        rounds: list[NDArray[np.float64]] = []
        wanted, since = _MOST_ROUNDS, time.perf_counter()
        for found in place.rounds(self._models):
            plain, whole, evens, odds = np.array([_by_operation(each, self._names, self._regions) for each in found])
            if not plain.any():  # a round of less than the clock's microsecond tells nothing
                return None
            # Behind the others, as what is even is behind what is odd.
            rounds.append(np.stack([plain, whole, np.where(is_even, evens, odds), np.where(is_even, odds, evens)]))
            taken = (time.perf_counter() - since) / len(rounds)
            wanted = int(np.clip(_SECONDS / taken, _FEWEST_ROUNDS, _MOST_ROUNDS))
            if len(rounds) >= wanted or self._is_clear(np.array(rounds)):
                break
        return np.array(rounds)

    def _is_clear(self, times: NDArray[np.float64]) -> bool:
        """Tell whether rounds say enough: quantizing surely pays, or surely does not."""
        if len(times) < _FEWEST_ROUNDS:
            return False
        found = _speedup([MemberSurvey("", 1.0, self.surveyed(None, {}), None)], [times])  # which tell all else
        return (found.low or 0.0) > _SURELY_FASTER or (found.high or np.inf) < 1

    def surveyed(self, times: NDArray[np.float64] | None, changes: Mapping[str, float]) -> tuple[OperationSurvey, ...]:
        """Return what is known of each with such times; without any all operations count the same."""
        rows = [None] * len(self._names) if times is None else times.T
        return tuple(
            replace(
                OperationSurvey(name, self._before[name], 1.0, 0.0, _ALIKE, 0.0, 0.0, None)
                if row is None
                else _surveyed(name, self._before[name], row),
                change=changes.get(name),
                saved_bytes=self._smaller.get(name, 0),
            )
            for name, row in zip(self._names, rows, strict=True)
        )


def _surveyed(name: str, before: tuple[str, ...], times: NDArray[np.float64]) -> OperationSurvey:
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
        None,
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
        told = tuple(_surveyed(each.name, each.before, own) for each, own in pairs)
        found.append(replace(member, operations=told))
    return Frontier(of_all(found), members=found, allow_slower=allow_slower)
