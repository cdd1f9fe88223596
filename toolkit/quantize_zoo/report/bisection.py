"""A bisection as a page and as JSON: which release or commit a regression came with, and what was seen at each step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from quantize_zoo import errors
from quantize_zoo.gate.bisection import Found
from quantize_zoo.gate.checks import Cause, Quantity
from quantize_zoo.matrix import Answer, Bisection
from quantize_zoo.matrix.bisection import Judged
from quantize_zoo.report.documents import CheckDocument
from quantize_zoo.report.html import page
from quantize_zoo.report.json_document import check_document
from quantize_zoo.terms import Over
from quantize_zoo.text.files import write_together
from quantize_zoo.text.plain import json_text

SCHEMA_VERSION: Final = 1
_STEPS = {"openvino": "OpenVINO release", "git": "commit"}


@dataclass(frozen=True)
class Origin:
    """Where a bisection comes from: its id, when it began, how long it took, and the command."""

    id: str
    started_at: datetime
    seconds: float
    command: str
    baseline_run: str


@dataclass(frozen=True)
class StepDocument:
    """A step and what it was found to be: ``looks`` are in the order they were made; ``problem`` is why there are none.

    A step that nobody had to look at has no ``found``.
    """

    name: str
    told: str
    found: Found | None
    looks: tuple[CheckDocument, ...]
    problem: str


@dataclass(frozen=True)
class AnswerDocument:
    """Where one check went bad: after ``good`` and, if that is ``decided``, with ``bad``; ``order`` names what was
    looked at, in that order.
    """

    cause: Cause
    quantity: Quantity
    subject: str
    good: str
    bad: str
    decided: bool
    text: str
    order: tuple[str, ...]
    steps: tuple[StepDocument, ...]


@dataclass(frozen=True)
class BisectionDocument:
    """All of a bisection."""

    schema_version: Literal[1]
    id: str
    started_at: datetime
    seconds: float
    command: str
    baseline_run: str
    cell: str
    over: Over
    decided: bool
    answers: tuple[AnswerDocument, ...]


def bisection_document(bisection: Bisection, origin: Origin) -> BisectionDocument:
    """Return the document."""
    return BisectionDocument(
        SCHEMA_VERSION,
        origin.id,
        origin.started_at,
        origin.seconds,
        origin.command,
        origin.baseline_run,
        bisection.cell,
        bisection.over,
        bisection.decided,
        tuple(_answer(bisection, answer) for answer in bisection.answers),
    )


def write_bisection(bisection: Bisection, origin: Origin, folder: Path) -> None:
    """Write page and document.

    Raises:
        ConfigurationError: the folder cannot be written.

    """
    page_text, document = render_bisection(bisection, origin), render_bisection_json(bisection, origin)
    try:
        write_together(folder, {"bisection.json": document, "index.html": page_text})
    except OSError as error:
        raise errors.reports_unwritable(folder, str(error)) from error


def render_bisection_json(bisection: Bisection, origin: Origin) -> str:
    """Return the document as text."""
    return json_text(bisection_document(bisection, origin), indent=1) + "\n"


def render_bisection(bisection: Bisection, origin: Origin) -> str:
    """Return the page."""
    document = bisection_document(bisection, origin)
    return page("bisection.html.j2", document=document, step=_STEPS[bisection.over], answers=document.answers)


def answer_line(bisection: Bisection, answer: Answer) -> str:
    """Return where a check went bad in one line, with both verdicts."""
    good, bad = bisection.steps[answer.good].name, bisection.steps[answer.bad].name
    what = f"{answer.check.cause} {answer.check.quantity} of {answer.check.subject}"
    if answer.decided:
        seen = [(name, answer.at(place)) for name, place in ((bad, answer.bad), (good, answer.good))]
        verdicts = "; ".join(f"{name}: {judged.looks[-1].text}" for name, judged in seen if judged and judged.looks)
        return f"{what}: {_STEPS[bisection.over]} {bad} is the first bad one, {good} was good ({verdicts})"
    between = answer.bad - answer.good - 1
    undecided = "one step" if between == 1 else f"{between} steps"
    return f"{what}: after {good}, not later than {bad}; {undecided} between could not be decided"


def _answer(bisection: Bisection, answer: Answer) -> AnswerDocument:
    steps = bisection.steps
    return AnswerDocument(
        cause=answer.check.cause,
        quantity=answer.check.quantity,
        subject=answer.check.subject,
        good=steps[answer.good].name,
        bad=steps[answer.bad].name,
        decided=answer.decided,
        text=answer_line(bisection, answer),
        order=tuple(steps[judged.position].name for judged in answer.judged),
        steps=tuple(_step(step.name, step.told, answer.at(position)) for position, step in enumerate(steps)),
    )


def _step(name: str, what: str, judged: Judged | None) -> StepDocument:
    if judged is None:
        return StepDocument(name, what, None, (), "")
    return StepDocument(name, what, judged.found, tuple(map(check_document, judged.looks)), judged.problem)
