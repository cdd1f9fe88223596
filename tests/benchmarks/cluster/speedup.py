"""A simulation: the search on 1 to 32 real Dask workers whose trials sleep for durations recorded from a real run.

    PYTHONPATH=tests python tests/benchmarks/cluster/speedup.py results.json [--workers 1 2 4 7 16 32]

``results.json`` is that of a real run; its trials' wall times are drawn from, with a fixed seed, and its space is that
of the unit tests. The loop, the sampler, the store and Dask are the real ones. Prints wall time, speed-up, and what of
a trial's time is the client's (asking, telling, storing). With ``--kill-every`` a worker is killed so often.
"""

import argparse
import json
import os
import random
import signal
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import dask
from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker

from builders import Scorer
from quantize_zoo.matrix.dask.cluster import CONFIGURATION
from quantize_zoo.search import TrialRecorder, evaluate, run_stage
from quantize_zoo.store import Store
from unit.test_search import PARAMS, plan

OPERATIONS = 17  # as digits-resnet has


def trial(seconds):
    time.sleep(seconds)


class Sleepers:
    """Implements ``EvaluationPool``: workers sleep, and the outcome is a function of the option."""

    def __init__(self, client, durations, count):
        self._client, self._durations, self._count = client, durations, count
        self._random = random.Random(0)
        self.repeated = 0

    def capacity(self):
        return self._count

    def submit(self, option, known, *, prune):
        done = Future()
        self._send(self._random.choice(self._durations), done, lambda: evaluate(Scorer(), option, known, prune=prune))
        return done

    def _send(self, seconds, done, outcome):
        def finished(future):
            try:
                future.result()
            except KilledWorker:
                self.repeated += 1
                self._send(seconds, done, outcome)
            else:
                done.set_result(outcome())

        self._client.submit(trial, seconds, pure=False).add_done_callback(finished)


def simulate(count, durations, trials, kill_every):
    with (
        dask.config.set(CONFIGURATION),
        LocalCluster(n_workers=count, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        client.wait_for_workers(count)
        store = Store(f"sqlite:///{folder}/store.db")
        store.start_run("run", matrix="", command="", seed=0, require_targets=False, on_missing_device="skip")
        cell = store.start_cell("run", model="m", device="d", method="cold_start", params=PARAMS)
        pool, stop = Sleepers(client, durations, count), threading.Event()

        def killer():
            while not stop.wait(kill_every):
                os.kill(random.choice(list(client.run(os.getpid).values())), signal.SIGKILL)

        if kill_every:
            threading.Thread(target=killer, daemon=True).start()
        recorder = TrialRecorder(Scorer(), PARAMS, 1.0)
        cpu, started = time.thread_time(), time.perf_counter()
        numbers = []
        for each in run_stage(plan(operations=OPERATIONS, until=trials), recorder, 0, pool):
            store.add_trial(cell, each)
            numbers.append(each.number)
        wall, own = time.perf_counter() - started, time.thread_time() - cpu
        stop.set()
        stored = [each.number for each in store.load_run("run").cells[0].trials]
        assert stored == numbers == list(range(trials))
        return {"workers": count, "wall_s": round(wall, 1), "client_ms_a_trial": round(1000 * own / trials, 1),
                "repeated": pool.repeated}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 7, 16, 32])
    parser.add_argument("--kill-every", type=float)
    arguments = parser.parse_args()
    parts = ("build_s", "compile_s", "accuracy_s", "latency_s")
    cells = json.loads(arguments.results.read_text())["cells"]
    trials = [each for cell in cells for each in cell["trials"] if each["latency_us"] and each["latency_s"]]
    durations = [sum(each[part] for part in parts) for each in trials]
    alone = None
    for count in arguments.workers:
        found = simulate(count, durations, arguments.trials, arguments.kill_every)
        alone = alone or found["wall_s"]
        print(json.dumps({**found, "speed_up": round(alone / found["wall_s"], 2)}), flush=True)


if __name__ == "__main__":
    main()
