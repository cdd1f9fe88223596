"""What is found out of a finished model: on samples that the search never saw, and in latency over compilations."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.cell.candidates import Candidate, CellCandidates
from quantize_zoo.cell.nncf import nncf_models
from quantize_zoo.cell.values import Answered, Finished
from quantize_zoo.errors import CellError, QuantizeZooError
from quantize_zoo.gate.bench import Bench, measure_figures
from quantize_zoo.graph import content_hash, read_model, weights_bytes
from quantize_zoo.quantization import Samples
from quantize_zoo.scoring import (
    Answers,
    Estimate,
    InputBudget,
    LayerTime,
    PairedLatency,
    answers_name,
    checker_entry,
    compile_for_accuracy,
    compile_for_latency,
    compile_from,
    find_checker,
    mean_estimate,
    measure_finally,
    open_session,
    paired_loss,
    profile_layers,
    replicated_loss,
    write_answers,
)
from quantize_zoo.scoring.proof import LAST_BITS, PROVEN_SAMPLES, SUMMED_OTHERWISE, require_same_outputs
from quantize_zoo.store import Holdout, OtherMetric, Proof, ReferencePoint


def prove(work: CellCandidates, candidate: ov.Model, path: Path, accuracy: float | None) -> Proof:
    """Hold a file against the candidate that it was written from: outputs of some samples, and the tuned metric of all.

    Raises:
        CellError: they are not the same.

    """
    start = time.perf_counter()
    bench, metric = work.bench, work.bench.metric
    samples = bench.accuracy.inputs(work.order[:PROVEN_SAMPLES])
    written, repeats = require_same_outputs(candidate, path, bench.device, samples)
    value = bench.accuracy.score(written, work.order).metrics[metric]
    tolerance = SUMMED_OTHERWISE if repeats else LAST_BITS
    if accuracy is not None and not math.isclose(value, accuracy, rel_tol=tolerance):
        raise errors.file_computes_otherwise(path, metric, f"{accuracy!r} in the trial", f"{value!r} of the file")
    return Proof(len(samples), value, repeats, time.perf_counter() - start)


def finish_file(
    work: CellCandidates,
    path: Path,
    proof: Proof,
    holdout: tuple[int, ...],
    budget: InputBudget,
    others: Mapping[str, Answered],
) -> Finished:
    """Find out what is told of an exported model, of the file as it is, and write its answers beside it.

    Args:
        work: the cell's; of a fleet that of the member that leads.
        path: the model's file.
        proof: what was found when it was written.
        holdout: the samples that the search never saw.
        budget: what preprocessed inputs may take of memory.
        others: what both models answered on the other members of a fleet, by their names.

    Raises:
        CellError: it cannot be read or run, or its metric is no number on the holdout.

    """
    bench, fp32 = work.bench, work.fp32.model
    candidate = read_model(path)
    latency = confirm(bench, fp32, candidate)
    answers = {"fp32": bench.answers(fp32), "int8": bench.answers(candidate)}
    on_others = {
        answers_name(name, member): each
        for member, found in others.items()
        for name, each in (("fp32", found.fp32), ("int8", found.int8))
    }
    kept = {name: bench.accuracy.replicated(each) for name, each in (answers | on_others).items()}
    answered = path.with_suffix(".npz")
    write_answers(answered, kept, bench.contents)
    scored = score_holdout(work, candidate, holdout)
    if scored is not None and scored.accuracy_loss.low is None:  # of a metric that only a whole dataset has
        scored = replace(scored, accuracy_loss=_loss(work, answers, holdout) or scored.accuracy_loss)
    return Finished(
        latency,
        scored,
        tuple(_score_other_datasets(work, candidate, budget)),
        measure_figures(bench, path),
        _profile(bench, fp32, candidate) if bench.measures_latency else (),
        proof,
        measure_figures(bench, work.cell.model.model),
        _loss(work, answers, work.order),
        content_hash(path),
        content_hash(answered),
    )


def _loss(work: CellCandidates, answers: Mapping[str, Answers], indices: Sequence[int]) -> Estimate | None:
    """Return the loss on some samples, with its interval; None where none can be given."""
    fp32, int8 = (work.bench.accuracy.part(answers[name], list(indices)) for name in ("fp32", "int8"))
    if work.bench.metric not in fp32.metrics:  # of some samples a custom evaluator gives none
        return None
    loss = loss_between(fp32, int8, higher_is_better=work.fp32.higher_is_better)
    return None if loss.low is None else loss


def loss_between(fp32: Answers, int8: Answers, *, higher_is_better: bool) -> Estimate:
    """Return the loss of one model's answers against another's on the same samples, with its interval where it can."""
    metrics = fp32.metrics[fp32.metric], int8.metrics[int8.metric]
    if fp32.values is None and int8.values is None and fp32.replicates is not None and int8.replicates is not None:
        replicates = fp32.replicates, int8.replicates
        return replicated_loss(*metrics, *replicates, higher_is_better=higher_is_better)
    return paired_loss(*metrics, fp32.values, int8.values, higher_is_better=higher_is_better)


def score_reference(
    work: CellCandidates, tool: str, samples: Samples, holdout: tuple[int, ...]
) -> Iterator[tuple[ReferencePoint, ov.Model]]:
    """Score the models that another tool makes of the same calibration samples, as a trial is scored; yield them, too.

    Raises:
        CellError: the tool fails, or a model of it cannot be run.

    """
    for name, make in nncf_models(tool, work.fp32.model, samples, work.cell.model.compression).items():
        start = time.perf_counter()
        model = make()
        seconds = time.perf_counter() - start
        try:
            scored = work.score(Candidate(model))
            latency = confirm(work.bench, work.fp32.model, model)
            found = score_holdout(work, model, holdout)
        except CellError as error:
            raise errors.reference_failed(tool, f"its model cannot be run: {error.what}") from error
        yield ReferencePoint(name, scored.accuracy, latency, found, seconds, weights_bytes(model)), model


def confirm(bench: Bench, reference: ov.Model, candidate: ov.Model) -> PairedLatency | None:
    """Measure two models over several compilations of both; None without the cell's device."""
    if not bench.measures_latency:
        return None
    device, benchmark = bench.device, bench.benchmark
    one, other = (
        compile_from(compile_for_latency(model, device, benchmark), model, device, benchmark)
        for model in (reference, candidate)
    )
    return measure_finally(one, other, bench.timed_samples(), benchmark)


