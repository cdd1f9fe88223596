"""A member of a fleet that does not lead: the process that it runs in, and what FP32 is there."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.cell.candidates import CellCandidates
from quantize_zoo.cell.elsewhere import SampleSets, score_there
from quantize_zoo.cell.executing import weights_problem
from quantize_zoo.cell.surveying import SECONDS_A_ROUND
from quantize_zoo.cell.values import Answered
from quantize_zoo.config import DeviceSpec, WeightCompression
from quantize_zoo.errors import CellError, WorkerDiedError
from quantize_zoo.graph import save_model
from quantize_zoo.quantization import Samples
from quantize_zoo.quantization.output_changes import AT_F32
from quantize_zoo.scoring import (
    ANSWER_SECONDS,
    ModelProcess,
    PairedLatency,
    Side,
    Start,
    Times,
    accuracy_properties,
    integer_weights_problem,
    latency_properties,
    measure_in_process,
    profile_in_turns,
    start_runtime,
)
from quantize_zoo.search import Scored

# How long a command may take, by what all of FP32's took: less than the cell waits (``engines/patience.py``).
_LEAST_SECONDS, _TIMES, _OF_THE_CELLS = 100.0, 10.0, 0.8


class OtherMember:
    """Its models are files; data, adapter and metrics are those of ``work``. Whatever runs has its machine alone.

    A process that crashes, hangs or refuses a candidate costs that candidate: what comes next has a new one. Whoever
    made it closes it.

    Args:
        work: the candidates of the member that leads.
        name: the member's.
        device: the device that its models run on.
        isa: the instruction set that oneDNN is limited to there, empty for none.
        timed: whether that is the member's own device, so that latency is measured.
        far: starts a process on the member's machine, where that is another one.

    Raises:
        CellError: FP32 cannot be run there, or its metric is no number to refer to.

    """

    def __init__(
        self,
        work: CellCandidates,
        name: str,
        device: DeviceSpec,
        isa: str,
        *,
        timed: bool = True,
        far: Start | None = None,
    ) -> None:
        self.bench = replace(
            work.bench,
            device=device,
            isa=isa,
            member=name,
            measures_latency=timed and work.bench.measures_latency,
            start=self._alone,
            elsewhere=far is not None,
        )
        self._work, self._device, self._isa, self._far = replace(work, bench=self.bench), device, isa, far
        self._stack = ExitStack()
        self._process: ModelProcess | None = None
        self._limit = ANSWER_SECONDS
        metric = work.bench.metric
        with self._running() as process:
            started = time.perf_counter()
            process.load(Side(work.cell.model.model, device.device, accuracy_properties(device, isa)))
            scored = work.bench.accuracy.score(process, work.order)
            self.precision = process.precision()
        # The cell, for which one waits 20 times as long as its longest call, must not be ended before its member is.
        patience = max(_LEAST_SECONDS, _TIMES * (time.perf_counter() - started))
        self._limit = min(ANSWER_SECONDS, patience, _OF_THE_CELLS * work.cell.hang_seconds)
        self.accuracy, self.per_sample = scored.metrics[metric], scored.per_sample.get(metric)
        usable = self.accuracy != 0 and math.isfinite(self.accuracy)
        if far is None or not usable:
            self.close()
        if not usable:
            raise errors.fp32_metric_unusable(f"{metric} on {name}", self.accuracy, len(work.order))

    @property
    def integers_problem(self) -> str:
        """Why compressed weights that are integers must not be run there; empty where they can be."""
        return "" if self._far else integer_weights_problem(self._device, self._isa)

    def passed(self, candidate: Path, *, below: float) -> Scored:
        """Take the search's samples through a candidate; end when surely more than ``below`` is lost.

        Raises:
            CellError: it cannot be run there.

        """
        with self._running() as process:
            started = time.perf_counter()
            process.free([self._work.cell.model.model])
            process.load(Side(candidate, self._device.device, accuracy_properties(self._device, self._isa)))
            seconds = time.perf_counter() - started
            return self._work.passed_by(process, self.accuracy, self.per_sample, seconds, below=below)

    def weights_problem(self, way: WeightCompression) -> str:
        """Tell why weights that are compressed in one way must not be run there; empty where they can be."""
        return "" if self._far else weights_problem(way, self._device, self._isa)

    def refusal(self, candidate: Path) -> str:
        """Tell why a candidate is not run there, maybe as late as in the first inference; empty where it is."""
        timed = latency_properties(self._device, self.bench.benchmark, self._isa)
        samples = self.bench.timed_samples()[:1]
        try:
            with self._running() as process:
                process.free([self._work.cell.model.model])
                process.load(Side(candidate, self._device.device, timed))
                list(process.infer(samples))
        except CellError as error:
            return error.__cause__.what if isinstance(error.__cause__, CellError) else error.what
        return ""

    def measured(self, reference: Path, candidate: Path, *, final: bool = False) -> PairedLatency | None:
        """Measure a candidate against a reference, as that of a trial or as what is reported in the end.

        None without the member's device.

        Raises:
            CellError: one of them cannot be run there.

        """
        bench = self.bench
        if not bench.measures_latency:
            return None
        timed = latency_properties(self._device, bench.benchmark, self._isa)
        sides = Side(reference, self._device.device, timed), Side(candidate, self._device.device, timed)
        samples = bench.timed_samples()
        with self._running() as process:
            return measure_in_process(process, sides, samples, bench.benchmark, final=final)

    def rounds(self, models: Sequence[ov.Model]) -> Iterator[list[Times]]:
        """Compile models anew and profile them in turns, again and again; yield the times of their layers.

        Raises:
            CellError: one of them cannot be run there.

        """
        bench = self.bench
        samples = bench.timed_samples()
        timed = {**latency_properties(self._device, bench.benchmark, self._isa), "PERF_COUNT": True}
        with self._running() as process, self._files(process, models) as paths:
            places = [(process, Side(path, self._device.device, timed), slot) for slot, path in enumerate(paths)]
            while True:
                yield profile_in_turns(places, samples[len(samples) // 2 :][:1], SECONDS_A_ROUND)

    def infer(self, model: ov.Model, samples: Samples) -> Iterator[list[NDArray[Any]]]:
        """Yield the outputs of a model for each sample, at f32 on the CPU there.

        Raises:
            CellError: it cannot be run there.

        """
        with self._running() as process, self._files(process, [model]) as (path,):
            process.load(Side(path, "CPU", AT_F32))
            for outputs in process.infer(samples):
                yield list(outputs.values())

    @contextmanager
    def _files(self, process: ModelProcess, models: Sequence[ov.Model]) -> Iterator[list[Path]]:
        """Write models for the process, which forgets them in the end."""
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"{number}.xml") for number in range(len(models))]
            for model, path in zip(models, paths, strict=True):
                save_model(model, path)
            try:
                yield paths
            finally:
                process.free([self._work.cell.model.model])

    def finished(self, model: Path, samples: SampleSets) -> Answered:
        """Find out what FP32 and a finished model are there.

        Raises:
            CellError: one of them cannot be run there.

        """
        with self._running() as process:
            started = time.perf_counter()
            process.free([self._work.cell.model.model])
            found = score_there(self._work, self._device, self._isa, process, model, samples, final=True)
            seconds = time.perf_counter() - started
        return replace(found, figures=replace(found.figures, environment=self.bench.member, seconds=seconds))

    def close(self) -> None:
        """End its process."""
        self._process = None
        self._stack.close()

    @contextmanager
    def _running(self) -> Iterator[ModelProcess]:
        """Give its process, a new one where the last failed; an error names the member.

        One on another machine is the engine's to replace: who lost it has lost the cell's session.
        """
        try:
            if self._process is None:
                self._process = self._stack.enter_context(self._started())
            with self._process.alone():
                yield self._process
        except WorkerDiedError:
            self.close()
            raise
        except CellError as error:
            self.close()
            raise errors.member_failed(self.bench.member, error) from error

    @contextmanager
    def _alone(self) -> Iterator[ModelProcess]:
        """Start another process like its own, which has the machine alone as long as it lives."""
        with self._started() as process, process.alone():
            yield process

    def _started(self) -> AbstractContextManager[ModelProcess]:
        return self._far() if self._far else start_runtime(limit=self._limit, isa=self._isa)
