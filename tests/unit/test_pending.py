"""Several trials pending: what comes out is what came out one by one, whoever finishes first."""

import contextlib
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from builders import Scorer
from quantize_zoo.config import OptimizerParams
from quantize_zoo.errors import CellError
from quantize_zoo.search import base_choices, evaluate, run_stage
from quantize_zoo.search.sampler import TpeSampler
from unit.test_search import plan, recorder, space, stage


class Threads:
    """Implements ``EvaluationPool`` with threads and a scorer for each evaluation; sleeps a moment, as told.

    An evaluation goes on once as many were at once as may be, which says how many the caller keeps pending however long
    it takes to ask for the next.
    """

    def __init__(self, count, seconds=lambda number: 0.0, make=Scorer):
        self._threads = ThreadPoolExecutor(64)
        self.count, self._seconds, self._make = count, seconds, make
        self.submitted, self.at_once, self.most = 0, 0, 0
        self._changed = threading.Condition()

    def capacity(self):
        return self.count

    def busy(self):
        return contextlib.nullcontext()

    def submit(self, option, known, *, prune):
        number, self.submitted = self.submitted, self.submitted + 1
        return self._threads.submit(self._evaluate, number, option, known, prune)

    def _evaluate(self, number, option, known, prune):
        with self._changed:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self.count, timeout=60)
        time.sleep(self._seconds(number))
        try:
            return evaluate(self._make(), option, known, prune=prune)
        finally:
            with self._changed:
                self.at_once -= 1


def run(pool, until=40, **changes):
    keeper = recorder(**changes)
    return list(run_stage(plan(operations=8, until=until), keeper, 3, pool))


@pytest.mark.parametrize("order", ["as they come", "the base last"])
def test_numbers_follow_the_order_of_finishing_and_the_base_is_first(order):
    rng = random.Random(1)
    pool = Threads(7, lambda number: 0.5 if order == "the base last" and number == 0 else 0.05 * rng.random())
    trials = run(pool)
    assert [each.number for each in trials] == list(range(40))
    assert trials[0].kind == "base"
    assert sum(each.kind == "base" for each in trials) == 1
    assert pool.most == 7
    assert pool.submitted <= 40


def test_a_long_base_keeps_nobody_waiting():
    """The others' trials are told after it, and took as long as they took."""
    begun = threading.Semaphore(0)

    def pause(number):
        if number:
            begun.release()
        else:  # the base goes on once all others were evaluated
            assert all(begun.acquire(timeout=60) for _ in range(23))
        return 0.0

    trials = run(Threads(4, pause), until=24)
    assert [each.number for each in trials] == list(range(24))
    assert trials[0].kind == "base"
    longest = trials[0].seconds.total
    assert sum(each.seconds.total for each in trials[1:]) < 4 * longest, (
        "three at a time, none counted as waiting for it"
    )


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.3])
def test_what_one_place_finds_does_not_depend_on_how_fast_it_is(seconds):
    """The next is always asked for while a trial is evaluated, so that it never knows that trial."""
    slow = run(Threads(1, lambda number: seconds), until=12)
    alone = list(stage(plan(operations=8, until=12), recorder(), 3))
    assert [each.option_hash for each in slow] == [each.option_hash for each in alone]


def test_with_one_place_a_trial_is_finished_before_the_next_begins():
    pool = Threads(1)
    for trial in run_stage(plan(operations=8, until=10), recorder(), 3, pool):
        assert pool.submitted == trial.number + 1


def test_nothing_is_asked_for_while_latency_is_measured():
    """The pool's lock is what both take; without it the search's own work would disturb what is measured."""
    lock, disturbed = threading.Lock(), []

    class Measuring(Scorer):
        def measure(self, count):
            with lock:
                before = pool.asked
                time.sleep(0.05)
                disturbed.append(pool.asked != before)
            return super().measure(count)

    class Locked(Threads):
        asked = 0

        @contextlib.contextmanager
        def busy(self):
            with lock:
                self.asked += 1
                yield

    pool = Locked(1, make=Measuring)
    run(pool, until=10)
    assert disturbed
    assert not any(disturbed)
    assert pool.asked == 9


def test_what_is_pending_is_not_proposed_again():
    trials = run(Threads(7, lambda number: 0.005))
    fresh = [each.option_hash for each in trials]
    assert len(set(fresh)) == len(fresh), "256 options, 40 trials"


def test_pending_choices_move_what_is_proposed():
    """TPE takes them for mediocre: of what makes no difference it proposes less where twenty are pending."""
    label, alike = "operation op0", []
    for pending in ([], [base_choices(space(8), {"operation op0": 1})] * 20):
        sampler = TpeSampler(space(8), (0,))
        for index in range(30):
            changed = {label: index % 2, f"operation op{1 + index % 7}": 1}
            sampler.tell(base_choices(space(8), changed), float(index % 3))
        proposed = []
        for turn in range(0, 40, 2):  # TPE's turns
            sampler.skip(turn)
            proposed.append(sampler.ask(pending)[label])
        alike.append(sum(proposed))
        assert sampler._tpe.observed == 30, "a lie is forgotten"
    assert alike[1] < alike[0]


def test_failed_evaluation_is_a_failed_trial_and_of_the_base_the_end():
    def accuracy(quantized):
        if quantized in (4, 6):
            raise CellError("no memory")
        return 0.99

    trials = run(Threads(4, make=lambda: Scorer(accuracy)))
    assert any(each.failure == "no memory" for each in trials)
    assert len(trials) == 40
    with pytest.raises(CellError, match="no memory"):
        run(Threads(4, make=lambda: Scorer(lambda _: accuracy(4))))


def test_more_workers_get_work_and_fewer_get_less():
    pool = Threads(2)
    found = []
    for trial in run_stage(plan(operations=8, until=40), recorder(), 3, pool):
        found.append(trial)
        if trial.number == 10:
            assert pool.most == 2
            pool.count = 6
        if trial.number == 25:
            pool.count = 1
    assert pool.most == 6
    assert len(found) == 40


def test_search_ends_in_time_with_trials_pending():
    params = OptimizerParams(accuracy_loss=1.0, max_trials=10_000, max_minutes=0.005)
    keeper = recorder(params=params)
    trials = list(run_stage(plan(operations=8, until=10_000), keeper, 3, Threads(4, lambda number: 0.02)))
    assert 1 <= len(trials) < 10_000


def test_a_search_that_goes_on_has_no_second_base():
    first = run(Threads(4), until=20)
    keeper = recorder(trials=first)
    rest = list(run_stage(plan(operations=8, until=30), keeper, 3, Threads(4)))
    assert [each.number for each in rest] == list(range(20, 30))
    assert all(each.kind != "base" for each in rest)
