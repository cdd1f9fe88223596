"""What is found with 7 trials pending, against one after the other: the same number of trials, a recorded objective.

    PYTHONPATH=tests:tests/benchmarks python tests/benchmarks/cluster/pending.py [MODEL] [--trials 40] [--seeds 10]

Every model and structure is measured once for all searches, so that they differ in what they ask for and not in noise.
Durations of the pending ones are drawn with the seed; who is first is told first. Prints for both the median over the
seeds of the best latency ratio within the accuracy target, with a bootstrapped 95 % interval of it.
"""

import argparse
import heapq
import itertools
import random
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import nullcontext
from unittest.mock import patch

import numpy as np
from scipy.stats import bootstrap
from searching import Memory, open_session, search

from quantize_zoo.config import BenchmarkParams
from quantize_zoo.search import evaluate

PENDING = 7


class Virtual:
    """Implements ``EvaluationPool`` in virtual time: the first to end is told whenever nothing more is submitted."""

    def __init__(self, scorer, seed):
        self._scorer, self._random, self._order = scorer, random.Random(seed), itertools.count()
        self._now, self._running = 0.0, []

    def capacity(self):
        return PENDING

    def busy(self):
        return nullcontext()

    def submit(self, option, known, *, prune):
        outcome, future = evaluate(self._scorer, option, known, prune=prune), Future()
        ends = self._now + self._random.uniform(0.5, 1.5)
        heapq.heappush(self._running, (ends, next(self._order), future, outcome))
        return future

    def end_first(self):
        self._now, _, future, outcome = heapq.heappop(self._running)
        future.set_result(outcome)


def pending_search(scorer, session, prepared, config, seed):
    pool = Virtual(scorer, seed)

    def wait(futures, **named):
        while not any(future.done() for future in futures):
            pool.end_first()
        return wait_for(futures, **named)

    with patch("quantize_zoo.search.loop.wait", wait):
        return search(scorer, session, prepared, config, seed, pool)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="digits-resnet")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    session, prepared, config = open_session(
        arguments.model, max_trials=arguments.trials, benchmark=BenchmarkParams(duration_seconds=0.4)
    )
    scorer = Memory(session)
    found = {"one by one": [], f"{PENDING} pending": []}
    for seed in range(arguments.seeds):
        for name, run in zip(found, (search, pending_search), strict=True):
            found[name].append(run(scorer, session, prepared, config, seed).best_ratio(arguments.trials) or 0.0)
    for name, ratios in found.items():
        drawn = bootstrap((ratios,), np.median, method="percentile", random_state=0).confidence_interval
        print(
            f"{name}: median {np.median(ratios):.4f} [{drawn.low:.4f}, {drawn.high:.4f}], {sorted(ratios)}", flush=True
        )


if __name__ == "__main__":
    main()
