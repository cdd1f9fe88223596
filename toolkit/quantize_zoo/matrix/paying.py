"""What a search may leave out: choices that the device does not execute as such cost time and bring none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from quantize_zoo.config import CompressionParams, WeightCompression
from quantize_zoo.graph import Placement
from quantize_zoo.quantization import ModelOption, derive_space, without_quantization
from quantize_zoo.scoring import Executed

_SHOWN = 3  # names in a note


@dataclass(frozen=True)
class Paying:
    """Where a stage starts and what it is offered.

    The ``base`` is without the quantization of ``idle`` operations, the ``placement`` without compressed weights that
    do not pay; ``notes`` tell what was left out.
    """

    placement: Placement
    base: ModelOption
    idle: frozenset[str]
    notes: tuple[str, ...]


def what_runs(placement: Placement, base: ModelOption, executed: Executed) -> Paying:
    """Return all of a stage but the compressed weights that the device, or one of a fleet's, refuses to run."""
    refused = {each.way for each in executed.compressed if each.refused}
    return Paying(_offering(placement, lambda _, way: way not in refused), base, frozenset(), ())


def what_pays(
    placement: Placement,
    base: ModelOption,
    preset: ModelOption,
    compression: CompressionParams,
    executed: Executed,
    *,
    for_size: bool,
) -> Paying:
    """Return what is left of a stage without choices that cannot pay.

    Idle is an operation for which the device tells of no INT8 kernel as the preset quantizes it, if the scope has no
    other configuration for it; where that would be all of them, none is. Tables are not, whose integers make files
    smaller; nor is anything where size is a target.

    Args:
        placement: what can be quantized.
        base: where the stage starts.
        preset: the option that the device was looked at with.
        compression: the stage's.
        executed: what the device executes of the preset's option.
        for_size: size is a target, so weights pay that the device unpacks, or does not compute with.

    """
    runs = what_runs(placement, base, executed).placement
    offered = runs if for_size else _without_unpacked(runs, executed)
    reading = {name for point in placement.activations for name in point.operations}
    space = derive_space(offered, base, compression)
    idle = frozenset(
        name
        for name in executed.in_floating_point & reading
        if _is_as(preset, base, name)
        and all(len(each.branches) == 1 for each in space.operations[name].branches[0].below)
    )
    left = {name for name, choice in base.operations.items() if choice.quantize} - idle
    if for_size or not left:
        idle = frozenset()
    operations = {
        name: without_quantization(choice) if name in idle and choice.quantize else choice
        for name, choice in base.operations.items()
    }
    notes = tuple(_notes(idle, runs, offered))
    return Paying(offered, replace(base, operations=operations), idle, notes)


def _is_as(preset: ModelOption, base: ModelOption, name: str) -> bool:
    """Tell whether an operation is quantized as the preset does it, or would be."""
    one, other = preset.operations[name], base.operations[name]
    weights = [None if each.weights is None else each.weights.config for each in (one, other)]
    return one.activations.config == other.activations.config and weights[0] == weights[1]


def _without_unpacked(placement: Placement, executed: Executed) -> Placement:
    """Return the placement without compressed weights that the device unpacks when it compiles a model."""
    unpacked = {each.way: each.unpacked for each in executed.compressed}
    return _offering(placement, lambda name, way: name not in unpacked.get(way, ()))


def _offering(placement: Placement, wanted: Callable[[str, WeightCompression], bool]) -> Placement:
    """Return the placement with those ways alone to compress an operation's weights that are wanted."""
    operations = tuple(
        replace(each, compressed_weights=tuple(way for way in each.compressed_weights if wanted(each.name, way)))
        for each in placement.operations
    )
    return replace(placement, operations=operations)


def _notes(idle: frozenset[str], runs: Placement, offered: Placement) -> Iterator[str]:
    if idle:
        yield (
            f"not searched: quantizing {_listed(sorted(idle))}, for which the device tells of no INT8 kernel"
            " (with search_unexecuted: true it is)"
        )
    lost = [
        before.name
        for before, after in zip(runs.operations, offered.operations, strict=True)
        if len(after.compressed_weights) < len(before.compressed_weights)
    ]
    if lost:
        yield f"not searched: compressed weights that the device does not read as such, of {_listed(lost)}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
