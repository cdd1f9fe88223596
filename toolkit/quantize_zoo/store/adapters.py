"""Dataclasses as the plain values of a JSON column, and back, whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from quantize_zoo import errors

Value = TypeVar("Value")
# An adapter is made ready when it is used first: no command uses all of them.
WHOLE = ConfigDict(extra="forbid", defer_build=True)


def stored(kind: type[Value]) -> TypeAdapter[Value]:
    """Return what reads and writes a dataclass in the store: a key that it does not have is refused, at any depth.

    Passed over, a damaged name of a key would be a value that is missing without a word.
    """
    # Pydantic takes a configuration for what is no dataclass itself, and hands it down to those within.
    whole: Any = kind | None
    return cast("TypeAdapter[Value]", TypeAdapter(whole, config=WHOLE))


def plain(adapter: TypeAdapter[Value], value: Value) -> dict[str, Any]:
    """Return a value as JSON has it: what is not a finite number is null.

    Raises:
        CellError: there must be a number where there is none; stored, it could not be read again.

    """
    text = adapter.dump_json(value)
    try:
        adapter.validate_json(text)
    except ValidationError as error:
        place, told = _first_problem(error)
        raise errors.not_storable(f"{type(value).__name__} {place.removeprefix('.')}", told) from error
    found: dict[str, Any] = json.loads(text)
    return found


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values that are finite numbers."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def read(adapter: TypeAdapter[Value], value: object, place: str) -> Value:
    """Return a value that was stored as JSON has it; ``place`` tells where it stands.

    Raises:
        ValueError: it is not what ``plain`` made; the message tells where and why.

    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{place}{problem_of(error)}") from error


def problem_of(error: ValidationError) -> str:
    """Return the first thing that is wrong: ``.latency.ratio: input should be a valid dictionary``."""
    return ": ".join(_first_problem(error))


def _first_problem(error: ValidationError) -> tuple[str, str]:
    first = error.errors(include_url=False, include_input=False)[0]
    place = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in first["loc"])
    told = first["msg"].removeprefix("Value error, ")
    return place, f"{told[:1].lower()}{told[1:]}"
