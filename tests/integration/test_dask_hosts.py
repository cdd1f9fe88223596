"""The matrix on three hosts: network namespaces joined by a bridge, one of whose links is cut."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clusters import COMMAND, kill_when

HEAD, HOSTS = "10.77.0.1", {"a": "10.77.0.2", "b": "10.77.0.3"}


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Network:
    """A namespace for the scheduler and the client, with a bridge, and one for each host."""

    def __init__(self):
        self.suffix = str(os.getpid())
        self.names = {name: f"qz-{name}-{self.suffix}" for name in ("head", *HOSTS)}
        self.processes = []

    def up(self):
        head = self.names["head"]
        for name in self.names.values():
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", head, "link", "add", "bridge", "type", "bridge")
        ip("-n", head, "addr", "add", f"{HEAD}/24", "dev", "bridge")
        ip("-n", head, "link", "set", "bridge", "up")
        for host, address in HOSTS.items():
            link = ("link", "add", f"link-{host}", "type", "veth", "peer", "name", "eth0", "netns", self.names[host])
            ip("-n", head, *link)
            ip("-n", head, "link", "set", f"link-{host}", "master", "bridge", "up")
            ip("-n", self.names[host], "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", self.names[host], "link", "set", "eth0", "up")

    def cut(self, host):
        ip("-n", self.names["head"], "link", "set", f"link-{host}", "down")

    def command(self, host, command):
        """The command on a host of that name."""
        script = f'hostname {host} && exec "$@"'
        return ["ip", "netns", "exec", self.names[host], "unshare", "--uts", "sh", "-c", script, "sh", *command]

    def start(self, host, command, log):
        with log.open("wb") as stream:
            self.processes.append(
                subprocess.Popen(self.command(host, command), stdout=stream, stderr=stream, env=environment())
            )

    def down(self):
        for process in self.processes:
            process.kill()
            process.wait()
        for name in self.names.values():
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
            subprocess.run(["kill", "-9", *pids.split()], check=False, stderr=subprocess.DEVNULL)
            subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


def environment():
    # How long a silent link is waited for; Dask's own 30 s work as well.
    return {
        **os.environ,
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    }


@pytest.fixture
def network():
    if os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("network namespaces need root, ip and unshare")
    made = Network()
    try:
        made.up()
    except subprocess.CalledProcessError as error:
        made.down()
        pytest.skip(f"no network namespaces here: {error.stderr}")
    yield made
    made.down()


@pytest.mark.release
def test_a_cut_link_costs_no_trial(network, longer, tmp_path):
    address = f"tcp://{HEAD}:8786"
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", HEAD, "--no-dashboard"]
    network.start("head", scheduler, tmp_path / "scheduler.log")
    for host, own in HOSTS.items():
        worker = [*COMMAND, "worker", "--scheduler", address, "--host", own, "--name", host, "--insecure"]
        network.start(host, worker, tmp_path / f"{host}.log")
    wait = f"from distributed import Client; Client('{address}', timeout=60).wait_for_workers(2, timeout=60)"
    subprocess.run(network.command("head", [sys.executable, "-c", wait]), check=True, capture_output=True, timeout=120)
    reports = tmp_path / "reports"
    watcher = kill_when(reports, 3, lambda: network.cut("a"))
    command = [*COMMAND, "run", longer.path, "--reports", reports, "--json", "--executor", "dask"]
    done = subprocess.run(
        network.command("head", [*command, "--scheduler", address, "--insecure"]),
        capture_output=True, text=True, check=False, env=environment(), timeout=300,
    )  # fmt: skip
    watcher.join()
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert [trial["number"] for trial in cell["trials"]] == list(range(12))
    assert all(trial["failure"] is None for trial in cell["trials"])
    worked = {worker["host"]: worker["scored"] for worker in cell["workers"]}
    assert worked.keys() <= {"a", "b"}
    assert worked["b"] >= 1
    assert "Traceback" not in done.stderr
    assert Path(reports, "latest", cell["final"]["model"]).is_file()
