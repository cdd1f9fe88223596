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

    The losses of the others refer to the base's: those that end before it are held until then, and who evaluated them
    goes on with others. Asking takes time, so some trials are asked for ahead, while others are evaluated, and know
    less. POT asked afterwards.
    """
    pending: dict[Future[Evaluation | None], tuple[Trial, float]] = {}
    ended: deque[tuple[Future[Evaluation | None], Trial, float]] = deque()
    ready = deque(trial for trial in (base, beside) if trial is not None)
    used_up = False
    idle_since = time.perf_counter()

    def start_ready(capacity: int) -> None:
        while ready and len(pending) < capacity:
            trial = ready.popleft()
            # While nothing is evaluated the search takes its time, which is the next trial's.
            started = time.perf_counter() if pending else idle_since
            pending[_submitted(trial, recorder, pool)] = trial, started

    def is_done() -> bool:
        nothing_left = used_up and not (pending or ended or ready)
        return base is None and beside is None and (nothing_left or recorder.is_finished(until))

    def is_wanted(capacity: int) -> bool:
        if used_up or (base is None and recorder.is_finished(until)):
            return False
        if len(recorder.trials) + len(ended) + len(pending) + len(ready) >= until:
            return False
        if len(pending) < capacity:
            return True
        # With one place the next is asked for whether or not the trial has ended meanwhile: what a search finds must
        # not depend on how fast the machine is. With many, who has ended goes first.
        waits = capacity > 1 and any(future.done() for future in pending)
        return looks_ahead and len(ready) < _ahead(capacity) and not waits

    try:
        while not is_done():
            capacity = pool.capacity()
            start_ready(capacity)
            while is_wanted(capacity):
                untold = [*(trial for _, trial, _ in ended), *(trial for trial, _ in pending.values()), *ready]
                with pool.busy():
                    trial = ask(untold)
                if trial is None:
                    used_up = True
                    break
                ready.append(trial)
                start_ready(capacity)
            done = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED).done
            now = time.perf_counter()
            for future in [each for each in pending if each in done]:
                trial, started = pending.pop(future)
                put = ended.appendleft if trial is base else ended.append
                put((future, trial, now - started))
                idle_since = now
            if capacity > 1:  # who is free need not wait until what ended is told; with one place it knows more
                start_ready(capacity)
            while ended and (base is None or ended[0][1] is base):
                future, trial, seconds = ended.popleft()
                outcome = _outcome(future)
                if trial is base:
                    if isinstance(outcome, str):
                        raise CellError(outcome, where="the model that the search starts from", remedy="see the log")
                    base = None
                if trial is beside:
                    beside = None
                finished = recorder.finish(trial, outcome, seconds)
                tell(finished)
                yield finished
                if is_done():
                    return used_up
        return used_up
    finally:
        for future in pending:
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
