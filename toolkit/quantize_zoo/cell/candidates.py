"""The candidates of a cell: built in memory, scored on the samples of the search, measured beside FP32."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.cell.cell import Cell
from quantize_zoo.gate.bench import Bench
from quantize_zoo.graph import ranges_hash, structural_signature, weights_bytes
from quantize_zoo.quantization import ModelOption, Pipeline
from quantize_zoo.scoring import (
    Estimate,
    SharedReference,
    Watch,
    compile_again,
    compile_for_accuracy,
    compile_for_latency,
    compile_from,
    describe_execution,
    mean_estimate,
    measure_in_turns,
    paired_loss,
    serves_latency,
)
from quantize_zoo.search import Built, Scored, SequentialTest, Timed, can_prune


@dataclass(frozen=True)
class Fp32:
    """The FP32 model that candidates are held against, compiled for accuracy, its latency's side, its score.

    ``per_sample`` are the tuned metric's values in the order of scoring; None if it has no such values, or if the
    configuration names the metric's value.
    """

    model: ov.Model
    compile_again: Callable[[], Any]
    for_accuracy: Any
    accuracy: float
    per_sample: NDArray[np.float64] | None
    higher_is_better: bool

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of its weights."""
        return weights_bytes(self.model)

    @cached_property
    def in_turns(self) -> SharedReference:
        """What trials measure their candidates beside."""
        return SharedReference(self.compile_again, self.size_bytes)


@dataclass
class Candidate:
    """A candidate's model, and what it was compiled to for its accuracy until its latency is measured."""

    model: ov.Model
    compiled: Any = None


@dataclass(frozen=True)
class CellCandidates:
    """Implements ``Candidates`` on a prepared cell; ``order`` are the samples of the search as they are scored."""

    cell: Cell
    pipeline: Pipeline
    bench: Bench
    order: tuple[int, ...]
    fp32: Fp32

    def build(self, option: ModelOption) -> tuple[Built, Candidate]:
        """See ``Candidates``."""
        start = time.perf_counter()
        model = self.pipeline.build(option)
        candidate, structure = ranges_hash(model, option.steps), structural_signature(model)
        size_ratio = self.fp32.size_bytes / max(1, weights_bytes(model))  # a model may have none
        return Built(candidate, structure, time.perf_counter() - start, size_ratio), Candidate(model)

    def score(self, candidate: Candidate, *, below: float = math.inf) -> Scored:
        """See ``Candidates``."""
        start = time.perf_counter()
        found = self.passed(candidate, below=below)
        # Taking it down is a part of its cost.
        seconds = time.perf_counter() - start - found.compile_seconds
        loss = self.loss(found, self.fp32.accuracy, self.fp32.per_sample)
        return replace(found, seconds=seconds, accuracy_loss=loss)

    def loss(self, found: Scored, fp32: float, per_sample: NDArray[np.float64] | None) -> Estimate | None:
        """Return the loss of a whole pass against FP32 where it ran, if an interval can be told."""
        if found.hopeless:
            return None
        better = self.fp32.higher_is_better
        loss = paired_loss(fp32, found.accuracy.value, per_sample, found.per_sample, higher_is_better=better)
        return None if loss.low is None else loss

    def passed(self, candidate: Candidate, *, below: float = math.inf) -> Scored:
        """Take the search's samples through a candidate in this process; ends as ``score``."""
        start = time.perf_counter()
        compiled = compile_for_accuracy(candidate.model, self.bench.device)
        seconds = time.perf_counter() - start
        found = self.passed_by(compiled, self.fp32.accuracy, self.fp32.per_sample, seconds, below=below)
        if not found.hopeless:
            candidate.compiled = compiled
        return found

    def passed_by(
        self,
        compiled: Any,
        fp32: float,
        per_sample: NDArray[np.float64] | None,
        compile_seconds: float,
        *,
        below: float = math.inf,
    ) -> Scored:
        """Do the same with a compiled candidate, wherever it runs.

        Args:
            compiled: it, or the process that has it in its first slot.
            fp32: FP32's metric where the candidate runs.
            per_sample: its values of the search's samples there, if it has such.
            compile_seconds: what compiling took.
            below: end when surely more than this is lost, a share of FP32's metric.

        """
        start = time.perf_counter()
        metric = self.bench.metric
        scored = self.bench.accuracy.score(compiled, self.order, self._watch(fp32, per_sample, below))
        hopeless = scored.samples < len(self.order)
        values = scored.per_sample.get(metric)
        if hopeless:
            assert values is not None, "only metrics with a value for each sample are watched"
            value = float(values.mean())
        else:
            value = scored.metrics[metric]
        accuracy, seconds = mean_estimate(value, values), time.perf_counter() - start
        return Scored(accuracy, scored.metrics, values, hopeless, compile_seconds, seconds)

    @cached_property
    def precision(self) -> str:
        """The floating point precision that FP32 runs in here."""
        return describe_execution(self.fp32.for_accuracy).inference_precision

    def measure(self, candidate: Candidate) -> Timed:
        """See ``Candidates``."""
        start = time.perf_counter()
        bench, model = self.bench, candidate.model
        compiled, candidate.compiled = candidate.compiled, None
        if compiled is None or not serves_latency(bench.device):
            compiled, made = compile_for_latency(model, bench.device, bench.benchmark), compile_again
        else:
            made = compile_from
        execution = describe_execution(compiled)
        again = made(compiled, model, bench.device, bench.benchmark, execution)
        compiled_at = time.perf_counter()
        latency = None
        if bench.measures_latency:
            latency = measure_in_turns(self.fp32.in_turns, again, bench.timed_samples(), bench.benchmark)
        del compiled, again  # taking it down is a part of its cost
        return Timed(latency, execution, compiled_at - start, time.perf_counter() - compiled_at)

    def _watch(self, fp32: float, per_sample: NDArray[np.float64] | None, below: float) -> Watch | None:
        """Return what ends a hopeless pass, if the metric is one that can be judged from a part of the samples."""
        metric = self.bench.metric
        if below == math.inf or self.bench.accuracy.sequences is not None:
            return None  # nothing is hopeless, or steps are not scored in random order
        if per_sample is None or not self.fp32.higher_is_better or not can_prune(per_sample, fp32):
            return None
        test = SequentialTest(per_sample, below * fp32)

        def watch(values: Mapping[str, Any]) -> bool:
            return test.is_hopeless(float(values[metric]))

        return watch
