"""Options as the store has them: few tensors and choices by number, and what is as in another option left out.

For its operations, 500 or more, a search chooses between few ways to quantize a tensor: a trial tells only which.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter

from quantize_zoo.config import WeightCompression
from quantize_zoo.quantization import ModelOption, OperationOption, TensorOption
from quantize_zoo.store.adapters import read, stored

_AS_BASE = -1
Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True)
class _Stored:
    """How an option is stored.

    ``choices`` are (quantize, activations, weights), the last two positions in ``tensors``. ``operations`` are
    positions in ``choices`` by name, or for an option of the base's operations a list in the order of those, with -1
    for what is as in the base. ``compressed`` tells how weights are stored, by positions in ``choices``.
    """

    tensors: tuple[TensorOption, ...]
    choices: tuple[tuple[bool, int, int | None], ...]
    operations: dict[str, int] | tuple[int, ...]
    steps: tuple[str, ...]
    compressed: tuple[tuple[int, WeightCompression], ...] = ()


_STORED = stored(_Stored)
_OBJECT = TypeAdapter(dict[str, Any])
_COMPRESSED = TypeAdapter(tuple[tuple[int, WeightCompression], ...])
_TENSORS = TypeAdapter(tuple[TensorOption, ...])


def plain_option(option: ModelOption, base: ModelOption | None = None) -> dict[str, Any]:
    """Return an option as plain values; of what ``base`` has too nothing but that."""
    tensors: dict[TensorOption, int] = {}
    choices: dict[OperationOption, int] = {}
    same = base is not None and list(base.operations) == list(option.operations)
    operations = {
        name: _AS_BASE if same and base and base.operations[name] == choice else _number(choices, choice)
        for name, choice in option.operations.items()
    }
    listed = [
        [
            choice.quantize,
            _number(tensors, choice.activations),
            None if choice.weights is None else _number(tensors, choice.weights),
        ]
        for choice in choices
    ]
    ways = [(number, each.compressed_weights) for number, each in enumerate(choices)]
    compressed = tuple((number, way) for number, way in ways if way is not None)
    return {
        "tensors": _TENSORS.dump_python(tuple(tensors), mode="json"),
        "choices": listed,
        "operations": list(operations.values()) if same else operations,
        "steps": list(option.steps),
        "compressed": _COMPRESSED.dump_python(compressed, mode="json"),
    }


def read_option(value: object, base: Callable[[], ModelOption], place: str) -> ModelOption:
    """Return an option; ``base`` gives the one that it was stored against, if it was.

    Raises:
        ValueError: it is not what ``plain_option`` made; the message begins with ``place``.

    """
    found = read(_STORED, read(_OBJECT, value, place), place)
    compressed = dict(found.compressed)
    made = [
        OperationOption(
            quantize,
            _item(found.tensors, first, place),
            _optional(found.tensors, second, place),
            compressed.get(number),
        )
        for number, (quantize, first, second) in enumerate(found.choices)
    ]
    if isinstance(found.operations, dict):
        return ModelOption({name: _item(made, at, place) for name, at in found.operations.items()}, found.steps)
    others = base().operations
    if len(found.operations) != len(others):
        raise ValueError(f"{place}.operations: there are {len(found.operations)}, the base has {len(others)}")
    operations = {
        name: choice if at == _AS_BASE else _item(made, at, place)
        for (name, choice), at in zip(others.items(), found.operations, strict=True)
    }
    return ModelOption(operations, found.steps)


def _number(items: dict[Item, int], item: Item) -> int:
    return items.setdefault(item, len(items))


def _item(items: tuple[Item, ...] | list[Item], at: int, place: str) -> Item:
    if not 0 <= at < len(items):
        raise ValueError(f"{place}: there is no {at} of {len(items)}")
    return items[at]


def _optional(items: tuple[Item, ...], at: int | None, place: str) -> Item | None:
    return None if at is None else _item(items, at, place)
