"""How long the calls of a cell may take before they are taken for hanging: what the cell itself has shown decides."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping

_TIMES = 20.0  # as long as the cell's longest so far
_LEAST_SECONDS = 120.0  # a call may take, however short others like it were


class Patience:
    """Limits for the calls of one cell, by what its calls took; may be used by several threads.

    Args:
        first_seconds: what a call may take of whose kind the cell has made none yet.

    """

    def __init__(self, first_seconds: float) -> None:
        self._first = first_seconds
        self._longest: defaultdict[str, float] = defaultdict(float)  # seconds by kind of call
        self._lock = threading.Lock()

    def limit(self, kind: str) -> float:
        """Return the seconds that a call may take."""
        with self._lock:
            if kind in self._longest:
                return max(min(_LEAST_SECONDS, self._first), _TIMES * self._longest[kind])
            return max(self._first, _TIMES * max(self._longest.values(), default=0.0))

    def took(self, kind: str, seconds: float) -> None:
        """Learn from a call that ended."""
        self.learn({kind: seconds})

    def learn(self, longest: Mapping[str, float]) -> None:
        """Learn what calls took elsewhere, by kind."""
        with self._lock:
            for kind, seconds in longest.items():
                self._longest[kind] = max(self._longest[kind], seconds)

    def longest(self) -> dict[str, float]:
        """Return the seconds of the longest call of each kind."""
        with self._lock:
            return dict(self._longest)
