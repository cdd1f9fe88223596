"""A cell against its baseline, in the cell's process: both sides run today, on this machine.

Three causes are told apart. Runtime: the baseline's own models, against what they answered when they were accepted.
Quantization: the baseline's configuration applied today, against the baseline's INT8 model. Search: tonight's best,
against the same.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import BenchmarkParams, DeviceSpec, GateConfig, Runtime
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import (
    ChangedSample,
    Check,
    GateResult,
    accuracy_check,
    growth_check,
    judge_accuracy,
    judge_latency,
    latency_check,
)
from quantize_zoo.gate.checks import Cause, Quantity
from quantize_zoo.graph import read_model, save_model, structural_signature, with_batch
from quantize_zoo.quantization import ModelOption, option_hash
from quantize_zoo.scoring import (
    AccuracySession,
    Answers,
    Environment,
    Side,
    compile_for_accuracy,
    describe_environment,
    latency_properties,
    measure_rounds,
    read_answers,
    start_runtime,
)
from quantize_zoo.store import Figures, StoredBaseline

_RESAMPLES = 200
_LISTED_SAMPLES = 50
_COMPILATIONS = 3


@dataclass(frozen=True)
class GateRequest:
    """What to hold a cell against.

    ``best`` and ``model`` are tonight's best configuration and its IR; ``level`` is the level of one check, ``run`` the
    run's folder.
    """

    baseline: StoredBaseline
    folder: Path
    best: ModelOption | None
    model: Path
    run: Path
    gate: GateConfig
    level: float
    runtimes: tuple[Runtime, ...] = ()


@dataclass(frozen=True)
class Bench:
    """What runs the models: the dataset's session, the device, and how latency is measured (not at all without one)."""

    accuracy: AccuracySession
    device: DeviceSpec
    benchmark: BenchmarkParams
    metric: str
    dataset: str
    inputs: Mapping[str, str]
    measures_latency: bool

    def answers(self, model: ov.Model) -> Answers:
        """What a model with batch size 1 answers."""
        return self.accuracy.answers(compile_for_accuracy(model, self.device), self.metric)

    def side(self, model: Path, python: Path | None = None) -> Side:
        """One side of a latency comparison."""
        properties = latency_properties(self.device, self.benchmark)
        return Side(model, self.device.device, properties, *([python] if python else []))

    def sample(self) -> dict[str, NDArray[Any]]:
        """The inputs that latency is measured with."""
        (inputs,) = self.accuracy.inputs([0])
        return {name: np.repeat(value, self.benchmark.batch_size, axis=0) for name, value in inputs.items()}


def hold(bench: Bench, request: GateRequest, build: Callable[[ModelOption], ov.Model]) -> GateResult:
    """Compare tonight with the baseline; ``build`` makes a configuration's model as it is exported.

    Raises:
        CellError: the baseline is of another dataset, metric or model, or its files are gone.

    """
    content = request.baseline.content
    _require_same(bench, request)
    fp32, int8 = (request.folder / name for name in (content.fp32, content.int8))
    for path in (fp32, int8):
        if not path.is_file():
            raise errors.model_vanished(path)
    before = read_answers(request.folder / content.answers)
    loaded = {path: with_batch(read_model(path), 1) for path in (fp32, int8)}
    for model in loaded.values():
        _require_inputs(bench, model)
    today = {path: bench.answers(model) for path, model in loaded.items()}
    baseline = bench.side(int8), today[int8]

    def against(path: Path, cause: Cause, subject: str) -> Iterator[Check]:
        return _model_checks(bench, request, baseline, path, with_batch(read_model(path), 1), cause, subject)

    checks = [
        *_runtime_checks(bench, request, before, {"fp32": today[fp32], "int8": today[int8]}),
        *_release_latency(bench, request, int8),
    ]
    with tempfile.TemporaryDirectory() as folder:
        rebuilt = Path(folder) / "rebuilt.xml"
        try:
            save_model(build(content.option), rebuilt)
            checks += against(rebuilt, "quantization", "the baseline's configuration")
        except (QuantizeZooError, KeyError) as error:
            text = error.what if isinstance(error, QuantizeZooError) else f"the model has no operation {error}"
            checks.append(Check("quantization", "accuracy", "the baseline's configuration", "failed", text))
    notes = []
    if request.best is None:
        notes.append("the search found no model")
    elif option_hash(request.best) == option_hash(content.option):
        notes.append("tonight's best is the baseline's configuration")
    else:
        checks += against(request.model, "search", "tonight's best")
    if request.best is not None:
        checks += growth(bench, request.gate, int8, request.model, "search", "tonight's best")
    return GateResult(request.baseline.id, request.baseline.accepted_at.isoformat(), tuple(checks), tuple(notes))


