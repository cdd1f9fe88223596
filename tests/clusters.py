"""A Dask cluster on loopback, each part a process as a user starts it, and runs on it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from quantize_zoo.store import Store

COMMAND = [sys.executable, "-m", "quantize_zoo"]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Cluster:
    """A scheduler and workers as a user starts them, each a process with a log."""

    def __init__(self, folder):
        self.folder = folder
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.processes = {}

    def start_scheduler(self):
        port = self.address.rpartition(":")[2]
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port]
        self.start("scheduler", [*command, "--no-dashboard"], DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")

    def start_worker(self, name, role="accuracy,latency", arguments=(), **environment):
        command = [*COMMAND, "worker", "--scheduler", self.address, "--role", role, "--name", name, *arguments]
        self.start(name, command, **environment)

    def start(self, name, command, **environment):
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **environment}, cwd=self.folder
            )

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def stop_one(self, name):
        process = self.processes.pop(name)
        process.terminate()
        process.wait(120)

    def stop(self):
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()


def pretending(folder, code):
    """The environment of a process that runs this code at its start."""
    shim = folder / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(shim), os.environ.get("PYTHONPATH")]))}


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def run(small, reports, *arguments, address=None):
    where = ["--executor", "dask", "--scheduler", address] if address else []
    return subprocess.run(
        [*COMMAND, "run", small.path, "--reports", reports, "--json", *where, *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def kill_when(path, count, kill):
    """Call ``kill`` once as many trials are stored."""

    def watch():
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            time.sleep(0.2)
            with contextlib.suppress(Exception):
                store = Store(f"sqlite:///{path / 'store.db'}")
                if len(store.load_run().cells[0].trials) >= count:
                    kill()
                    return

    thread = threading.Thread(target=watch)
    thread.start()
    return thread
