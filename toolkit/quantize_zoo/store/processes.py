"""Which process a run belongs to, and whether that process is gone."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, so that no other one is ever taken for it.

    ``boot`` is the id of the machine's boot, ``machine`` names the machine over its boots. ``pid`` is that in the pid
    namespace ``namespace``, ``started`` the time when it started, in clock ticks since the boot.
    """

    machine: str
    boot: str
    namespace: str
    pid: int
    started: int


def this_process() -> ProcessIdentity:
    """Return the identity of the process that asks."""
    pid = os.getpid()
    _, started = _state(pid)
    machine_id = Path("/etc/machine-id")
    return ProcessIdentity(
        machine=f"{socket.gethostname()} {machine_id.read_text().strip() if machine_id.is_file() else ''}".strip(),
        boot=(_PROC / "sys/kernel/random/boot_id").read_text().strip(),
        namespace=str((_PROC / "self/ns/pid").readlink()),
        pid=pid,
        started=started,
    )


def is_gone(process: ProcessIdentity, *, one_machine: bool) -> bool:
    """Tell whether a process has certainly ended.

    Args:
        process: the process.
        one_machine: whether it can only have run on this machine; another boot is then an earlier one, or that of a
            machine from which the store was copied.

    """
    here = this_process()
    if process.boot != here.boot:
        return one_machine or process.machine == here.machine
    if process.namespace != here.namespace:
        return False  # another container of this machine, whose processes cannot be seen from here
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it is another user's
    try:
        state, started = _state(process.pid)
    except FileNotFoundError:
        return False  # it is hidden: /proc may be mounted so
    return started != process.started or state in "ZX"


def _state(pid: int) -> tuple[str, int]:
    """Return the state and the starting time of a process; see proc_pid_stat(5)."""
    text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    # The second field is the program's name in parentheses, and may contain spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])
