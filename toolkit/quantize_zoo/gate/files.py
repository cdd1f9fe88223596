"""Two model files on a cell's data, outside a night."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.checks import Check
from quantize_zoo.gate.comparison import Terms, growth, model_checks
from quantize_zoo.scoring import Answers, start_runtime


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
    answers = _answers_elsewhere(bench, request) if request.python else bench.answers(model)
    baseline = bench.side(request.baseline, request.python), answers
    checks = model_checks(bench, request.terms, baseline, request.candidate, "model", subject)
    return (*checks, *growth(bench, request.terms, request.baseline, request.candidate, "model", subject))


def _answers_elsewhere(bench: Bench, request: FilesRequest) -> Answers:
    """What the baseline answers in its own interpreter, at the device's properties for latency."""
    assert request.python is not None, "the caller asked"
    with start_runtime(request.python) as process:
        process.load(bench.side(request.baseline))
        return bench.accuracy.answers_of(process.infer(bench.accuracy.inputs()), bench.metric)
