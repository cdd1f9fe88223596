"""What a night does with each cell, told before it begins: which ones search, and for how long.

With a limit on the night's minutes, and by what the last nights found:

    new, or alarmed last night     searches
    its best has not changed for   is evaluated: its best is built and scored anew, once
      SETTLED_NIGHTS nights
    any other                      searches, the longer the more it gained

Without a limit every cell does what its configuration says. Models are not looked at: where one turns out to be another
than the stored, the cell searches after all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import mean, median
from typing import Any

from quantize_zoo.cell import Cell
from quantize_zoo.config import TrialsLoadMethod, search_stages
from quantize_zoo.store import PastNight

SETTLED_NIGHTS = 14  # in which a search found nothing better; after as many without a search there is one again
NIGHTS_LOOKED_AT = 2 * SETTLED_NIGHTS  # those without a search, and searches before them
_RECENT = 7  # nights whose gains count
_DOUBLING_GAIN = 0.01  # a night, which doubles a cell's share
_OVERRUN = 1.1  # of a night's limit, is none: what is begun is finished
_LEAST_S = 60.0  # of a search that has nothing stored to be evaluated in its place


History = Mapping[tuple[str, str], Sequence[PastNight]]  # by the names of a model and its device
Stored = Mapping[tuple[str, str], int]  # trials of the last search, likewise
Duty = tuple[TrialsLoadMethod, str]  # a method, and why


@dataclass(frozen=True)
class PlannedCell:
    """What one cell does: a method, for so many trials at most.

    ``seconds`` are expected, None where the cell never made a trial; ``minutes`` bounds its search beside its own
    configuration, None bounds it no further.
    """

    cell: Cell
    method: TrialsLoadMethod
    trials: int
    seconds: float | None
    minutes: float | None
    why: str


@dataclass(frozen=True)
class Pace:
    """Seconds that a cell takes for a trial, and for all else."""

    trial: float
    rest: float


def plan_night(
    cells: Sequence[Cell], history: History, stored: Stored, seconds: float | None = None
) -> list[PlannedCell]:
    """Return what each of the cells does, in their order.

    Args:
        cells: those that are still to run.
        history: the past nights of cells, the newest first.
        stored: how many trials those have that go on with them.
        seconds: that the cells may take one after another; None does not limit them.

    """
    nights = [history.get(names_of(cell), ()) for cell in cells]
    trials = [_most_trials(cell, past, stored.get(names_of(cell), 0)) for cell, past in zip(cells, nights, strict=True)]
    paces = [pace_of(past) for past in nights]
    if seconds is None:
        duties: list[Duty] = [(cell.model.optimizer.params.trials_load_method, "as configured") for cell in cells]
        shares: list[float | None] = [None] * len(cells)
    else:
        duties = [duty_of(cell, past) for cell, past in zip(cells, nights, strict=True)]
        shares = _shares(cells, nights, trials, paces, duties, seconds)
    return [_planned(*each) for each in zip(cells, nights, trials, duties, paces, shares, strict=True)]


def stored_trials(cells: Sequence[Cell], count: Callable[[str, str], int]) -> Stored:
    """Return how many trials are stored of those cells that go on with them, by what counts them."""
    going_on = (cell for cell in cells if cell.model.optimizer.params.trials_load_method == "warm_start")
    return {names_of(cell): count(*names_of(cell)) for cell in going_on}


def as_planned(planned: PlannedCell) -> Cell:
    """Return the cell that does what is planned for it."""
    cell, own = planned.cell, planned.cell.model.optimizer.params
    changes: dict[str, Any] = {"trials_load_method": planned.method}
    if planned.minutes is not None:
        changes["max_minutes"] = min(planned.minutes, own.max_minutes or math.inf)
    otherwise = None if planned.method == own.trials_load_method else own.trials_load_method
    return replace(cell, model=cell.model.with_optimizer(changes), otherwise=otherwise)


def expected_seconds(planned: Sequence[PlannedCell]) -> float | None:
    """Return what cells take one after another; those of unknown pace are taken for the others; None if all are."""
    known = [each.seconds for each in planned if each.seconds is not None]
    return sum(known) + (len(planned) - len(known)) * median(known) if known else None


def overrun(minutes: float, limit: float) -> str:
    """Say that a night took clearly longer than its limit, and why it may; nothing of one that did not."""
    if minutes <= _OVERRUN * limit:
        return ""
    return (
        f"the night took {minutes:.1f} minutes, and max_minutes_a_night is {limit:g}: however little time is left, the "
        "FP32 model of each cell is scored, and one candidate"
    )


def names_of(cell: Cell) -> tuple[str, str]:
    """Return the names by which the store knows a cell's model and device."""
    return cell.model.name, cell.key.device_label


def duty_of(cell: Cell, nights: Sequence[PastNight]) -> Duty:
    """Return by which method a cell runs in a night with a limit, and why."""
    method = cell.model.optimizer.params.trials_load_method
    if method == "eval":
        return method, "as configured"
    if not nights:
        return method, "new"
    if nights[0].alarmed:
        return method, "alarmed last night"
    searched = next((index for index, night in enumerate(nights) if night.method != "eval"), len(nights))
    if searched >= SETTLED_NIGHTS:
        return method, f"not searched for {searched} nights"
    unchanged = next((index for index, night in enumerate(nights) if night.best != nights[0].best), len(nights))
    if unchanged >= SETTLED_NIGHTS:
        return "eval", f"the best has not changed for {unchanged} nights"
    gain = gain_of(nights)
    if gain:
        return method, f"became {100 * gain:.1f} % faster a night"
    return method, "became no faster in the last nights" if len(nights) > 1 else "one night so far"


