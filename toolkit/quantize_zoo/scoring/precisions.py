"""Names of floating point precisions."""

from __future__ import annotations

_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def precision_name(long: str) -> str:
    """Return the name of an OpenVINO type as its hints spell it: ``bf16`` for ``bfloat16``."""
    return _HINTS.get(long, long)
