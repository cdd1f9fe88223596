"""A cell's process: started for one cell, asked to do one thing at a time, ended with its context.

A crash in native code, a hang, an out-of-memory kill or a leak ends that process only. The two sides exchange messages
over a pipe; only this program's own values travel on it. On Linux the process is forked from a server that has
imported what all of them need (``preloaded.py``), so that only the first cell waits for that.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from quantize_zoo import errors, interrupts
from quantize_zoo.cell import Cell
from quantize_zoo.cell.session import CellSession
from quantize_zoo.engines.patience import Patience
from quantize_zoo.errors import QuantizeZooError, WorkerDiedError
from quantize_zoo.scoring.environment import ISA_VARIABLE
from quantize_zoo.scoring.far_process import Channel, Message, nobody

_GRACE_SECONDS = 5
# What a signal means is decided by who asks: a process must not end before what it is asked for is stored.
_HIDDEN = (signal.SIGINT, signal.SIGTERM)
_PRELOADED = "quantize_zoo.engines.preloaded"
_FORKS = sys.platform == "linux"

_Kind = Literal["result", "error", "quiet", "ask"]  # of a message from the process
# Passes a message on to the process of a member elsewhere; returns what that answers within so many seconds.
Relay = Callable[[Channel, Message, float], Any]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class CellProcess:
    """Our side of a cell's process; use ``start_process``.

    ``call`` is for one thread at a time, ``kill`` for any. ``quiet`` is held while the process measures the latency of
    a trial: whoever computes on this machine meanwhile takes it for as long. ``patience`` limits the calls, ``relay``
    passes on what the process asks of members of a fleet that run elsewhere.
    """

    def __init__(self, connection: Connection, child: _Child, patience: Patience, relay: Relay) -> None:
        self.quiet = threading.Lock()
        self.patience = patience
        self._connection = connection
        self._child = child
        self._relay = relay
        self._cause = ""

    @property
    def pid(self) -> int:
        """The process's."""
        pid: int = self._child.process.pid
        return pid

    def kill(self, cause: str) -> None:
        """End the process; the call that is under way fails with the cause."""
        self._cause = self._cause or cause
        self._child.kill()

    def call(
        self,
        method: Callable[Concatenate[CellSession, Arguments], Result],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Result:
        """Run a method of the process's session and return what that returns.

        Raises:
            WorkerDiedError: the process ended, or took so long that it was taken for hanging and ended.
            QuantizeZooError: what the method raised.

        """
        kind, started = method.__name__, time.monotonic()
        limit = self.patience.limit(kind)
        try:
            self._connection.send((method, arguments, named))
            result: Result = self._answer(kind, started + limit, limit)
        except (EOFError, OSError):
            self._child.process.join(_GRACE_SECONDS)
            cause = self._cause or _cause_of_death(self._child.process.exitcode)
            raise errors.worker_died(cause, kind) from None
        self.patience.took(kind, time.monotonic() - started)
        return result

    def _answer(self, kind: str, deadline: float, limit: float) -> Any:
        """Wait for the answer; meanwhile let the process measure when this machine is quiet."""
        with ExitStack() as held:
            while True:
                if not self._connection.poll(max(0.0, deadline - time.monotonic())):
                    self.kill(f"it hung for {limit:.0f} s in {kind}")
                message: _Kind
                message, value = self._connection.recv()
                if message == "quiet":
                    held.enter_context(self.quiet)
                    self._connection.send(None)
                elif message == "ask":
                    self._connection.send(self._asked(value, max(0.0, deadline - time.monotonic())))
                elif message == "error":
                    raise value
                else:
                    return value

    def _asked(self, asked: tuple[Channel, Message], seconds: float) -> tuple[_Kind, object]:
        """Pass a message on; once a member's machine is lost the process is no use any more, and ends."""
        try:
            return "result", self._relay(*asked, seconds)
        except WorkerDiedError as error:
            self.kill(error.what)
            return "error", error
        except QuantizeZooError as error:
            return "error", error


@contextmanager
def start_process(
    cell: Cell, log: Path, statistics: Path, inputs: Path, relay: Relay = nobody
) -> Iterator[CellProcess]:
    """Start the process of a cell; it ends with the context, at once if that is left by an exception.

    Args:
        cell: the cell.
        log: what libraries print, native ones included, goes into this file.
        statistics: the folder where collected statistics are kept.
        inputs: the folder for preprocessed inputs that do not fit into memory; what a killed process leaves there is
            removed with the next cell.
        relay: passes on what the process asks of members of a fleet that run elsewhere; it may raise WorkerDiedError,
            which ends the process.

    """
    ours, theirs = multiprocessing.Pipe()
    own = inputs / str(os.getpid())
    limit = os.environ.get(ISA_VARIABLE, "")
    environment = dict(os.environ)
    if cell.device.isa is not None:
        environment[ISA_VARIABLE] = cell.device.isa
    with interrupts.held(), interrupts.hidden(*_HIDDEN):
        child = _Child(_started(cell.key.slug, (theirs, environment, cell, statistics, own, log, limit)))
    theirs.close()
    try:
        yield CellProcess(ours, child, Patience(cell.hang_seconds), relay)
    except BaseException:
        child.kill()
        raise
    finally:
        ours.close()  # the process leaves when its pipe is closed
        child.close()
        _remove_leftovers(inputs)


class _Child:
    """A started process.

    multiprocessing takes it for ended, and kills it no more, when the server that forked it is gone. Linux tells of
    any process by a file descriptor of it, also when its number is another's already.
    """

    def __init__(self, process: Any) -> None:
        self.process = process
        self._descriptor: int | None = None
        if sys.platform == "linux":
            with suppress(OSError):  # it has ended, or the kernel is older than 5.3
                self._descriptor = os.pidfd_open(process.pid)

    def kill(self) -> None:
        if sys.platform == "linux" and self._descriptor is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        else:
            self.process.kill()

    def is_gone(self) -> bool:
        if self._descriptor is None:
            return not self.process.is_alive()
        return bool(wait([self._descriptor], timeout=0))

    def close(self) -> None:
        """Wait for its end, kill it where that does not come."""
        self.process.join(_GRACE_SECONDS)
        if not self.is_gone():
            self.kill()
            self.process.join()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _started(name: str, arguments: tuple[Any, ...]) -> Any:
    """Start a process that serves; spawn it where it cannot be forked from the server.

    That listens in the folder of temporary files, whose path may be too long for a socket's.
    """
    context: Any = multiprocessing.get_context("forkserver" if _FORKS else "spawn")
    if _FORKS:
        context.set_forkserver_preload([_PRELOADED])
    process = context.Process(target=_serve, args=arguments, name=name, daemon=True)
    try:
        process.start()
    except (OSError, EOFError):  # the latter where the server is gone before it has forked
        if not _FORKS:
            raise
        process = multiprocessing.get_context("spawn").Process(target=_serve, args=arguments, name=name, daemon=True)
        process.start()
    return process


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is None:
        return "it closed its pipe and hangs"
    if exit_code >= 0:
        return f"exit status {exit_code}"
    name = signal.Signals(-exit_code).name
    return f"{name} (out of memory?)" if name == "SIGKILL" else name


def _remove_leftovers(inputs: Path) -> None:
    """Remove this process's folder of inputs, and those of processes that are gone."""
    for folder in inputs.glob("*"):
        ours = folder.name == str(os.getpid())
        if ours or not Path("/proc", folder.name).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _serve(
    connection: Connection,
    environment: Mapping[str, str],
    cell: Cell,
    statistics: Path,
    inputs: Path,
    log: Path,
    limit: str,
) -> None:
    """Run in the cell's process: answer calls until the pipe is closed.

    The server that it is forked from has another's environment, and perhaps was started where signals were not hidden.
    oneDNN reads its limit when the CPU plugin is loaded, with the first compilation.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _HIDDEN)
    os.environ.clear()
    os.environ.update(environment)
    _redirect_output(log)
    threading.Thread(target=_leave_with_parent, daemon=True).start()

    @contextmanager
    def quiet() -> Iterator[None]:
        """Ask our side for quiet; it is over when the answer arrives there."""
        connection.send(("quiet", None))
        connection.recv()
        yield

    def ask(channel: Channel, message: Message) -> Any:
        """Ask a member that runs elsewhere, by our side."""
        connection.send(("ask", (channel, message)))
        kind, value = connection.recv()
        if kind == "error":
            raise value
        return value

    session: CellSession | None = None
    while True:
        reply: tuple[_Kind, object]
        try:
            method, arguments, named = connection.recv()
        except EOFError:
            return
        try:
            if session is None:
                session = CellSession(cell, statistics, inputs, quiet, limit, ask)
            reply = ("result", method(session, *arguments, **named))
        except QuantizeZooError as error:
            traceback.print_exc()
            reply = ("error", error)
        except Exception as error:  # nothing foresaw it; the log has the traceback, the user gets one line
            traceback.print_exc()
            reply = ("error", errors.unexpected(error, log))
        try:
            connection.send(reply)
        except BrokenPipeError:
            return


def _leave_with_parent() -> None:
    """End this process with the one that started it, even in the middle of native code."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this process was started by multiprocessing"
    wait([parent.sentinel])
    os._exit(1)


def _redirect_output(log: Path) -> None:
    """Send what libraries print, native ones included, to the cell's log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), sys.stdout.fileno())
        os.dup2(stream.fileno(), sys.stderr.fileno())
