"""Trials to start a search with: moves of whole groups that are worth a look before TPE has seen anything.

A random start changes half of everything at once and teaches little. These change one thing for all operations (their
estimator, their mode, a step of the pipeline), or leave unquantized what is likely to pay: the operations of one type,
or those whose quantization makes the largest error of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest

from quantize_zoo.quantization import SearchSpace
from quantize_zoo.search.labels import Choices, base_choices, labelled

# Leave out the operations with the largest errors: one, two, four ...
_RANKED = (1, 2, 4, 8, 16)


def startup_choices(
    space: SearchSpace, types: Mapping[str, str], errors: Mapping[str, float], count: int
) -> list[Choices]:
    """Return at most ``count`` different choices.

    ``types`` has the type of each operation, ``errors`` how much quantizing it alone changes its output; of the
    operations without an error nothing is known.
    """
    base = base_choices(space)
    found: list[Choices] = []
    rounds = zip_longest(_whole_model(space, base), _by_type(space, types, base), _by_error(space, errors, base))
    for choices in (each for group in rounds for each in group if each is not None):
        if choices != base and choices not in found:
            found.append(choices)
    return found[:count]


def _whole_model(space: SearchSpace, base: Choices) -> Iterator[Choices]:
    """Change one kind of variable everywhere, to each of its other branches."""
    on_base = {label: variable for label, variable in labelled(space).items() if label in base}
    names = {variable.name: len(variable.branches) for variable in on_base.values() if variable.name != "quantize"}
    for name, branches in names.items():
        same = [label for label, variable in on_base.items() if variable.name == name]
        for branch in range(1, branches):
            changed = {label: branch for label in same if branch < len(on_base[label].branches)}
            yield base_choices(space, changed)


def _by_type(space: SearchSpace, types: Mapping[str, str], base: Choices) -> Iterator[Choices]:
    """Leave the operations of one type unquantized."""
    optional = _optional(space, base)
    for kind in dict.fromkeys(types[name] for name in optional):
        yield base_choices(space, {label: 1 for name, label in optional.items() if types[name] == kind})


def _by_error(space: SearchSpace, errors: Mapping[str, float], base: Choices) -> Iterator[Choices]:
    """Leave the operations with the largest errors unquantized."""
    optional = _optional(space, base)
    ranking = sorted((name for name in optional if name in errors), key=lambda name: -errors[name])
    for size in _RANKED:
        if size < len(optional):
            yield base_choices(space, {optional[name]: 1 for name in ranking[:size]})


def _optional(space: SearchSpace, base: Choices) -> dict[str, str]:
    """Return the label by operation of those that can be left unquantized."""
    operations = {f"operation {name}": name for name in space.operations}
    return {operations[label]: label for label in base if label in operations}