def score_holdout(work: CellCandidates, candidate: ov.Model, holdout: tuple[int, ...]) -> Holdout | None:
    """Score FP32 and a candidate on the samples that the search never saw, if there are any.

    Raises:
        CellError: the metric is no number on them.

    """
    if not holdout:
        return None
    bench, metric = work.bench, work.bench.metric
    fp32, int8 = (
        bench.accuracy.score(compiled, holdout)
        for compiled in (work.fp32.for_accuracy, compile_for_accuracy(candidate, bench.device))
    )
    for scored in (fp32, int8):
        if not math.isfinite(scored.metrics[metric]):
            raise errors.metric_not_a_number(metric, scored.metrics[metric], "samples that the search never saw")
    values = (fp32.per_sample.get(metric), int8.per_sample.get(metric))
    return Holdout(
        fp32=mean_estimate(fp32.metrics[metric], values[0]),
        int8=mean_estimate(int8.metrics[metric], values[1]),
        accuracy_loss=paired_loss(
            fp32.metrics[metric], int8.metrics[metric], *values, higher_is_better=work.fp32.higher_is_better
        ),
    )


def _score_other_datasets(work: CellCandidates, candidate: ov.Model, budget: InputBudget) -> Iterator[OtherMetric]:
    """Score both models on the datasets that are not tuned on."""
    config, fp32 = work.cell.model, work.fp32.model
    datasets = checker_entry(config)["datasets"]
    for number in range(1, len(datasets)):
        session = open_session(find_checker(), config, fp32, budget, number)
        before, after = (
            session.score(compile_for_accuracy(model, work.bench.device)).metrics for model in (fp32, candidate)
        )
        for name, value in before.items():
            yield OtherMetric(str(datasets[number].get("name")), name, value, after[name])


def _profile(bench: Bench, fp32: ov.Model, candidate: ov.Model) -> tuple[LayerTime, ...]:
    """Return where the time goes; a device that cannot tell is no reason to lose the cell."""
    try:
        first, second = (
            compile_for_latency(model, bench.device, bench.benchmark, profiled=True) for model in (fp32, candidate)
        )
        return profile_layers(first, second, bench.timed_samples())
    except QuantizeZooError as error:
        print(f"layers are not profiled: {error}")  # to the cell's log
        return ()
