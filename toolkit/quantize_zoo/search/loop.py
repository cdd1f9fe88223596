"""The trial loop: ask, evaluate, tell; one trial after the other, or several pending."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from quantize_zoo.errors import CellError, WorkerDiedError
from quantize_zoo.quantization import ModelOption, SearchSpace
from quantize_zoo.search.labels import Choices, base_choices, option_of
from quantize_zoo.search.recorder import Evaluation, Known, TrialRecorder
from quantize_zoo.search.sampler import TpeSampler
from quantize_zoo.search.startup import startup_choices
from quantize_zoo.search.trial import Trial, TrialKind

# The share of a stage's trials that may go into its start.
_STARTUP_SHARE = 0.2
_POLL_SECONDS = 1.0  # while waiting, whether more can be evaluated at once now


class EvaluationPool(Protocol):
    """Evaluates several candidates at once, elsewhere."""

    def capacity(self) -> int:
        """Return how many can be evaluated at once now; it may change."""
        ...

    def submit(self, option: ModelOption, known: Known, *, prune: bool) -> Future[Evaluation]:
        """Begin an evaluation; its future raises CellError if it fails."""
        ...


@dataclass(frozen=True)
class StagePlan:
    """A stage of a search: where it starts, what it may choose, and when it ends.

    ``types`` and ``errors`` are as in ``startup_choices``; the stage goes on until there are ``until`` trials in all.
    """

    number: int
    base: ModelOption
    space: SearchSpace
    until: int
    types: Mapping[str, str]
    errors: Mapping[str, float]


def run_stage(
    plan: StagePlan, recorder: TrialRecorder, seed: int, pool: EvaluationPool | None = None
) -> Iterator[Trial]:
    """Yield finished trials, the base option's first; what the caller does with one is done before the next is asked.

    Trials of the stage that the recorder knows already are not repeated: the search goes on after them. With a pool
    several trials are pending, the base option's among them, and what is proposed meanwhile takes them into account.

    Raises:
        CellError: the base option fails; a failure of any later option is a failed trial.

    """
    recorder.start_clock()
    known = [trial for trial in recorder.trials if trial.stage == plan.number]
    if not known and (pool is None or not plan.space.has_choices):
        base = recorder.record("base", plan.number, plan.base, base_choices(plan.space))
        _require_base(base)
        yield base
        known = [base]
    if not plan.space.has_choices:
        return
    as_pot = recorder.params.compatibility == "pot"
    first = known[0].number if known else len(recorder.trials)
    count = round(_STARTUP_SHARE * (plan.until - first))
    startup = [] if as_pot else startup_choices(plan.space, plan.types, plan.errors, count, (seed, plan.number))
    sampler = TpeSampler(plan.space, (seed, plan.number), startup, as_pot=as_pot)
    for trial in known:
        if trial.choices is not None:
            sampler.tell(dict(trial.choices), trial.loss)
    asked = max(0, len(known) - 1)
    sampler.skip(asked)
    search = _Search(plan, recorder, sampler, len(startup), asked)
    if pool is None:
        yield from _one_by_one(search, as_pot=as_pot)
    else:
        yield from _pending(search, pool, with_base=not known)


@dataclass
class _Search:
    """A stage's search under way: ``asked`` of the sampler so far, of which the first ``informed`` are its start."""

    plan: StagePlan
    recorder: TrialRecorder
    sampler: TpeSampler
    informed: int
    asked: int

    def next_kind(self) -> TrialKind:
        """Return the kind of the trial that is asked for next."""
        self.asked += 1
        return "informed" if self.asked <= self.informed else "search"

    def draft(self, kind: TrialKind, choices: Choices) -> Trial:
        option = self.plan.base if kind == "base" else option_of(self.plan.space, self.plan.base, choices)
        return self.recorder.draft(kind, self.plan.number, option, choices)


def _require_base(base: Trial) -> None:
    if base.failure is not None:
        raise CellError(base.failure, where="the model that the search starts from", remedy="see the cell's log")


def _one_by_one(search: _Search, *, as_pot: bool) -> Iterator[Trial]:
    recorder, sampler, plan = search.recorder, search.sampler, search.plan
    with ThreadPoolExecutor(1) as thread:
        choices = sampler.ask()
        while not recorder.is_finished(plan.until):
            # Asking takes as long as a part of a trial: the next is asked for while this one is scored, and so does not
            # know its loss. POT asked afterwards.
            upcoming = None if as_pot else thread.submit(sampler.ask)
            option = option_of(plan.space, plan.base, choices)
            quiet = upcoming.result if upcoming else None
            trial = recorder.record(search.next_kind(), plan.number, option, choices, quiet)
            following = upcoming.result() if upcoming else None
            sampler.tell(choices, trial.loss)
            yield trial
            choices = sampler.ask() if following is None else following


def _pending(search: _Search, pool: EvaluationPool, *, with_base: bool) -> Iterator[Trial]:
    """Keep as many trials pending as the pool takes; finish them as they come, the base's before all others.

    The losses of the others refer to the base's: those that end before it are held until then, and who evaluated them
    goes on with others. Asking takes time: some trials are asked for ahead, while nothing else is to be done, so that
    who becomes free need not wait.
    """
    recorder, plan = search.recorder, search.plan
    pending: dict[Future[Evaluation | None], tuple[Trial, float]] = {}
    ended: deque[tuple[Future[Evaluation | None], Trial, float]] = deque()
    base = recorder.draft("base", plan.number, plan.base, base_choices(plan.space)) if with_base else None
    ready = deque([base] if base else [])

    def start_ready(capacity: int) -> None:
        while ready and len(pending) < capacity:
            trial = ready.popleft()
            pending[_submitted(trial, recorder, pool)] = trial, time.perf_counter()

    try:
        while not recorder.is_finished(plan.until):
            capacity = pool.capacity()
            start_ready(capacity)
            while len(recorder.trials) + len(ended) + len(pending) + len(ready) < plan.until and (
                len(pending) < capacity
                or (len(ready) < _ahead(capacity) and not any(future.done() for future in pending))
            ):
                untold = [*(trial for _, trial, _ in ended), *(trial for trial, _ in pending.values()), *ready]
                ready.append(_asked(search, [each.choices for each in untold]))
                start_ready(capacity)
            done = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED).done
            now = time.perf_counter()
            for future in [each for each in pending if each in done]:
                trial, started = pending.pop(future)
                put = ended.appendleft if trial is base else ended.append
                put((future, trial, now - started))
            start_ready(capacity)
            while ended and (base is None or ended[0][1] is base):
                future, trial, seconds = ended.popleft()
                finished = recorder.finish(trial, _outcome(future), seconds)
                if trial is base:
                    _require_base(finished)
                    base = None
                search.sampler.tell(dict(finished.choices or {}), finished.loss)
                yield finished
                if recorder.is_finished(plan.until):
                    return
    finally:
        for future in pending:
            future.cancel()


def _ahead(capacity: int) -> int:
    """Return how many trials to ask for ahead: fewer know more, more bridge the time in which several become free."""
    return max(1, capacity // 4)


def _asked(search: _Search, pending: Sequence[Mapping[str, int] | None]) -> Trial:
    choices = search.sampler.ask([dict(each) for each in pending if each is not None])
    return search.draft(search.next_kind(), choices)


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
