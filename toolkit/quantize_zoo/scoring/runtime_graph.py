"""What a device executes: the operations of a compiled model's runtime graph, as its plugin tells them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RuntimeOperation:
    """One executed operation.

    ``originals`` are the model's operations that it was made of, ``precision`` is what it computes in, ``output`` what
    it writes, ``kernel`` the plugin's name of what executes it.
    """

    name: str
    kind: str
    originals: tuple[str, ...]
    precision: str
    output: str
    kernel: str


def runtime_operations(compiled: Any) -> Iterator[RuntimeOperation]:
    """Yield the executed operations in order; those that the plugin does not describe, and constants, are left out."""
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        if "primitiveType" not in info or "runtimePrecision" not in info:
            continue
        if node.get_type_name() in ("Parameter", "Result", "Constant"):
            continue

        def told(key: str, info: Any = info) -> str:
            return _text(info[key]) if key in info else ""

        yield RuntimeOperation(
            node.get_friendly_name(),
            told("layerType"),
            tuple(filter(None, told("originalLayersNames").split(","))),
            told("runtimePrecision").lower(),
            told("outputPrecisions").partition(",")[0].lower(),
            told("primitiveType"),
        )


def _text(value: Any) -> str:
    return str(value.astype(str) if hasattr(value, "astype") else value)
