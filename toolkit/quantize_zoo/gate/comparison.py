"""Two models on one bench: what differs in accuracy, in latency, and in what they cost beside it."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize_zoo.config import GateConfig
from quantize_zoo.gate.accuracy import judge_accuracy
from quantize_zoo.gate.bench import Bench, measure_figures
from quantize_zoo.gate.checks import (
    Cause,
    ChangedSample,
    Check,
    Quantity,
    accuracy_check,
    growth_check,
    latency_check,
    measured_growth_check,
)
from quantize_zoo.gate.latency import LatencyVerdict, Measure, judge_latency
from quantize_zoo.gate.layer_outputs import SAMPLES, layer_deviations
from quantize_zoo.gate.layer_times import layer_times
from quantize_zoo.gate.layers import LayerDeviations
from quantize_zoo.graph import same_model
from quantize_zoo.scoring import Answers, Side, measure_rounds
from quantize_zoo.store import Figures

LISTED_SAMPLES = 50
_LOOKED_INTO = ("regressed", "inconclusive", "changed")

# Returns where two models begin to differ on the samples of these names.
Deviations = Callable[[Sequence[str]], LayerDeviations]


@dataclass(frozen=True)
class Terms:
    """What a comparison allows, the level of one check, and the folder that pictures of samples go into."""

    gate: GateConfig
    level: float
    run: Path


def model_checks(
    bench: Bench,
    terms: Terms,
    baseline: tuple[Side, Answers],
    path: Path,
    cause: Cause,
    subject: str,
    *,
    chosen: bool = False,
) -> Iterator[Check]:
    """Yield the checks of accuracy and latency of a model; the same one in the same interpreter is not measured.

    A model that a search has ``chosen`` looks better on the samples that chose it than it is, and the baseline's, which
    was chosen once too: their accuracies are compared on the holdout, where there is one.

    Raises:
        CellError: the model is missing, has other inputs than the data, or cannot be run.

    """
    side, answers = baseline
    model, samples = bench.read(path), ""
    if chosen and bench.holdout:
        answers = bench.answers(bench.read(side.model), bench.holdout)
        samples = f"{len(bench.holdout)} samples that the search never saw"
    elif chosen:
        samples = "the samples that chose it"
    candidate_answers = bench.answers(model, bench.holdout if chosen and bench.holdout else None)
    sides = bench.accuracy_side(side.model, side.python), bench.accuracy_side(path)
    deviations = partial(layer_deviations, bench, *sides)
    yield compare_answers(bench, terms, cause, subject, answers, candidate_answers, samples, deviations)
    if not bench.measures_latency:
        return
    candidate = bench.side(path)
    if side.python == candidate.python and same_model(side.model, path):
        yield Check(cause, "latency", subject, "pass", "the same model: not measured")
        return
    yield compare_latency(bench, terms, side, candidate, cause, subject)


def compare_answers(
    bench: Bench,
    terms: Terms,
    cause: Cause,
    subject: str,
    baseline: Answers,
    candidate: Answers,
    samples: str = "",
    deviations: Deviations | None = None,
) -> Check:
    """Judge the accuracy of a candidate that answered the baseline's samples; ``samples`` tells which, if not all.

    Where it got worse, or answers changed, ``deviations`` tells in which layers.
    """
    candidate = candidate.ordered_as(baseline)
    found = candidate.metrics[bench.metric]
    if not math.isfinite(found):
        return Check(cause, "accuracy", subject, "regressed", f"{bench.metric} is {found}, which is no number")
    different = baseline.digests != candidate.digests
    identical = not different.any()
    metric = bench.metric
    replicates = None
    if not identical and baseline.values is None:
        before, after = (bench.accuracy.replicated(each).replicates for each in (baseline, candidate))
        replicates = (before, after) if before and after and np.array_equal(before.sizes, after.sizes) else None
    verdict = judge_accuracy(
        (baseline.metrics[metric], baseline.values),
        (candidate.metrics[metric], candidate.values),
        identical=bool(identical),
        higher_is_better=bench.accuracy.higher_is_better(metric),
        margin=terms.gate.max_accuracy_drop / 100,
        level=terms.level,
        replicates=replicates,
        confidences=_confidences(baseline, candidate),
    )
    other = baseline.texts != candidate.texts
    if baseline.values is not None and candidate.values is not None:
        other |= baseline.values != candidate.values  # of classes with equal scores the text names one
    moved = np.flatnonzero(different & other)
    changed = tuple(
        ChangedSample(
            str(baseline.identifiers[index]),
            str(baseline.texts[index]),
            str(candidate.texts[index]),
            _thumbnail(bench, terms, str(baseline.identifiers[index])),
        )
        for index in moved[:LISTED_SAMPLES]
    )
    check = accuracy_check(cause, subject, verdict, metric, changed, len(moved), samples)
    # A regression of scores need not change an answer; what changed within rounding and no answer needs no reason.
    told = moved if len(moved) or check.status != "regressed" else np.flatnonzero(different)
    if deviations is None or check.status not in _LOOKED_INTO or not len(told):
        return check
    return replace(check, layer_deviations=deviations([str(name) for name in baseline.identifiers[told[:SAMPLES]]]))


def compare_latency(bench: Bench, terms: Terms, baseline: Side, candidate: Side, cause: Cause, subject: str) -> Check:
    """Measure two sides in turns."""

    def measure() -> Iterator[float]:
        return measure_rounds(baseline, candidate, bench.timed_samples(), cores=bench.benchmark.nthreads)

    check = latency_check(cause, subject, *_judge(measure, terms.gate.max_latency_increase, terms.level))
    return replace(check, layer_times=layer_times(bench, baseline, candidate)) if check.status == "regressed" else check


def _judge(measure: Measure, percent: float, level: float) -> tuple[LatencyVerdict, float]:
    """Measure rounds until they are clear; return also how many seconds one takes."""
    rounds, started = 0, time.perf_counter()

    def counted() -> Iterator[float]:
        nonlocal rounds
        for observed in measure():
            rounds += 1
            yield observed

    verdict = judge_latency(counted, percent / 100, level)
    return verdict, (time.perf_counter() - started) / max(1, rounds)


def growth(bench: Bench, terms: Terms, baseline: Path, candidate: Path, cause: Cause, subject: str) -> Iterator[Check]:
    """Yield what a model costs beside its latency, against what the baseline's costs today.

    A size is exact. A time and a memory, which are not, are measured once to be told; where the matrix limits them,
    both sides are measured again and again, each time in a new process, and judged as latency is.
    """
    before, now = (measure_figures(bench, each) for each in (baseline, candidate))
    size, limit = (before.size_bytes / 1e6, now.size_bytes / 1e6, "MB"), terms.gate.max_size_increase
    yield growth_check(cause, "size", subject, *size, None if limit is None else limit / 100)
    same = same_model(baseline, candidate)
    for quantity, limit, of, unit in _measured_growth(terms):
        figures = of(before), of(now), unit
        if limit is None or same:
            yield growth_check(cause, quantity, subject, *figures, None)
            continue
        measure = partial(_growths, bench, baseline, candidate, of)
        yield measured_growth_check(cause, quantity, subject, figures, *_judge(measure, limit, terms.level))


def limited_growth(
    bench: Bench, terms: Terms, baseline: Path, candidate: Path, cause: Cause, subject: str
) -> Iterator[Check]:
    """Yield the same on another device than the one that all is told of: what is measured there and has a limit."""
    if any(limit is not None for _, limit, *_ in _measured_growth(terms)):
        limited = {quantity for quantity, limit, *_ in _measured_growth(terms) if limit is not None}
        found = growth(bench, terms, baseline, candidate, cause, subject)
        yield from (check for check in found if check.quantity in limited)


def _measured_growth(terms: Terms) -> tuple[tuple[Quantity, float | None, Callable[[Figures], float], str], ...]:
    """Return what is measured: its name, its limit in percent, what it is of a model's figures, and its unit."""
    gate = terms.gate
    return (
        ("compile time", gate.max_compile_time_increase, lambda each: each.compile_s, "s"),
        ("memory", gate.max_memory_increase, lambda each: each.peak_bytes / 1e6, "MB"),
    )


def _growths(bench: Bench, baseline: Path, candidate: Path, of: Callable[[Figures], float]) -> Iterator[float]:
    while True:
        first, second = (of(measure_figures(bench, each)) for each in (baseline, candidate))
        yield math.log(second / first)


def _confidences(baseline: Answers, candidate: Answers) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if baseline.confidences is None or candidate.confidences is None:
        return None
    return baseline.confidences, candidate.confidences


def _thumbnail(bench: Bench, terms: Terms, identifier: str) -> str:
    """Write the picture of a sample among the run's files and return its name there, if it is a picture."""
    name = Path("thumbnails") / f"{hashlib.sha256(identifier.encode()).hexdigest()[:16]}.png"
    return name.as_posix() if bench.accuracy.write_thumbnail(identifier, terms.run / name) else ""
