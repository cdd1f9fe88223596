"""Where a cell's search starts: POT's ``trials_load_method``, and what a stored search must have in common with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quantize_zoo import errors
from quantize_zoo.cell import Prepared
from quantize_zoo.config import OptimizerParams
from quantize_zoo.graph import Placement
from quantize_zoo.quantization import ModelOption
from quantize_zoo.search import Trial, best_trial
from quantize_zoo.store import Reference, StoredSearch

# fine_tune and eval may come with other scopes and on another machine; warm_start goes on with measured figures.
_OF_A_WARM_START_ONLY = frozenset({"search space", "environment"})


@dataclass(frozen=True)
class Start:
    """Where a search starts.

    ``reference`` has notes on it. ``trials`` are those that it goes on from, of the cell ``continues``; ``rebuild``
    tells to make no trials but the base's own.
    """

    reference: Reference
    placement: Placement
    base: ModelOption
    trials: tuple[Trial, ...] = ()
    continues: int | None = None
    rebuild: bool = False


def find_start(params: OptimizerParams, prepared: Prepared, searches: Sequence[StoredSearch]) -> Start:
    """Return where the search starts; ``searches`` are the stored ones back to the last cold start, newest first.

    With nothing stored, warm_start and fine_tune start over like cold_start; so does fine_tune, with a note, if what is
    stored is of something else.

    Raises:
        CellError: warm_start or eval onto something else, or eval with nothing stored.

    """
    method = params.trials_load_method
    fresh = Start(prepared.reference, prepared.placement, prepared.base)
    if method == "cold_start":
        return fresh
    if not searches:
        if method == "eval":
            raise errors.nothing_stored(method)
        return fresh
    found = identity_differences(searches[0].identity, prepared.reference.identity)
    if method == "warm_start":
        if found:
            raise errors.other_search(method, found.values())
        newest = searches[0]
        return replace(fresh, base=newest.trials[0].option, trials=newest.trials, continues=newest.cell_id)
    serious = [text for part, text in found.items() if part not in _OF_A_WARM_START_ONLY]
    if serious and method == "eval":
        raise errors.other_search(method, serious)
    if serious:
        note = f"fine_tune starts over: the stored search differs in {'; '.join(serious)}"
        noted = replace(prepared.reference, notes=(*prepared.reference.notes, note))
        return replace(fresh, reference=noted)
    bests = (best_trial(each.trials, params) if each.best is None else each.trials[each.best] for each in searches)
    best = best_trial([each for each in bests if each is not None], params)
    if best is None:
        if method == "eval":
            raise errors.nothing_stored(method)
        return fresh
    return replace(fresh, base=best.option, rebuild=method == "eval")


def identity_differences(stored: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return what differs, by its name, with both values."""
    return {
        part: f"{part} (stored: {stored.get(part, 'not known')}; now: {value})"
        for part, value in wanted.items()
        if stored.get(part) != value
    }
