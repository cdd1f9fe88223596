"""Who worked at a cell, and how much."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from quantize_zoo.engines.dask.worker import Done, Facts
from quantize_zoo.search import Evaluation
from quantize_zoo.store import WorkerUse


class Usage:
    """Adds up what the workers did for a cell; a worker that was restarted is the same one.

    Args:
        started: when the cell was opened, in seconds of a monotonic clock.
        facts: returns what a worker is, by its address.

    """

    def __init__(self, started: float, facts: Callable[[str], Facts]) -> None:
        self._started = started
        self._facts = facts
        self._lock = threading.Lock()
        self._of: dict[tuple[str, str], WorkerUse] = {}

    def add(self, done: Done, *, measures: bool) -> None:
        """Count a task; ``measures`` tells that it was the measuring of a trial, apart from its scoring."""
        facts, value = self._facts(done.address), done.value
        scored = isinstance(value, Evaluation) and value.scored is not None
        measured = measures or (isinstance(value, Evaluation) and value.timed is not None)
        with self._lock:
            before = self._of.get((facts.host, facts.name)) or WorkerUse(
                facts.name, facts.host, facts.cpu, 0, 0, 0.0, 0.0
            )
            self._of[facts.host, facts.name] = replace(
                before,
                scored=before.scored + scored,
                measured=before.measured + measured,
                seconds=before.seconds + done.seconds,
            )

    def until(self, now: float) -> tuple[WorkerUse, ...]:
        """Return what every worker did, with its share of the time since the cell was opened."""
        wall = now - self._started
        with self._lock:
            return tuple(replace(use, share=use.seconds / wall) for _, use in sorted(self._of.items()))
