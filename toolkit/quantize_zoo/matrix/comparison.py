"""A cell against its baseline, in the cell's process: both sides run today, on this machine.

Three causes are told apart. Runtime: the baseline's own models, against what they answered when they were accepted.
Quantization: the baseline's configuration applied today, against the baseline's INT8 model. Search: tonight's best,
against the same.
"""

from __future__ import annotations

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
from quantize_zoo.gate.checks import Cause
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

    ``best`` and ``model`` are tonight's best configuration and its IR; ``level`` is the level of one check.
    """

    baseline: StoredBaseline
    folder: Path
    best: ModelOption | None
    model: Path
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
    comparison = _Comparison(bench, request, int8, today[int8])
    checks = [
        *_runtime_checks(bench, request, before, {"fp32": today[fp32], "int8": today[int8]}),
        *_release_latency(comparison, int8),
    ]
    with tempfile.TemporaryDirectory() as folder:
        rebuilt = Path(folder) / "rebuilt.xml"
        try:
            save_model(build(content.option), rebuilt)
            checks += comparison.against(rebuilt, "quantization", "the baseline's configuration")
        except (QuantizeZooError, KeyError) as error:
            text = error.what if isinstance(error, QuantizeZooError) else f"the model has no operation {error}"
            checks.append(Check("quantization", "accuracy", "the baseline's configuration", "failed", text))
    notes = []
    if request.best is None:
        notes.append("the search found no model")
    elif option_hash(request.best) == option_hash(content.option):
        notes.append("tonight's best is the baseline's configuration")
    else:
        checks += comparison.against(request.model, "search", "tonight's best")
    if request.best is not None:
        checks += comparison.growth(request.model)
    return GateResult(request.baseline.id, request.baseline.accepted_at.isoformat(), tuple(checks), tuple(notes))


class _Comparison:
    """Compares models with the baseline's INT8 model."""

    def __init__(self, bench: Bench, request: GateRequest, int8: Path, answers: Answers) -> None:
        self._bench = bench
        self._request = request
        self._int8 = int8
        self._answers = answers

    def against(self, path: Path, cause: Cause, subject: str) -> Iterator[Check]:
        """Yield the checks of accuracy and latency of a model."""
        model = with_batch(read_model(path), 1)
        candidate = self._bench.answers(model)
        yield compare_answers(self._bench, self._request, cause, subject, self._answers, candidate)
        if not self._bench.measures_latency:
            return
        if same_model(self._int8, path):
            yield Check(cause, "latency", subject, "pass", "the same model as the baseline's: not measured")
            return
        yield self.latency(self._bench.side(self._int8), self._bench.side(path), cause, subject)

    def latency(self, baseline: Side, candidate: Side, cause: Cause, subject: str) -> Check:
        """Measure two sides in turns."""
        margin = self._request.gate.max_latency_increase / 100
        rounds, started = 0, time.perf_counter()

        def measure() -> Iterator[float]:
            nonlocal rounds
            benchmark = self._bench.benchmark
            sample, batch, cores = self._bench.sample(), benchmark.batch_size, benchmark.nthreads
            for observed in measure_rounds(baseline, candidate, sample, batch=batch, cores=cores):
                rounds += 1
                yield observed

        verdict = judge_latency(measure, margin, self._request.level)
        return latency_check(cause, subject, verdict, (time.perf_counter() - started) / max(1, rounds))

    def growth(self, path: Path) -> Iterator[Check]:
        """Yield what tonight's best costs beside its latency, against the baseline's model today."""
        gate = self._request.gate
        before, now = (measure_figures(self._bench, each) for each in (self._int8, path))
        subject = "tonight's best"
        yield growth_check(
            "search",
            "size",
            subject,
            before.size_bytes / 1e6,
            now.size_bytes / 1e6,
            "MB",
            _share(gate.max_size_increase),
        )
        yield growth_check(
            "search",
            "compile time",
            subject,
            before.compile_s,
            now.compile_s,
            "s",
            _share(gate.max_compile_time_increase),
        )
        yield growth_check(
            "search",
            "memory",
            subject,
            before.peak_bytes / 1e6,
            now.peak_bytes / 1e6,
            "MB",
            _share(gate.max_memory_increase),
        )


def compare_answers(
    bench: Bench, request: GateRequest, cause: Cause, subject: str, baseline: Answers, candidate: Answers
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
    )
    moved = np.flatnonzero(different & (baseline.texts != candidate.texts))
    changed = tuple(
        ChangedSample(str(baseline.identifiers[index]), str(baseline.texts[index]), str(candidate.texts[index]))
        for index in moved[:_LISTED_SAMPLES]
    )
    return accuracy_check(cause, subject, verdict, metric, changed, len(moved))


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


def _release_latency(comparison: _Comparison, int8: Path) -> Iterator[Check]:
    """Yield the baseline's INT8 model under the baseline's OpenVINO release against today's, if that is at hand."""
    request, bench = comparison._request, comparison._bench
    accepted = request.baseline.content.reference.environment.openvino
    if not request.runtimes or not bench.measures_latency or accepted == describe_environment().openvino:
        return
    for runtime in request.runtimes:
        with start_runtime(runtime.python) as process:
            found = process.openvino
        if found == accepted:
            old = bench.side(int8, runtime.python)
            yield comparison.latency(
                old, bench.side(int8), "runtime", f"the baseline's INT8 model, {runtime.name} -> now"
            )


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


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
