"""A baseline's models under one OpenVINO release against another, in a cell's process, on the cell's data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantize_zoo import errors
from quantize_zoo.config import GateConfig
from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.bisection import CheckName
from quantize_zoo.gate.checks import Check, check_level
from quantize_zoo.gate.comparison import Terms, compare_answers, compare_latency
from quantize_zoo.scoring import Answers

_FP32, _INT8 = "the baseline's FP32 model", "the baseline's INT8 model"
# What the gate compares of a runtime, on the night as well.
_CHECKS: Final = (
    CheckName("runtime", "accuracy", _FP32),
    CheckName("runtime", "accuracy", _INT8),
    CheckName("runtime", "latency", _INT8),
)


@dataclass(frozen=True)
class ReleasesRequest:
    """The baseline's models, and the interpreters of the older and of the newer release.

    ``wanted`` are the checks that are to be made, all by default.
    """

    metric: str
    fp32: Path
    int8: Path
    older: Path
    newer: Path
    terms: Terms
    wanted: frozenset[CheckName] | None = None


class ReleaseComparison:
    """Compares releases on a cell's benches; what a model answers under a release is asked once.

    Args:
        benches: of a fleet those of all members, that of the one that leads first; other machines' have one release.

    """

    def __init__(self, benches: Sequence[Bench]) -> None:
        self._benches = [bench for bench in benches if not bench.elsewhere]
        self._answers: dict[tuple[str, Path, Path], Answers] = {}

    def compare(self, request: ReleasesRequest) -> tuple[Check, ...]:
        """Return the checks, each as the gate makes it of a night.

        Raises:
            CellError: the baseline is of something else, or a model cannot be run under one of the releases.

        """
        bench = self._benches[0]
        if request.metric != bench.metric:
            raise errors.other_baseline([f"metric ({request.metric!r}, now {bench.metric!r})"])
        for path in (request.fp32, request.int8):
            bench.read(path)
        return tuple(check for each in self._benches for check in self._checks(each, request))

    def _checks(self, bench: Bench, request: ReleasesRequest) -> Iterator[Check]:
        terms, models = request.terms, {_FP32: request.fp32, _INT8: request.int8}
        for name in _CHECKS:
            subject = bench.subject(name.subject)
            if request.wanted is not None and name._replace(subject=subject) not in request.wanted:
                continue
            model = models[name.subject]
            if name.quantity == "accuracy":
                before, now = (self._answers_under(bench, python, model) for python in (request.older, request.newer))
                yield compare_answers(bench, terms, "runtime", subject, before, now)
            elif bench.measures_latency:
                sides = bench.side(model, request.older), bench.side(model, request.newer)
                yield compare_latency(bench, terms, *sides, "runtime", subject)

    def _answers_under(self, bench: Bench, python: Path, model: Path) -> Answers:
        key = bench.member, python, model
        if key not in self._answers:
            self._answers[key] = bench.answers_under(python, model)
        return self._answers[key]


def releases_level(gate: GateConfig, cells: int) -> float:
    """Return the level of one check: those of a cell, which counts as so many, share the night's."""
    return check_level(gate, cells, len(_CHECKS))
