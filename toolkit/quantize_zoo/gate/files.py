"""Two model files on a cell's data, outside a night."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.checks import Check
from quantize_zoo.gate.comparison import Terms, growth, model_checks


@dataclass(frozen=True)
class FilesRequest:
    """Two model files to compare; ``python`` is the baseline's interpreter, this one's by default."""

    baseline: Path
    candidate: Path
    terms: Terms
    python: Path | None = None


def compare_files(bench: Bench, request: FilesRequest) -> tuple[Check, ...]:
    """Compare two models on the cell's data: accuracy, latency, and what they cost beside it.

    Raises:
        CellError: a file is missing, has other inputs than the data, or cannot be run.

    """
    model = bench.read(request.baseline)
    subject = request.candidate.name
    answers = bench.answers_under(request.python, request.baseline) if request.python else bench.answers(model)
    baseline = bench.side(request.baseline, request.python), answers
    checks = model_checks(bench, request.terms, baseline, request.candidate, "model", subject)
    return (*checks, *growth(bench, request.terms, request.baseline, request.candidate, "model", subject))
