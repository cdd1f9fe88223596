"""A worker's memory limit holds for its sessions too: Dask's nanny looks at the worker's own process only."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psutil

from quantize_zoo.engines.process import CellProcess

_SHARE = 0.95  # of the limit, as Dask's nanny
_POLL_SECONDS = 0.2


class MemoryGuard:
    """Ends the largest session when this process and its sessions take too much.

    Args:
        limit: bytes; None for no limit.
        sessions: returns those that are open.

    """

    def __init__(self, limit: int | None, sessions: Callable[[], list[CellProcess]]) -> None:
        self._sessions = sessions
        self._stopped = threading.Event()
        if limit:
            threading.Thread(target=self._watch, args=(limit,), name="memory", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def _watch(self, limit: int) -> None:
        while not self._stopped.wait(_POLL_SECONDS):
            taken = {each: _resident(each.pid) for each in self._sessions()}
            total = sum(taken.values()) + _resident(None)
            if taken and total > _SHARE * limit:
                largest = max(taken, key=lambda each: taken[each])
                largest.kill(f"out of memory: {total / 1e6:.0f} of {limit / 1e6:.0f} MB that the worker may use")


def _resident(pid: int | None) -> int:
    """Return the bytes that a process has in memory; none if it is gone.

    Pages of files do not count, as those of inputs beyond a cell's budget: they go where others need the memory.
    """
    try:
        info = psutil.Process(pid).memory_info()
        return int(info.rss - getattr(info, "shared", 0))  # which Linux alone tells
    except psutil.NoSuchProcess:
        return 0
