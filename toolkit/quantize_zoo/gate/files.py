"""Two model files on a cell's data, outside a night."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.checks import Check
from quantize_zoo.gate.comparison import Terms, growth, limited_growth, model_checks


@dataclass(frozen=True)
class FilesRequest:
    """Two model files to compare; ``python`` is the baseline's interpreter, this one's by default."""

    baseline: Path
    candidate: Path
    terms: Terms
    python: Path | None = None


def compare_files(benches: Sequence[Bench], request: FilesRequest) -> tuple[Check, ...]:
    """Compare two models on the cell's data: accuracy, latency, and what they cost beside it.

    Args:
        benches: the cell's; of a fleet those of all members, that of the one that leads first.
        request: the models.

    Raises:
        CellError: a file is missing, has other inputs than the data, or cannot be run.

    """
    return tuple(check for bench in benches for check in _compared(bench, request))


def _compared(bench: Bench, request: FilesRequest) -> Iterator[Check]:
    model, subject = bench.read(request.baseline), bench.subject(request.candidate.name)
    answers = bench.answers_under(request.python, request.baseline) if request.python else bench.answers(model)
    baseline = bench.side(request.baseline, request.python), answers
    yield from model_checks(bench, request.terms, baseline, request.candidate, "model", subject)
    grown = limited_growth if bench.member else growth
    yield from grown(bench, request.terms, request.baseline, request.candidate, "model", subject)
