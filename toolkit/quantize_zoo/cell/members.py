"""A member of a fleet that does not lead: the process that it runs in, and what FP32 is there."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.cell.candidates import CellCandidates
from quantize_zoo.cell.elsewhere import SampleSets, score_there
from quantize_zoo.config import DeviceSpec
from quantize_zoo.scoring import (
    ModelProcess,
    PairedLatency,
    Side,
    Start,
    accuracy_properties,
    latency_properties,
    measure_in_process,
)
from quantize_zoo.search import Scored
from quantize_zoo.store import Elsewhere


@dataclass(frozen=True)
class OtherMember:
    """Use ``open_member``. Its models are files; data, adapter and metrics are those of ``work``.

    ``accuracy`` is FP32's metric there, ``per_sample`` its values in the order of scoring, if it has such. ``start``
    starts processes like that of it. Whatever runs has the member's machine alone.
    """

    work: CellCandidates
    device: DeviceSpec
    isa: str
    start: Start
    process: ModelProcess
    accuracy: float
    per_sample: NDArray[np.float64] | None
    precision: str

    def passed(self, candidate: Path, *, prune: bool) -> Scored:
        """Take the search's samples through a candidate; with ``prune`` end when that is hopeless.

        Raises:
            CellError: it cannot be run there.

        """
        with self.process.alone():
            started = time.perf_counter()
            self.process.free([self.work.cell.model.model])
            self.process.load(Side(candidate, self.device.device, accuracy_properties(self.device, self.isa)))
            seconds = time.perf_counter() - started
            return self.work.passed_by(self.process, self.accuracy, self.per_sample, seconds, prune=prune)

    def measured(self, reference: Path, candidate: Path, *, final: bool = False) -> PairedLatency:
        """Measure a candidate against a reference, as that of a trial or as what is reported in the end.

        Raises:
            CellError: one of them cannot be run there.

        """
        bench = self.work.bench
        timed = latency_properties(self.device, bench.benchmark, self.isa)
        before, after = (Side(path, self.device.device, timed) for path in (reference, candidate))
        samples = bench.timed_samples()
        with self.process.alone():
            return measure_in_process(self.process, (before, after), samples, bench.benchmark, final=final)

    def finished(self, model: Path, samples: SampleSets) -> Elsewhere:
        """Return what FP32 and a finished model are there.

        Raises:
            CellError: one of them cannot be run there.

        """
        with self.process.alone():
            started = time.perf_counter()
            self.process.free([self.work.cell.model.model])
            found = score_there(self.work, self.device, self.isa, self.process, model, samples, final=True)
            return replace(found, seconds=time.perf_counter() - started)

    @contextmanager
    def started(self) -> Iterator[ModelProcess]:
        """Start another process like that of it, which has the machine alone as long as it lives."""
        with self.start() as process, process.alone():
            yield process


@contextmanager
def open_member(work: CellCandidates, device: DeviceSpec, isa: str, start: Start) -> Iterator[OtherMember]:
    """Start a member's process and score FP32 in it; it ends with the context.

    Args:
        work: the candidates of the member that leads.
        device: the member.
        isa: the instruction set that oneDNN is limited to there, empty for none.
        start: starts a process there.

    Raises:
        CellError: FP32 cannot be run there, or its metric is no number to refer to.

    """
    metric = work.bench.metric
    with start() as process:
        with process.alone():
            process.load(Side(work.cell.model.model, device.device, accuracy_properties(device, isa)))
            scored = work.bench.accuracy.score(process, work.order)
        value = scored.metrics[metric]
        if value == 0 or not math.isfinite(value):
            raise errors.fp32_metric_unusable(f"{metric} on {device.label}", value, len(work.order))
        found = scored.per_sample.get(metric)
        yield OtherMember(work, device, isa, start, process, value, found, process.precision())
