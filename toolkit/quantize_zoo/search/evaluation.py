"""Evaluating an option: one call, one value. Nothing is remembered between the parts but what is passed on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from quantize_zoo.quantization import ModelOption
from quantize_zoo.search.trial import Built, Scored, Timed


class Candidates(Protocol):
    """Makes candidates and measures them; a candidate is whatever ``build`` returns beside what is told of it."""

    def build(self, option: ModelOption) -> tuple[Built, Any]:
        """Build the option's model in memory."""
        ...

    def score(self, candidate: Any, *, below: float = math.inf) -> Scored:
        """Measure its accuracy on the samples that the search sees; end when it surely loses more than ``below``.

        That is a share of FP32's; without it nothing is ended.
        """
        ...

    def measure(self, candidate: Any) -> Timed:
        """Measure its latency; the machine must be quiet meanwhile."""
        ...


@dataclass(frozen=True)
class Known:
    """What needs no second look: models that were scored, and structures whose latency was measured.

    What loses more than ``hopeless`` meets no target, and is not the most accurate either. Of each structure it is
    known what a model of it must lose less than to be on the front of speed and accuracy: the least loss of all that
    were as fast. Of a fleet: the order in which members are asked, and whether a candidate was ``found`` that is valid
    on all.
    """

    candidates: frozenset[str] = frozenset()
    hopeless: float = math.inf
    structures: Mapping[str, float] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    found: bool = False


@dataclass(frozen=True)
class Evaluation:
    """What was found out of an option.

    ``scored`` is None if the same model was scored before; ``timed`` too, or if its structure was measured before, or
    it is hopeless. ``where`` is the machine that measured, if it is not this one. ``failure`` tells what makes the
    figures useless; then nothing more was measured.
    """

    built: Built
    scored: Scored | None = None
    timed: Timed | None = None
    where: str = ""
    failure: str = ""


class EvaluationPool(Protocol):
    """Evaluates options, as many at once as it has places; used by one thread, that of the search."""

    def capacity(self) -> int:
        """Return how many can be evaluated at once now; it may change."""
        ...

    def submit(self, option: ModelOption, known: Known, *, prune: bool) -> Future[Evaluation]:
        """Begin an evaluation; its future raises CellError if it fails."""
        ...

    def busy(self) -> AbstractContextManager[object]:
        """Compute beside the evaluations: while this is held no latency is measured on this machine."""
        ...


def evaluate(
    candidates: Candidates,
    option: ModelOption,
    known: Known,
    *,
    prune: bool,
    measure: bool = True,
    quiet: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Evaluation:
    """Build an option's model, score it, measure it; what is known needs no second look.

    Args:
        candidates: what builds and measures.
        option: the configuration.
        known: models and structures that were seen before.
        prune: end the scoring when it is hopeless, or others were surely as fast and more accurate.
        measure: look at the latency, too; another machine may do that.
        quiet: held while latency is measured.

    Raises:
        CellError: the model cannot be built or run.

    """
    built, candidate = candidates.build(option)
    if built.candidate in known.candidates:
        return Evaluation(built)
    beaten = known.structures.get(built.structure, math.inf)
    scored = candidates.score(candidate, below=min(known.hopeless, beaten) if prune else math.inf)
    if not math.isfinite(scored.accuracy.value):
        return Evaluation(built, scored, failure=f"the tuned metric is {scored.accuracy.value}, which is no number")
    if scored.hopeless or built.structure in known.structures or not measure:
        return Evaluation(built, scored)
    with quiet():
        return Evaluation(built, scored, candidates.measure(candidate))
