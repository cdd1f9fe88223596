"""Layers of a model as the store has them: names, which stay from night to night, apart from times and kernels."""

from __future__ import annotations

from typing import Any

_TIMES = ("reference_us", "candidate_us")
_KERNELS = ("reference_kernel", "candidate_kernel")


def split_layers(final: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a plain ``Final`` whose layers are columns without their names, and the names."""
    layers = final["layers"]
    kernels: dict[str, int] = {}
    columns: dict[str, Any] = {name: [each[name] for each in layers] for name in _TIMES}
    for name in _KERNELS:
        columns[name] = [kernels.setdefault(each[name], len(kernels)) for each in layers]
    return {**final, "layers": {**columns, "kernels": list(kernels)}}, [each["name"] for each in layers]


def joined_layers(final: Any, names: Any, place: str) -> Any:
    """Return what ``split_layers`` split.

    Raises:
        ValueError: it is not what that made.

    """
    try:
        columns = final["layers"]
        kernels = [[_at(columns["kernels"], each) for each in columns[name]] for name in _KERNELS]
        rows = zip(names, *(columns[name] for name in _TIMES), *kernels, strict=True)
        layers = [dict(zip(("name", *_TIMES, *_KERNELS), row, strict=True)) for row in rows]
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{place}.layers: names and columns are not those of one model") from error
    return {**final, "layers": layers}


def _at(items: Any, number: Any) -> Any:
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"{number!r} is no place in a list")
    return items[number]
