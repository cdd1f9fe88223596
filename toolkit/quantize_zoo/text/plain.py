"""Values as JSON has them, which knows neither NaN nor infinity."""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar

from pydantic_core import to_jsonable_python

Number = TypeVar("Number", float, float | None)


def plain(value: Any) -> Any:
    """Return a dataclass, a pydantic model or a container of them as plain values; null for what is not finite."""
    return _finite(to_jsonable_python(value))


def measured(value: Number) -> Number:
    """Return a measured time, or a bound of an interval, in six digits: those that come after them are noise.

    None stays None.
    """
    return value if value is None else float(f"{value:.6g}")


def json_text(value: Any, indent: int | None = None) -> str:
    """Return such a value as a JSON document, without spaces where it is not indented."""
    separators = (",", ":") if indent is None else None
    return json.dumps(plain(value), indent=indent, separators=separators, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
