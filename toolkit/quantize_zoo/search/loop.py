"""The trial loop: ask, evaluate, tell. There is one, whether a pool has one place or many."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from quantize_zoo.errors import CellError, WorkerDiedError
from quantize_zoo.search.evaluation import Evaluation, EvaluationPool
from quantize_zoo.search.proposals import USED_UP, Proposals, StagePlan
from quantize_zoo.search.recorder import TrialRecorder
from quantize_zoo.search.trial import Trial

_POLL_SECONDS = 1.0  # while waiting, whether more can be evaluated at once now

# The next trial, given those that were asked for and not told yet; None where nothing is left to try.
Ask = Callable[[Sequence[Trial]], Trial | None]
Tell = Callable[[Trial], None]
Trials = Generator[Trial, None, str]  # returns why a stage ended before its limits, empty if it did not


def run_stage(plan: StagePlan, recorder: TrialRecorder, seed: int, pool: EvaluationPool) -> Trials:
    """Yield finished trials, the base option's first; what the caller does with one is done before the next is told.

    Trials of the stage that the recorder knows already are not repeated: the search goes on after them. Nor is an
    option that was evaluated, in whatever stage; a stage in which all were ends, and returns why.

    Raises:
        CellError: the base option cannot be evaluated; a failure of any later option is a failed trial.

    """
    known = [trial for trial in recorder.trials if trial.stage == plan.number]
    base = None if known else recorder.draft("base", plan.number, plan.base)
    if not plan.space.has_choices:
        yield from run_alone(base, recorder, pool, plan.beside)
        return "" if recorder.is_finished(plan.until) else USED_UP
    proposals = Proposals(plan, recorder, seed, base)

    def ask(untold: Sequence[Trial]) -> Trial | None:
        return proposals.ask(untold, several=pool.capacity() > 1)

    looks_ahead = recorder.params.compatibility != "pot"
    used_up = yield from _run(
        base, plan.beside, ask, proposals.tell, recorder, pool, plan.until, looks_ahead=looks_ahead
    )
    return proposals.why_ended if used_up else ""


def run_alone(
    base: Trial | None, recorder: TrialRecorder, pool: EvaluationPool, beside: Trial | None = None
) -> Iterator[Trial]:
    """Yield these trials, which nothing follows; raises as ``run_stage``."""
    yield from _run(base, beside, lambda _: None, _ignore, recorder, pool, 0, looks_ahead=False)


def _ignore(_: Trial) -> None:
    """Tell nobody of a trial."""


def _run(
    base: Trial | None,
    beside: Trial | None,
    ask: Ask,
    tell: Tell,
    recorder: TrialRecorder,
    pool: EvaluationPool,
    until: int,
    *,
    looks_ahead: bool,
) -> Generator[Trial, None, bool]:
    """Keep as many trials pending as the pool takes; finish them as they come, the base's before all others.

    Whatever the limits are, base and ``beside`` are evaluated. Returns whether it ended since nothing was asked for.
    """
    untold = _Untold(base, beside, recorder, pool, until, looks_ahead=looks_ahead)
    try:
        while not untold.is_all_told():
            capacity = pool.capacity()
            untold.start(capacity)
            while untold.wants_another(capacity):
                with pool.busy():
                    trial = ask(untold.trials)
                if trial is None:
                    untold.used_up = True
                    break
                untold.add(trial, capacity)
            untold.wait()
            if capacity > 1:  # who is free need not wait until what ended is told; with one place it knows more
                untold.start(capacity)
            while (ended := untold.next_ended()) is not None:
                finished = recorder.finish(*ended)
                tell(finished)
                yield finished
                if untold.is_all_told():
                    return untold.used_up
        return untold.used_up
    finally:
        untold.cancel()


class _Untold:
    """The trials that were asked for and are not told yet: some wait, some are evaluated, some have ended.

    The losses of the others refer to the base's: those that end before it are held until then, and who evaluated them
    goes on with others. Asking takes time, so some trials are asked for ahead, while others are evaluated, and know
    less. POT asked afterwards.
    """

    def __init__(
        self,
        base: Trial | None,
        beside: Trial | None,
        recorder: TrialRecorder,
        pool: EvaluationPool,
        until: int,
        *,
        looks_ahead: bool,
    ) -> None:
        self._base, self._beside = base, beside
        self._recorder, self._pool, self._until, self._looks_ahead = recorder, pool, until, looks_ahead
        self._ready = deque(trial for trial in (base, beside) if trial is not None)
        self._pending: dict[Future[Evaluation | None], tuple[Trial, float]] = {}
        self._ended: deque[tuple[Future[Evaluation | None], Trial, float]] = deque()
        self._idle_since = time.perf_counter()
        self.used_up = False

    @property
    def trials(self) -> list[Trial]:
        """Those that ended first, then those that are evaluated, then those that wait."""
        pending = (trial for trial, _ in self._pending.values())
        return [*(trial for _, trial, _ in self._ended), *pending, *self._ready]

    def is_all_told(self) -> bool:
        """Tell whether there is nothing to wait for, and nothing is to be asked for."""
        nothing_left = self.used_up and not (self._pending or self._ended or self._ready)
        over = nothing_left or self._recorder.is_finished(self._until)
        return self._base is None and self._beside is None and over

    def wants_another(self, capacity: int) -> bool:
        """Tell whether to ask for a trial now."""
        if self.used_up or (self._base is None and self._recorder.is_finished(self._until)):
            return False
        made = len(self._recorder.trials) + len(self._ended) + len(self._pending) + len(self._ready)
        if made >= self._until:
            return False
        if len(self._pending) < capacity:
            return True
        # With one place the next is asked for whether or not the trial has ended meanwhile: what a search finds must
        # not depend on how fast the machine is. With many, who has ended goes first.
        waits = capacity > 1 and any(future.done() for future in self._pending)
        return self._looks_ahead and len(self._ready) < _ahead(capacity) and not waits

    def add(self, trial: Trial, capacity: int) -> None:
        """Take one that was asked for."""
        self._ready.append(trial)
        self.start(capacity)

    def start(self, capacity: int) -> None:
        """Begin with those that wait, while there is room."""
        while self._ready and len(self._pending) < capacity:
            trial = self._ready.popleft()
            # While nothing is evaluated the search takes its time, which is the next trial's.
            started = time.perf_counter() if self._pending else self._idle_since
            self._pending[_submitted(trial, self._recorder, self._pool)] = trial, started

    def wait(self) -> None:
        """Wait until one has ended, or for as long as the pool's room need not be looked at again."""
        done = wait(self._pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED).done
        now = time.perf_counter()
        for future in [each for each in self._pending if each in done]:
            trial, started = self._pending.pop(future)
            put = self._ended.appendleft if trial is self._base else self._ended.append
            put((future, trial, now - started))
            self._idle_since = now

    def next_ended(self) -> tuple[Trial, Evaluation | str | None, float] | None:
        """Return one that has ended, how, and its seconds; None while there is none, or the base is not among them.

        Raises:
            CellError: the base cannot be evaluated.

        """
        if not self._ended or (self._base is not None and self._ended[0][1] is not self._base):
            return None
        future, trial, seconds = self._ended.popleft()
        outcome = _outcome(future)
        if trial is self._base:
            if isinstance(outcome, str):
                raise CellError(outcome, where="the model that the search starts from", remedy="see the log")
            self._base = None
        if trial is self._beside:
            self._beside = None
        return trial, outcome, seconds

    def cancel(self) -> None:
        """Evaluate none any more."""
        for future in self._pending:
            future.cancel()


def _ahead(capacity: int) -> int:
    """Return how many trials to ask for ahead: fewer know more, more bridge the time in which several become free."""
    return max(1, capacity // 4)


def _submitted(trial: Trial, recorder: TrialRecorder, pool: EvaluationPool) -> Future[Evaluation | None]:
    """Begin the evaluation; of an option that was evaluated before there is nothing to find out."""
    if not recorder.is_known(trial):
        submitted: Future[Any] = pool.submit(trial.option, recorder.known(), prune=recorder.may_prune(trial))
        return submitted
    nothing: Future[Evaluation | None] = Future()
    nothing.set_result(None)
    return nothing


def _outcome(future: Future[Evaluation | None]) -> Evaluation | str | None:
    """Return the evaluation, or why there is none."""
    try:
        return future.result()
    except WorkerDiedError:
        raise
    except CellError as error:
        return error.what