def gain_of(nights: Sequence[PastNight]) -> float:
    """Return by which share the best became faster in a night, the mean of the last ones.

    One that stayed what it was gained nothing, whatever was measured of it.
    """
    known = [(night.best, night.speedup) for night in nights[: _RECENT + 1] if night.speedup is not None]
    gains = [max(0.0, now / before - 1) if best != former else 0.0 for (best, now), (former, before) in pairwise(known)]
    return mean(gains) if gains else 0.0


def pace_of(nights: Sequence[PastNight]) -> Pace | None:
    """Return a cell's pace in its last nights; None if it never made a trial."""
    recent = [night for night in nights if night.trials][:_RECENT]
    if not recent:
        return None
    return Pace(
        median(night.search_seconds / night.trials for night in recent),
        median(max(0.0, night.seconds - night.search_seconds) for night in recent),
    )


def shared_out(amount: float, weights: Mapping[int, float], most: Mapping[int, float]) -> dict[int, float]:
    """Share an amount by weight, where nobody gets more than the most that it can use; the others get what is left."""
    shares: dict[int, float] = {}
    rest = dict(weights)
    while rest:
        unit = amount / sum(rest.values())
        full = [index for index, weight in rest.items() if unit * weight >= most[index]]
        if not full:
            return shares | {index: unit * weight for index, weight in rest.items()}
        for index in full:
            shares[index] = most[index]
            amount -= most[index]
            del rest[index]
    return shares


def _shares(
    cells: Sequence[Cell],
    nights: Sequence[Sequence[PastNight]],
    trials: Sequence[int],
    paces: Sequence[Pace | None],
    duties: Sequence[Duty],
    seconds: float,
) -> list[float | None]:
    """Return the seconds of each cell's search; None for those that do not search.

    What nobody is expected to need is given out, too: a search that is slower than in other nights is not cut for it.
    """
    known = [pace for pace in paces if pace is not None]
    usual = Pace(median(each.trial for each in known), median(each.rest for each in known)) if known else Pace(0, 0)
    guessed = [pace or usual for pace in paces]
    searching = [index for index, (method, _) in enumerate(duties) if method != "eval"]
    amount = seconds - sum(pace.rest for pace in guessed)
    amount -= sum(guessed[index].trial for index, (method, _) in enumerate(duties) if method == "eval")
    gains = {index: gain_of(nights[index]) / _DOUBLING_GAIN for index in searching}
    best = max(gains.values(), default=0.0)
    eager = {index for index in searching if not nights[index] or nights[index][0].alarmed}
    weights = {index: 1 + (best if index in eager else gain) for index, gain in gains.items()}
    most = {index: _most_seconds(cells[index], trials[index], guessed[index]) for index in searching}
    shares = shared_out(max(0.0, amount), weights, most)
    spare = max(0.0, amount - sum(shares.values())) / max(1.0, sum(weights.values()))
    return [shares[index] + spare * weights[index] if index in shares else None for index in range(len(cells))]


def _most_seconds(cell: Cell, trials: int, pace: Pace) -> float:
    """Return the seconds that a cell's search is expected to take if only its own configuration limits it.

    They suffice for one trial: where the stored search has ended, what is searched tonight may be another.
    """
    minutes = cell.model.optimizer.params.max_minutes
    limit = math.inf if minutes is None else 60 * minutes
    return min(limit, max(1, trials) * pace.trial) if pace.trial else limit


def _most_trials(cell: Cell, nights: Sequence[PastNight], stored: int) -> int:
    """Return how many trials a search makes if only its own configuration limits it; one that goes on, how many more.

    One that ended by itself in its last night does so again: it makes as many anew, or none where it goes on.
    """
    most = search_stages(cell.model)[-1].until
    ended = _ended_search(nights)
    if cell.model.optimizer.params.trials_load_method == "warm_start":
        return max(0, most - stored) if ended is None else 0
    return most if ended is None else min(most, max(1, ended.trials))


def _ended_search(nights: Sequence[PastNight]) -> PastNight | None:
    """Return the night of the last search, if that ended by itself."""
    last = next((night for night in nights if night.method != "eval"), None)
    return last if last is not None and last.ended else None


def _planned(
    cell: Cell, nights: Sequence[PastNight], trials: int, duty: Duty, pace: Pace | None, share: float | None
) -> PlannedCell:
    method, why = duty
    minutes = None
    if share is not None:
        if pace is not None and share < pace.trial:
            method, why = "eval", f"{why}, and no time is left to search"
        else:
            minutes = max(share, _LEAST_S if pace is None else 0.0) / 60
    trials = 1 if method == "eval" else trials
    own = cell.model.optimizer.params.max_minutes
    limits = [each for each in (own, minutes) if each is not None]
    if nights and not nights[0].trials and nights[0].best is None:  # its device is not there, or it fails
        return PlannedCell(cell, method, 0, nights[0].seconds, minutes, f"{why}; no trial last night")
    if not trials:
        why = f"{why}; its stored search {'has ended' if _ended_search(nights) else 'has all its trials'}"
    if pace is None:
        return PlannedCell(cell, method, trials, None, minutes, why)
    if method != "eval" and limits and pace.trial:
        trials = min(trials, math.ceil(60 * min(limits) / pace.trial))  # the last one is finished
    return PlannedCell(cell, method, trials, pace.rest + trials * pace.trial, minutes, why)
