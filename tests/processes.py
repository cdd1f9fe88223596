"""The processes of cells, as the system lists them."""

import contextlib

import psutil


def cell_processes(pid):
    """The processes of the cells of a run, or of a worker: forked from the server that it has started."""
    found = {}
    for each in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            if "forkserver" in " ".join(each.cmdline()):
                found[each.pid] = each
    return [each for each in found.values() if each.ppid() in found]