@dataclass(frozen=True)
class FilesRequest:
    """Two model files to compare; ``python`` is the baseline's interpreter, this one's by default.

    Pictures of samples whose answer changed go into the folder ``run``.
    """

    baseline: Path
    candidate: Path
    run: Path
    gate: GateConfig
    level: float
    python: Path | None = None


def compare_files(bench: Bench, request: FilesRequest) -> tuple[Check, ...]:
    """Compare two models on the cell's data: accuracy, latency, and what they cost beside it.

    Raises:
        CellError: a file is missing, has other inputs than the data, or cannot be run.

    """
    for path in (request.baseline, request.candidate):
        if not path.is_file():
            raise errors.model_vanished(path)
    models = [with_batch(read_model(path), 1) for path in (request.baseline, request.candidate)]
    for model in models:
        _require_inputs(bench, model)
    subject = request.candidate.name
    baseline = _answers_elsewhere(bench, request) if request.python else bench.answers(models[0])
    side = bench.side(request.baseline, request.python)
    checks = _model_checks(bench, request, (side, baseline), request.candidate, models[1], "model", subject)
    return (*checks, *growth(bench, request.gate, request.baseline, request.candidate, "model", subject))


def _answers_elsewhere(bench: Bench, request: FilesRequest) -> Answers:
    """What the baseline answers in its own interpreter, at the device's properties for latency."""
    assert request.python is not None, "the caller asked"
    with start_runtime(request.python) as process:
        process.load(bench.side(request.baseline), 1)
        return bench.accuracy.answers_of(process.infer(bench.accuracy.inputs()), bench.metric)


def _model_checks(
    bench: Bench, request: GateRequest | FilesRequest, baseline: tuple[Side, Answers], path: Path, model: ov.Model,
    cause: Cause, subject: str,
) -> Iterator[Check]:  # fmt: skip
    """Yield the checks of accuracy and latency of a model; the same one in the same interpreter is not measured."""
    side, answers = baseline
    yield compare_answers(bench, request, cause, subject, answers, bench.answers(model))
    if not bench.measures_latency:
        return
    candidate = bench.side(path)
    if side.python == candidate.python and same_model(side.model, path):
        yield Check(cause, "latency", subject, "pass", "the same model: not measured")
        return
    yield compare_latency(bench, request, side, candidate, cause, subject)


def compare_latency(
    bench: Bench, request: GateRequest | FilesRequest, baseline: Side, candidate: Side, cause: Cause, subject: str
) -> Check:
    """Measure two sides in turns."""
    margin = request.gate.max_latency_increase / 100
    rounds, started = 0, time.perf_counter()

    def measure() -> Iterator[float]:
        nonlocal rounds
        batch, cores = bench.benchmark.batch_size, bench.benchmark.nthreads
        for observed in measure_rounds(baseline, candidate, bench.sample(), batch=batch, cores=cores):
            rounds += 1
            yield observed

    verdict = judge_latency(measure, margin, request.level)
    return latency_check(cause, subject, verdict, (time.perf_counter() - started) / max(1, rounds))


def growth(
    bench: Bench, gate: GateConfig, baseline: Path, candidate: Path, cause: Cause, subject: str
) -> Iterator[Check]:
    """Yield what a model costs beside its latency, against what the baseline's costs today."""
    before, now = (measure_figures(bench, each) for each in (baseline, candidate))
    rows: tuple[tuple[Quantity, float, float, str, float | None], ...] = (
        ("size", before.size_bytes / 1e6, now.size_bytes / 1e6, "MB", gate.max_size_increase),
        ("compile time", before.compile_s, now.compile_s, "s", gate.max_compile_time_increase),
        ("memory", before.peak_bytes / 1e6, now.peak_bytes / 1e6, "MB", gate.max_memory_increase),
    )
    for quantity, first, second, unit, limit in rows:
        share = None if limit is None else limit / 100
        yield growth_check(cause, quantity, subject, first, second, unit, share)


