"""A member of a fleet that does not lead: the process that it runs in, and what FP32 is there."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.cell.candidates import CellCandidates
from quantize_zoo.cell.elsewhere import SampleSets, score_there
from quantize_zoo.cell.surveying import SECONDS_A_ROUND
from quantize_zoo.config import DeviceSpec
from quantize_zoo.errors import CellError
from quantize_zoo.graph import save_model
from quantize_zoo.quantization import Samples
from quantize_zoo.quantization.output_changes import AT_F32
from quantize_zoo.scoring import (
    ModelProcess,
    PairedLatency,
    Side,
    Start,
    Times,
    accuracy_properties,
    latency_properties,
    measure_in_process,
    profile_in_turns,
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

    def refusal(self, candidate: Path) -> str:
        """Tell why a candidate is not run there, maybe as late as in the first inference; empty where it is."""
        bench = self.work.bench
        timed = latency_properties(self.device, bench.benchmark, self.isa)
        try:
            with self.process.alone():
                self.process.free([self.work.cell.model.model])
                self.process.load(Side(candidate, self.device.device, timed))
                list(self.process.infer(bench.timed_samples()[:1]))
        except CellError as error:
            return error.what
        return ""

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

    def rounds(self, models: Sequence[ov.Model]) -> Iterator[list[Times]]:
        """Compile models anew and profile them in turns, again and again; yield the times of their layers.

        Raises:
            CellError: one of them cannot be run there.

        """
        bench = self.work.bench
        samples = bench.timed_samples()
        timed = {**latency_properties(self.device, bench.benchmark, self.isa), "PERF_COUNT": True}
        with self._files(models) as paths:
            places = [(self.process, Side(path, self.device.device, timed), slot) for slot, path in enumerate(paths)]
            while True:
                with self.process.alone():
                    found = profile_in_turns(places, samples[len(samples) // 2 :][:1], SECONDS_A_ROUND)
                yield found

    def infer(self, model: ov.Model, samples: Samples) -> Iterator[list[NDArray[Any]]]:
        """Yield the outputs of a model for each sample, at f32 on the CPU there.

        Raises:
            CellError: it cannot be run there.

        """
        with self._files([model]) as (path,), self.process.alone():
            self.process.load(Side(path, "CPU", AT_F32))
            for outputs in self.process.infer(samples):
                yield list(outputs.values())

    @contextmanager
    def _files(self, models: Sequence[ov.Model]) -> Iterator[list[Path]]:
        """Write models for the process, which forgets them in the end."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"{number}.xml") for number in range(len(models))]
            for model, path in zip(models, paths, strict=True):
                save_model(model, path)
            try:
                yield paths
            finally:
                self.process.free([self.work.cell.model.model])

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
