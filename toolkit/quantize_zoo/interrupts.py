"""Ctrl-C and SIGTERM, which are the same wish: the first is raised in the main thread, the second ends all at once.

Listening begins before anything else is imported, so this needs the standard library only. What was asked for is
remembered, since a library may swallow an exception.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_raising = False
_held = False
_asked: signal.Signals | None = None
_told = False
_telling = threading.Lock()


class Interrupted(KeyboardInterrupt):
    """The user, or who runs this, wants an end; knows the signal by which that was said."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


def listen() -> None:
    """From now on a signal ends the process with a line and 128 + signal, unless it is raised (``raised``).

    A signal that is ignored, as ``nohup`` and a shell's background jobs have it, stays so.
    """
    # A thread reads what came, because the main thread may be in native code for long.
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_default)
    sys.unraisablehook = _unless_interrupted
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise_first)
    # Where another thread takes a signal, CPython does not wake the main thread from waiting for a lock.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_end_where_not_raised, args=(reading,), name="signals", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def raised() -> Iterator[None]:
    """Raise the first signal as ``Interrupted`` within the context."""
    global _raising
    _raising = True
    try:
        yield
    finally:
        _raising = False


@contextmanager
def held() -> Iterator[None]:
    """Raise a signal that comes within the context when it is left: for what must be whole, or not be at all."""
    global _held
    before = _asked
    _held = True
    try:
        yield
    finally:
        _held = False
        if before is None:
            check()


@contextmanager
def hidden(*others: signal.Signals) -> Iterator[None]:
    """Let processes and threads that are started within never see Ctrl-C, nor other signals.

    A terminal sends it to all processes of a command; what it means is decided in the one that listens.
    """
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # by the first process that is spawned, otherwise, and it unblocks the signal
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *others})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def asked() -> signal.Signals | None:
    """Return the signal that was raised, whatever became of the exception."""
    return _asked


def check() -> None:
    """Raise the signal once more where an exception may have been swallowed.

    Raises:
        Interrupted: a signal came.

    """
    if _asked is not None:
        raise Interrupted(_asked)


def tell(number: signal.Signals) -> int:
    """Say in one line, once, that the process was interrupted; return the exit status for that."""
    global _told
    with _telling:
        if not _told:
            with suppress(OSError):  # nobody may be listening
                os.write(2, f"interrupted by {number.name}\n".encode())
        _told = True
    return 128 + number


def _raise_first(number: int, _: object) -> None:
    global _asked
    if _raising and _asked is None:
        _asked = signal.Signals(number)
        logging.disable()  # what libraries tell while they are taken down
        if not _held:
            raise Interrupted(_asked)


def _unless_interrupted(unraisable: sys.UnraisableHookArgs) -> None:
    """Tell nothing where the signal came in the middle of a finalizer: what swallowed it is followed by a check."""
    if not isinstance(unraisable.exc_value, Interrupted):
        sys.__unraisablehook__(unraisable)


def _end_where_not_raised(reading: int) -> None:
    came = 0
    while True:
        number = os.read(reading, 1)[0]
        if number not in _SIGNALS:
            continue
        came += 1
        raising = _raising or _asked is not None  # the main thread may have been faster, and be done with it
        if came > 1 or not raising:
            status = tell(signal.Signals(number))
            for child in descendants(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            os._exit(status)


def _default() -> None:
    """In a forked process: its signals are its own affair, and the pipe is its parent's."""
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        if signal.getsignal(number) is _raise_first:
            signal.signal(number, signal.SIG_DFL)


def descendants(pid: int) -> list[int]:
    """Return the processes below a process, those nearest to it first."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            # The name, in parentheses, may itself have spaces and parentheses; state and parent follow it.
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]