def compare_answers(
    bench: Bench,
    request: GateRequest | FilesRequest,
    cause: Cause,
    subject: str,
    baseline: Answers,
    candidate: Answers,
) -> Check:
    """Judge the accuracy of a candidate that answered the baseline's samples."""
    candidate = candidate.ordered_as(baseline)
    different = baseline.digests != candidate.digests
    identical = not different.any()
    metric = bench.metric
    resampled = None
    if not identical and baseline.pairs and candidate.pairs:
        resampled = bench.accuracy.resampled_difference(baseline, candidate, metric, _RESAMPLES)
    verdict = judge_accuracy(
        (baseline.metrics[metric], baseline.values),
        (candidate.metrics[metric], candidate.values),
        identical=bool(identical),
        higher_is_better=bench.accuracy.higher_is_better(metric),
        margin=request.gate.max_accuracy_drop / 100,
        level=request.level,
        resampled=resampled,
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
            _thumbnail(bench, request, str(baseline.identifiers[index])),
        )
        for index in moved[:_LISTED_SAMPLES]
    )
    return accuracy_check(cause, subject, verdict, metric, changed, len(moved))


def _confidences(baseline: Answers, candidate: Answers) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if baseline.confidences is None or candidate.confidences is None:
        return None
    return baseline.confidences, candidate.confidences


def _thumbnail(bench: Bench, request: GateRequest | FilesRequest, identifier: str) -> str:
    """Write the picture of a sample among the run's files and return its name there, if it is a picture."""
    name = Path("thumbnails") / f"{hashlib.sha256(identifier.encode()).hexdigest()[:16]}.png"
    return name.as_posix() if bench.accuracy.write_thumbnail(identifier, request.run / name) else ""


def same_model(first: Path, second: Path) -> bool:
    """Tell whether two IRs have the same constants and the same structure."""
    weights = [path.with_suffix(".bin") for path in (first, second)]
    if not all(path.is_file() for path in weights) or weights[0].read_bytes() != weights[1].read_bytes():
        return False
    return structural_signature(read_model(first)) == structural_signature(read_model(second))


def measure_figures(bench: Bench, path: Path) -> Figures:
    """Measure what a model costs beside its latency, in a process of its own.

    Raises:
        CellError: the model cannot be run.

    """
    weights = path.with_suffix(".bin")
    side = bench.side(path)
    with start_runtime() as process:
        seconds = [process.load(side, bench.benchmark.batch_size) for _ in range(_COMPILATIONS)]
        process.feed(bench.sample())
        process.turns((0,), 1)
        size = (weights if weights.is_file() else path).stat().st_size
        return Figures(size, float(np.median(seconds)), process.peak_bytes())


def _runtime_checks(
    bench: Bench, request: GateRequest, before: Mapping[str, Answers], today: Mapping[str, Answers]
) -> Iterator[Check]:
    """Yield the baseline's own models against what they answered when they were accepted."""
    accepted = request.baseline.content.reference.environment
    differences = list(_other_environment(accepted, describe_environment()))
    for name, answers in today.items():
        subject = f"the baseline's {name.upper()} model"
        if differences:
            text = f"the environment is another one ({'; '.join(differences)}): not compared with the stored answers"
            yield Check("runtime", "accuracy", subject, "not compared", text)
        else:
            yield compare_answers(bench, request, "runtime", subject, before[name], answers)


def _release_latency(bench: Bench, request: GateRequest, int8: Path) -> Iterator[Check]:
    """Yield the baseline's INT8 model under the baseline's OpenVINO release against today's, if that is at hand."""
    accepted = request.baseline.content.reference.environment.openvino
    if not bench.measures_latency or accepted == describe_environment().openvino:
        return
    for runtime in request.runtimes:
        with start_runtime(runtime.python) as process:
            found = process.openvino
        if found == accepted:
            sides = bench.side(int8, runtime.python), bench.side(int8)
            subject = f"the baseline's INT8 model, {runtime.name} -> now"
            yield compare_latency(bench, request, *sides, "runtime", subject)


def _other_environment(before: Environment, now: Environment) -> Iterator[str]:
    """Yield what makes answers of two environments incomparable: what kernels and precisions there are."""
    for name, first, second in (
        ("instruction sets", " ".join(before.instruction_sets), " ".join(now.instruction_sets)),
        ("limit", before.isa_limit, now.isa_limit),
    ):
        if first != second:
            yield f"{name} {first or 'none'} -> {second or 'none'}"


def _require_same(bench: Bench, request: GateRequest) -> None:
    content = request.baseline.content
    differences = [
        f"{name} ({before!r}, now {now!r})"
        for name, before, now in (("metric", content.metric, bench.metric), ("dataset", content.dataset, bench.dataset))
        if before != now
    ]
    if differences:
        raise errors.other_baseline(differences)


def _require_inputs(bench: Bench, model: ov.Model) -> None:
    found = {port.get_any_name(): str(port.get_partial_shape()) for port in model.inputs}
    if found != dict(bench.inputs):
        raise errors.other_baseline([f"model inputs ({found}, now {dict(bench.inputs)})"])
