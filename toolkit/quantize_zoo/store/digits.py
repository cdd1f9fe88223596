"""Single measured times in as many digits as they have: those that come after them are noise, and took much space."""

from __future__ import annotations

from typing import Any

from quantize_zoo.text.plain import measured

# Of latencies and of steps of a trial; what is made of them, and accuracies, which searches go on from, stay whole.
_SINGLE_TIMES = frozenset({"compilations", "distribution", "seconds"})


def in_digits(value: Any) -> Any:
    """Return a plain value whose single times have six digits."""
    if isinstance(value, dict):
        return {name: _shortened(each) if name in _SINGLE_TIMES else in_digits(each) for name, each in value.items()}
    return [in_digits(each) for each in value] if isinstance(value, list) else value


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    return measured(value) if isinstance(value, float) else value
