"""Labels of a search space's variables, and choices by label: plain values that a store can keep.

A label names the way to a variable, since one below two branches is two variables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from quantize_zoo.quantization import Branch, Choice, ModelOption, SearchSpace, Variable, assemble, disassemble

Choices = dict[str, int]  # the branch of every variable that the other choices let exist and that has a choice


def roots(space: SearchSpace) -> dict[str, Variable]:
    """Return the variables that nothing is above, by label."""
    steps = {f"step {variable.name}": variable for variable in space.steps}
    return {**{f"operation {name}": variable for name, variable in space.operations.items()}, **steps}


def below(label: str, index: int, branch: Branch) -> dict[str, Variable]:
    """Return the variables below a branch, by label."""
    return {f"{label}={index}/{variable.name}": variable for variable in branch.below}


def labelled(space: SearchSpace) -> dict[str, Variable]:
    """Return all variables by label, those with a single branch included."""
    return {label: variable for root in roots(space).items() for label, variable in _walk(*root)}


def base_choices(space: SearchSpace, changed: Mapping[str, int] | None = None) -> Choices:
    """Return the base option's choices, which are the first branches, with some of them changed."""
    found: Choices = {}
    for label, variable in roots(space).items():
        _follow(label, variable, changed or {}, found)
    return found


def choices_at(space: SearchSpace, index: int) -> Choices:
    """Return the choices with a number, from 0 to below ``space.reachable``; every number has others."""
    found: Choices = {}
    for label, variable in roots(space).items():
        index, own = divmod(index, variable.reachable)
        _take(label, variable, own, found)
    return found


def option_of(space: SearchSpace, base: ModelOption, choices: Mapping[str, int]) -> ModelOption:
    """Return the option that choices make; what they do not name is the first branch."""
    found = {label: _choice(label, variable, choices) for label, variable in roots(space).items()}
    operations = {name: found[f"operation {name}"] for name in space.operations}
    return assemble(base, operations, {variable.name: found[f"step {variable.name}"] for variable in space.steps})


def choices_of(space: SearchSpace, option: ModelOption) -> Choices | None:
    """Return choices that make an option, always the same ones; None if the space does not reach it."""
    made = disassemble(space, option)
    if made is None:
        return None
    operations, steps = made
    found: Choices = {}
    for label, variable in roots(space).items():
        kind, _, name = label.partition(" ")
        _index(label, variable, (operations if kind == "operation" else steps)[name], found)
    return found


def _index(label: str, variable: Variable, choice: Choice, found: Choices) -> None:
    index = next(number for number, branch in enumerate(variable.branches) if branch.value == choice["value"])
    if len(variable.branches) > 1:
        found[label] = index
    for path, each in below(label, index, variable.branches[index]).items():
        _index(path, each, choice[each.name], found)


def _take(label: str, variable: Variable, index: int, found: Choices) -> None:
    """Choose what has a number among all that a variable reaches."""
    number = 0
    while index >= (size := math.prod(each.reachable for each in variable.branches[number].below)):
        number, index = number + 1, index - size
    if len(variable.branches) > 1:
        found[label] = number
    for path, each in below(label, number, variable.branches[number]).items():
        index, own = divmod(index, each.reachable)
        _take(path, each, own, found)


def _walk(label: str, variable: Variable) -> Iterator[tuple[str, Variable]]:
    yield label, variable
    for index, branch in enumerate(variable.branches):
        for item in below(label, index, branch).items():
            yield from _walk(*item)


def _follow(label: str, variable: Variable, changed: Mapping[str, int], found: Choices) -> None:
    index = changed.get(label, 0)
    if len(variable.branches) > 1:
        found[label] = index
    for path, each in below(label, index, variable.branches[index]).items():
        _follow(path, each, changed, found)


def _choice(label: str, variable: Variable, choices: Mapping[str, int]) -> Choice:
    index = choices.get(label, 0)
    branch = variable.branches[index]
    children = below(label, index, branch)
    return {"value": branch.value, **{each.name: _choice(path, each, choices) for path, each in children.items()}}
