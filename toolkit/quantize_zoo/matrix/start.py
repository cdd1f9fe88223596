"""Where a cell's search starts: POT's ``trials_load_method``, and what a stored search must have in common with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from quantize_zoo import errors
from quantize_zoo.cell import Cell, Prepared
from quantize_zoo.config import OptimizerParams, TrialsLoadMethod
from quantize_zoo.graph import Placement
from quantize_zoo.quantization import ModelOption, fitted_option, operations_difference
from quantize_zoo.search import Trial, best_trial
from quantize_zoo.store import Reference, Store, StoredSearch

# fine_tune and eval may come with other scopes and on another machine; warm_start goes on with measured figures.
_OF_A_WARM_START_ONLY = frozenset({"search space", "environment"})
# An option that was good on other data can be built on these, and is evaluated on them.
_OF_THE_DATA = frozenset({"dataset", "samples of the search"})
StoredIdentity = Mapping[str, str]


class StoredTrials(Protocol):
    """The trials of stored searches, which are many: only what is needed is asked for."""

    def trials(self, cell_id: int) -> tuple[Trial, ...]:
        """Return the trials of a cell, after those of the cells that it goes on from."""
        ...

    def trial(self, cell_id: int, number: int) -> Trial:
        """Return one of them."""
        ...


@dataclass(frozen=True)
class Start:
    """Where a search starts.

    ``reference`` has notes on it. ``trials`` are those that it goes on from, of the cell ``continues``; ``rebuild``
    tells to make no trials but the base's own. ``incumbent`` is the baseline's configuration, which is tried as well.
    ``preset`` is the fully quantized option that the preset gives.
    """

    reference: Reference
    placement: Placement
    base: ModelOption
    preset: ModelOption
    trials: tuple[Trial, ...] = ()
    continues: int | None = None
    rebuild: bool = False
    incumbent: ModelOption | None = None


def stored_searches(params: OptimizerParams, prepared: Prepared, store: Store, cell: Cell) -> list[StoredSearch]:
    """Return what ``find_start`` chooses from: the searches that fit, else those on other data, and the newest.

    A cold start chooses nothing.
    """
    method = params.trials_load_method
    if method == "cold_start":
        return []

    def stored(obstacles: Callable[[StoredIdentity], object]) -> list[StoredSearch]:
        return store.searches(cell.model.name, cell.key.device_label, lambda identity: not obstacles(identity))

    found = stored(lambda identity: _obstacles(method, identity, prepared))
    if any(not _obstacles(method, each.identity, prepared) for each in found):
        return found
    return stored(lambda identity: _obstacles(method, identity, prepared).keys() - _OF_THE_DATA)


def find_start(
    params: OptimizerParams, prepared: Prepared, searches: Sequence[StoredSearch], stored: StoredTrials
) -> Start:
    """Return where the search starts; ``searches`` are stored ones, newest first, their trials in ``stored``.

    The newest that fits is gone on with, and those before it back to the last cold start; whatever was run in between,
    on other data or with another model, is passed over. Where none fits, but some are of the same model on other data,
    fine_tune and eval take their best, which is evaluated anew. With nothing stored, warm_start and fine_tune start
    over like cold_start; so does fine_tune, with a note, if what is stored is of something else.

    Raises:
        CellError: warm_start or eval onto something else, or eval with nothing stored.

    """
    method = params.trials_load_method
    fresh = Start(prepared.reference, prepared.placement, prepared.base, prepared.base)
    if method == "cold_start":
        return fresh
    if not searches:
        if method == "eval":
            raise errors.nothing_stored(method)
        return fresh
    newest = _obstacles(method, searches[0].identity, prepared)
    fitting = _since_cold_start(each for each in searches if not _obstacles(method, each.identity, prepared))
    if method == "warm_start":
        if not fitting:
            raise errors.other_search(method, newest.values())
        chosen = fitting[0]
        noted = _noted(fresh, method, newest)
        trials = stored.trials(chosen.cell_id)
        if differs := operations_difference(trials[0].option, prepared.base):
            raise errors.other_search(method, [f"operations ({differs})"])
        return replace(noted, base=trials[0].option, trials=trials, continues=chosen.cell_id)
    if not fitting:
        fitting = _since_cold_start(
            each for each in searches if not _obstacles(method, each.identity, prepared).keys() - _OF_THE_DATA
        )
    if not fitting and method == "eval":
        raise errors.other_search(method, newest.values())
    if not fitting:
        return _with_note(fresh, f"fine_tune starts over: the stored search differs in {'; '.join(newest.values())}")
    bests = (
        best_trial(stored.trials(each.cell_id), params) if each.best is None else stored.trial(each.cell_id, each.best)
        for each in fitting
    )
    best = best_trial([each for each in bests if each is not None], params)
    if best is None:
        if method == "eval":
            raise errors.nothing_stored(method)
        return fresh
    other_data = _obstacles(method, fitting[0].identity, prepared)
    if other_data:
        text = f"{method} takes the best of a search that differs in {'; '.join(other_data.values())}"
        noted = _with_note(fresh, text)
    else:
        noted = _noted(fresh, method, newest)
    if differs := operations_difference(best.option, prepared.base):
        noted = _with_note(noted, f"{method} takes what the stored best is of today's operations ({differs})")
    return replace(noted, base=fitted_option(best.option, prepared.base), rebuild=method == "eval")


def identity_differences(
    stored: StoredIdentity, wanted: Mapping[str, str], former: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return what differs, by its name, with both values; ``former`` are other names for what is wanted."""
    return {
        part: f"{part} (stored: {stored.get(part, 'not known')}; now: {value})"
        for part, value in wanted.items()
        if stored.get(part) not in (value, (former or {}).get(part, value))
    }


def _obstacles(method: TrialsLoadMethod, stored: StoredIdentity, prepared: Prepared) -> dict[str, str]:
    """Return what keeps a method from going on with a stored search."""
    found = identity_differences(stored, prepared.reference.identity, prepared.former)
    return {part: text for part, text in found.items() if method == "warm_start" or part not in _OF_A_WARM_START_ONLY}


def _since_cold_start(searches: Iterable[StoredSearch]) -> list[StoredSearch]:
    """Return the searches back to the last cold start."""
    found: list[StoredSearch] = []
    for each in searches:
        found.append(each)
        if each.method == "cold_start":
            break
    return found


def _noted(start: Start, method: TrialsLoadMethod, newest: Mapping[str, str]) -> Start:
    """Say that a newer search was passed over."""
    if not newest:
        return start
    return _with_note(
        start, f"{method} passes over the newest stored search, which differs in {'; '.join(newest.values())}"
    )


def _with_note(start: Start, note: str) -> Start:
    return replace(start, reference=replace(start.reference, notes=(*start.reference.notes, note)))
