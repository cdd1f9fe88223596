"""Write trials in a process that is killed at a random moment, again and again.

``python tests/kill_store.py sqlite:////tmp/store.db 500`` does it 500 times; a test does it less often.
"""

import multiprocessing
import os
import random
import signal
import sys
import time

import sqlalchemy as sa

from builders import reference, trial
from quantize_zoo.config import OptimizerParams
from quantize_zoo.store import Store

LONGEST_SECONDS = 0.06


def start_run(store, run_id="run"):
    store.start_run(
        run_id, matrix="m.yml", command="quantize-zoo run", seed=1, require_targets=False, on_missing_device="skip"
    )


def start_cell(store, run_id="run", method="cold_start", model="net"):
    params = OptimizerParams(max_trials=7)
    cell = store.start_cell(run_id, model=model, device="CPU", method=method, params=params)
    store.set_reference(cell, reference())
    return cell


def add_trials(url, cell, connection):
    """Go on after the last stored trial, and tell each one's number when it is stored."""
    store = Store(url)
    engine = sa.create_engine(url)
    with engine.connect() as database:
        last = database.scalar(sa.text("SELECT MAX(number) FROM trials"))
    engine.dispose()
    number = 0 if last is None else last + 1
    while True:
        store.add_trial(cell, trial(number, 0.0, 1.0))
        connection.send(number)
        number += 1


def kill_again_and_again(url, count):
    """Return the numbers that were told, and the trials that are stored."""
    # Forked from a process that has everything imported, a child starts in milliseconds. That process finds modules by
    # the environment only.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kill_store"])
    store = Store(url)
    start_run(store)
    cell = start_cell(store)
    rng = random.Random(0)
    told = []
    for _ in range(count):
        ours, theirs = context.Pipe()
        process = context.Process(target=add_trials, args=(url, cell, theirs))
        process.start()
        theirs.close()
        told.append(ours.recv())
        time.sleep(rng.uniform(0, LONGEST_SECONDS))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        try:
            while True:
                told.append(ours.recv())
        except EOFError:
            pass
    return told, store.load_run().cells[0].trials


if __name__ == "__main__":
    told, stored = kill_again_and_again(sys.argv[1], int(sys.argv[2]))
    lost = set(told) - {each.number for each in stored}
    print(f"{sys.argv[2]} kills, {len(told)} trials told, {len(stored)} stored, {len(lost)} lost")
    sys.exit(bool(lost) or [each.number for each in stored] != list(range(len(stored))))
