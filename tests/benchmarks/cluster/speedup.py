"""A simulation: a search on 1 to 32 real Dask workers whose trials sleep for durations recorded from a real run.

    PYTHONPATH=tests python tests/benchmarks/cluster/speedup.py results.json [--workers 1 2 4 7 16 32] [--kill-every 20]

``results.json`` is that of a real run. The trials' wall times are drawn from its trials' with a fixed seed, the k-th
trial's the same with any number of workers; its space is that of the unit tests. All else is real: scheduler and
workers in processes of their own, the loop, the sampler, the executor with what it sends and repeats, the store.

Prints for each number of workers the wall time, the speed-up against the first, the same if the client took no time
(each trial to the worker that is free first), the processor time of the client's process a trial, and how many trials
are stored. With ``--kill-every`` a worker is killed so often, and its nanny starts it again.
"""

import argparse
import heapq
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from distributed import Client, get_worker

from builders import Scorer
from conftest import ZOO
from quantize_zoo.config import load_matrix
from quantize_zoo.engines.dask import DaskEngine
from quantize_zoo.engines.dask import worker as tasks
from quantize_zoo.engines.dask.cluster import CONFIGURATION
from quantize_zoo.matrix import expand
from quantize_zoo.search import TrialRecorder, evaluate, run_stage
from quantize_zoo.store import Store
from unit.test_search import PARAMS, plan

OPERATIONS = 17  # as digits-resnet has
PARTS = ("build_s", "compile_s", "accuracy_s", "latency_s")
ENVIRONMENT = os.environ | {  # as ``quantize-zoo worker`` sets it
    f"DASK_{key.upper().replace('.', '__').replace('-', '_')}": str(value) for key, value in CONFIGURATION.items()
}


def simulated(limit, key, option, known, prune, measure, seconds):
    """In place of the worker's ``evaluate_option``: sleeps; what it finds is a function of the option."""
    time.sleep(seconds)
    return tasks.Done(evaluate(Scorer(), option, known, prune=prune), get_worker().address, seconds)


class SimulatedExecutor(DaskEngine):
    def __init__(self, client, durations):
        super().__init__(client, "master", 10**9)
        self._durations, self._next = durations, threading.Lock()
        self.killed = 0

    def work(self, cell, task, *arguments):
        with self._next:
            seconds = next(self._durations)
        return self.call(cell, "accuracy", simulated, *arguments, seconds)


@contextmanager
def cluster(count, folder):
    log = (folder / "log").open("wb")
    file = folder / "scheduler.json"
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    worker = ["distributed.cli.dask_worker", "--nworkers", str(count), "--nthreads", "1", "--no-dashboard",
              "--resources", "accuracy=1 latency=1", "--preload", "quantize_zoo.engines.dask.worker",
              "--local-directory", str(folder)]  # fmt: skip
    started = [
        subprocess.Popen(
            [sys.executable, "-m", *command, "--scheduler-file", file],
            env=ENVIRONMENT, stdout=log, stderr=log,
        )
        for command in (scheduler, worker)
    ]  # fmt: skip
    try:
        while not file.exists():
            assert started[0].poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        with Client(scheduler_file=str(file)) as client:
            client.wait_for_workers(count, timeout=600)
            yield client
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def simulate(count, durations, trials, kill_every):
    with tempfile.TemporaryDirectory() as name, cluster(count, Path(name)) as client:
        folder = Path(name)
        store = Store(f"sqlite:///{folder}/store.db")
        store.start_run("run", matrix="", command="", seed=0, require_targets=False, on_missing_device="skip")
        cell_id = store.start_cell("run", model="m", device="d", method="cold_start", params=PARAMS)
        executor, stop = SimulatedExecutor(client, iter(durations)), threading.Event()

        def killer():
            while not stop.wait(kill_every):
                os.kill(random.choice(list(client.run(os.getpid).values())), signal.SIGKILL)
                executor.killed += 1

        if kill_every:
            threading.Thread(target=killer, daemon=True).start()
        (cell,) = expand(load_matrix(ZOO / "embedded" / "digits-resnet.yml"))
        cell = replace(cell, scored_on_cpu=True)  # one task a trial: the recorded durations are of both its parts
        recorder = TrialRecorder(PARAMS, 1.0)
        with executor.open(cell, folder) as worker:
            # All on these cores, what workers do once would take longer than a trial.
            worker.provide(executor.workers(worker, "accuracy"))
            client.run(Scorer)
            assert worker.capacity() == count
            cpu, started = time.process_time(), time.perf_counter()
            for each in run_stage(plan(operations=OPERATIONS, until=trials), recorder, 0, worker.pool):
                store.add_trial(cell_id, each)
            wall, own = time.perf_counter() - started, time.process_time() - cpu
        stop.set()
        stored = store.load_run("run").cells[0].trials
    return {
        "workers": count, "wall_s": round(wall, 1), "client_ms_a_trial": round(1000 * own / trials, 1),
        "stored": len(stored), "different": len({each.number for each in stored}),
        "failures": [each.failure for each in stored if each.failure], "killed": executor.killed,
    }  # fmt: skip


def without_client(durations, count):
    """The wall time of trials each of which goes to the worker that is free first."""
    free = [0.0] * count
    for seconds in durations:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 7, 16, 32])
    parser.add_argument("--kill-every", type=float)
    arguments = parser.parse_args()
    cells = json.loads(arguments.results.read_text())["cells"]
    recorded = [
        sum(each[part] for part in PARTS) for cell in cells for each in cell["trials"] if each["reused_from"] is None
    ]
    drawn = random.Random(0).choices(recorded, k=2 * arguments.trials)  # what was killed needs another one
    mine = drawn[: arguments.trials]
    print(json.dumps({"recorded": len(recorded), "mean_s": round(sum(mine) / len(mine), 2), "longest_s": max(mine)}))
    first = None
    with patch.object(simulated, "__module__", "__main__"):  # workers cannot import this script
        for count in arguments.workers:
            found = simulate(count, drawn, arguments.trials, arguments.kill_every)
            first = first or (found["wall_s"], without_client(mine, count))
            ideal = first[1] / without_client(mine, count)
            speed_up = {"speed_up": round(first[0] / found["wall_s"], 2), "without_client": round(ideal, 2)}
            print(json.dumps({**found, **speed_up}), flush=True)


if __name__ == "__main__":
    main()
