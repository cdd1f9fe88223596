"""Trials to start a search with: moves of whole groups that are worth a look before TPE has seen anything.

A random start changes half of everything at once. These change one thing for all operations (their estimator, their
mode, a step of the pipeline, how weights are compressed), or leave a part of the operations unquantized: those of one
type, those whose quantization makes the largest error of their own, and random ones, the likelier the larger their
error. Never nearly all of them: that is close to FP32, and neither fast nor a lesson.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest

import numpy as np

from quantize_zoo.config import WeightCompression
from quantize_zoo.quantization import SearchSpace, Variable
from quantize_zoo.search.labels import Choices, base_choices, labelled

# Leave out the operations with the largest errors: one, two, four ...
_RANKED = (1, 2, 4, 8, 16)
_RANDOM_TRIED = 100
_BYTE = 8  # bits
_TABLE = "Embedding"
_LARGEST_SHARE = 0.8  # of the operations that are left out together


def startup_choices(
    space: SearchSpace, types: Mapping[str, str], errors: Mapping[str, float], count: int, seed: Sequence[int] = (0,)
) -> list[Choices]:
    """Return at most ``count`` different choices.

    ``types`` has the type of each operation, ``errors`` how much quantizing it alone changes its output; of the
    operations without an error nothing is known. ``seed`` is that of the random ones.
    """
    base = base_choices(space)
    optional = _optional(space)
    moves = chain(
        chain.from_iterable(
            zip_longest(
                chain(compressed_choices(space, types), (choices for _, choices in whole_model_choices(space))),
                _by_error(space, errors, optional),
                _by_type(space, types, optional),
            )
        ),
        _at_random(space, errors, optional, np.random.default_rng(seed)),
    )
    found: list[Choices] = []
    for choices in moves:
        if len(found) == count:
            break
        if choices is not None and choices != base and choices not in found:
            found.append(choices)
    return found


def compressed_choices(space: SearchSpace, types: Mapping[str, str]) -> Iterator[Choices]:
    """Yield all weights compressed in each way that an operation has, those of others as nearly so as they can be.

    In ways of fewer than 8 bits also with 8 for the ends of the model, tables and its last operation: NNCF's default.
    """
    ends = {name for name in space.operations if types[name] == _TABLE} | set(list(space.operations)[-1:])
    for way in dict.fromkeys(way for variable in space.operations.values() for way in _compressions(variable)):
        yield _compressed(space, dict.fromkeys(space.operations, way))
        if way.bits < _BYTE:
            yield _compressed(space, {name: None if name in ends else way for name in space.operations})


def _compressed(space: SearchSpace, ways: Mapping[str, WeightCompression | None]) -> Choices:
    indices = {f"operation {name}": _index_nearest(each, ways[name]) for name, each in space.operations.items()}
    return base_choices(space, {label: index for label, index in indices.items() if index is not None})


def whole_model_choices(space: SearchSpace) -> Iterator[tuple[str, Choices]]:
    """Yield the name of each kind of variable but what is quantized, changed everywhere to each other branch."""
    base = base_choices(space)
    on_base = {label: variable for label, variable in labelled(space).items() if label in base}
    names = {variable.name: len(variable.branches) for variable in on_base.values() if variable.name != "quantize"}
    for name, branches in names.items():
        same = [label for label, variable in on_base.items() if variable.name == name]
        for branch in range(1, branches):
            changed = {label: branch for label in same if branch < len(on_base[label].branches)}
            yield name, base_choices(space, changed)


def _by_type(space: SearchSpace, types: Mapping[str, str], optional: Mapping[str, int]) -> Iterator[Choices]:
    """Leave the operations of one type unquantized."""
    for kind in dict.fromkeys(types[name] for name in optional):
        yield from _without(space, optional, [name for name in optional if types[name] == kind])


def _by_error(space: SearchSpace, errors: Mapping[str, float], optional: Mapping[str, int]) -> Iterator[Choices]:
    """Leave the operations with the largest errors unquantized."""
    ranking = sorted((name for name in optional if name in errors), key=lambda name: -errors[name])
    for size in _RANKED:
        yield from _without(space, optional, ranking[:size])


def _at_random(
    space: SearchSpace, errors: Mapping[str, float], optional: Mapping[str, int], rng: np.random.Generator
) -> Iterator[Choices]:
    """Leave random operations unquantized, the likelier the higher they rank by error."""
    if not optional:
        return
    ranking = sorted(optional, key=lambda name: -errors.get(name, 0.0))
    weights = 1 / np.arange(1, len(ranking) + 1)
    most = max(1, int(_LARGEST_SHARE * len(ranking)))
    for _ in range(_RANDOM_TRIED):
        size = int(rng.integers(1, most + 1))
        chosen = rng.choice(len(ranking), size=size, replace=False, p=weights / weights.sum())
        yield from _without(space, optional, [ranking[index] for index in chosen])


def _without(space: SearchSpace, optional: Mapping[str, int], names: Sequence[str]) -> Iterator[Choices]:
    if len(names) <= _LARGEST_SHARE * len(optional):
        yield base_choices(space, {f"operation {name}": optional[name] for name in names})


def _optional(space: SearchSpace) -> dict[str, int]:
    """Return the operations that can be left as they are in FP32, and which branch of theirs that is."""
    branches = {name: _index_of(variable, False) for name, variable in space.operations.items()}
    return {name: index for name, index in branches.items() if index}


def _index_of(variable: Variable, value: object) -> int | None:
    return next((index for index, branch in enumerate(variable.branches) if branch.value == value), None)


def _index_nearest(variable: Variable, way: WeightCompression | None) -> int | None:
    """Return the branch of a way; else that of a scale a channel, of 8 bits, or the one that is not quantized."""
    wanted = [] if way is None else [way, way.model_copy(update={"group_size": None})]
    nearest = [*wanted, *(each for each in _compressions(variable) if each.bits == _BYTE)]
    return next((index for each in (*nearest, False) if (index := _index_of(variable, each)) is not None), None)


def _compressions(variable: Variable) -> Iterator[WeightCompression]:
    return (branch.value for branch in variable.branches[1:] if isinstance(branch.value, WeightCompression))
