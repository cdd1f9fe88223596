"""The candidates of a cell: built in memory, scored on the samples of the search, measured beside FP32."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo.cell.cell import Cell
from quantize_zoo.gate.bench import Bench
from quantize_zoo.graph import ranges_hash, structural_signature
from quantize_zoo.quantization import ModelOption, Pipeline
from quantize_zoo.scoring import (
    Watch,
    compile_again,
    compile_for_accuracy,
    compile_for_latency,
    compile_from_accuracy,
    describe_execution,
    mean_estimate,
    measure_in_turns,
    paired_loss,
    serves_latency,
)
from quantize_zoo.search import Built, Scored, SequentialTest, Timed, can_prune


@dataclass(frozen=True)
class Fp32:
    """The FP32 model that candidates are held against, compiled for accuracy, what compiles it for latency, its score.

    ``per_sample`` are the tuned metric's values in the order of scoring; None if it has no such values, or if the
    configuration names the metric's value.
    """

    model: ov.Model
    compile_again: Callable[[], Any]
    for_accuracy: Any
    accuracy: float
    per_sample: NDArray[np.float64] | None
    higher_is_better: bool


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
        return Built(candidate, structure, time.perf_counter() - start), Candidate(model)

    def score(self, candidate: Candidate, *, prune: bool) -> Scored:
        """See ``Candidates``."""
        start = time.perf_counter()
        compiled = compile_for_accuracy(candidate.model, self.bench.device)
        compiled_at = time.perf_counter()
        metric = self.bench.metric
        scored = self.bench.accuracy.score(compiled, self.order, self._watch() if prune else None)
        hopeless = scored.samples < len(self.order)
        per_sample = scored.per_sample.get(metric)
        if hopeless:
            assert per_sample is not None, "only metrics with a value for each sample are watched"
            value = float(per_sample.mean())
        else:
            value = scored.metrics[metric]
            candidate.compiled = compiled
        del compiled  # taking it down is a part of its cost
        loss = None
        if not hopeless:
            fp32 = self.fp32
            loss = paired_loss(
                fp32.accuracy, value, fp32.per_sample, per_sample, higher_is_better=fp32.higher_is_better
            )
        return Scored(
            accuracy=mean_estimate(value, per_sample),
            metrics=scored.metrics,
            per_sample=per_sample,
            hopeless=hopeless,
            compile_seconds=compiled_at - start,
            seconds=time.perf_counter() - compiled_at,
            accuracy_loss=None if loss is None or loss.low is None else loss,
        )

    def measure(self, candidate: Candidate) -> Timed:
        """See ``Candidates``."""
        start = time.perf_counter()
        bench, model = self.bench, candidate.model
        compiled, candidate.compiled = candidate.compiled, None
        if compiled is None or not serves_latency(bench.device):
            compiled = compile_for_latency(model, bench.device, bench.benchmark)
            again = compile_again(compiled, model, bench.device, bench.benchmark)
        else:
            again = compile_from_accuracy(compiled, model, bench.device, bench.benchmark)
        execution = describe_execution(compiled)
        compiled_at = time.perf_counter()
        latency = None
        if bench.measures_latency:
            latency = measure_in_turns(self.fp32.compile_again, again, bench.timed_samples(), bench.benchmark)
        del compiled, again  # taking it down is a part of its cost
        return Timed(latency, execution, compiled_at - start, time.perf_counter() - compiled_at)

    def _watch(self) -> Watch | None:
        """Return what ends a hopeless pass, if the metric is one that can be judged from a part of the samples."""
        fp32, metric = self.fp32, self.bench.metric
        if self.bench.accuracy.sequences is not None:
            return None  # steps are not scored in random order
        if fp32.per_sample is None or not fp32.higher_is_better or not can_prune(fp32.per_sample, fp32.accuracy):
            return None
        allowed = self.cell.model.optimizer.params.accuracy_loss / 100 * fp32.accuracy
        test = SequentialTest(fp32.per_sample, allowed)

        def watch(values: Mapping[str, Any]) -> bool:
            return test.is_hopeless(float(values[metric]))

        return watch
