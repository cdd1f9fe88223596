"""The work of a cell's process: everything that needs the model, the data and the device."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import hardware_path, load_hardware
from quantize_zoo.graph import content_hash, read_model, save_model, with_batch
from quantize_zoo.matrix.cells import Cell
from quantize_zoo.matrix.executor import Prepared
from quantize_zoo.quantization import (
    ActivationStatistics,
    ModelOption,
    Pipeline,
    Request,
    Samples,
    collect_statistics,
    read_statistics,
    requests_text,
    write_statistics,
)
from quantize_zoo.scoring import (
    AccuracySession,
    PairedLatency,
    compile_pair,
    describe_environment,
    describe_execution,
    find_checker,
    hardware_target,
    mean_estimate,
    measure_in_turns,
    require_device,
)
from quantize_zoo.search import Measurement, Seconds
from quantize_zoo.store import Reference

_PART_OF_A_SEARCH = {"ignored", "model_type", "saturation_fix", "stat_subset_size"}
CONFIRMATION_BUDGET = 5  # times the budget of a trial's latency, for the figure that is reported


class CellSession:
    """Implements ``CellWorker`` in this process.

    Raises:
        QuantizeZooError: the device is missing, or the model cannot be read or has nothing to quantize.

    """

    def __init__(self, cell: Cell, statistics: Path) -> None:
        self._cell = cell
        self._statistics = statistics
        compression = cell.model.compression
        self._benchmark = cell.model.optimizer.params.benchmark
        require_device(cell.device.device)
        target = hardware_path(hardware_target(cell.device.device))
        self._hardware = load_hardware(compression.hardware or target)
        self._original = read_model(cell.model.model)
        self._model = with_batch(self._original, 1)
        self._pipeline = Pipeline(
            self._model, cell.model.name, self._hardware, compression, self._collect, self._calibration_samples
        )
        self._checker = find_checker()

    def prepare(self) -> Prepared:
        """See ``CellWorker``."""
        start = time.perf_counter()
        self._accuracy = AccuracySession(self._checker, self._cell.model, self._model)
        self._fp32 = compile_pair(self._model, self._cell.device, self._benchmark)
        scored = self._accuracy.score(self._fp32.throughput)
        metric = self._cell.model.metric
        accuracy = mean_estimate(scored.metrics[metric], scored.per_sample.get(metric))
        if accuracy.value == 0:
            raise errors.fp32_metric_unusable(metric, accuracy.value)
        wanted = self._cell.model.compression.tunable.stat_subset_size
        placement = self._pipeline.placement
        reference = Reference(
            search_key=self._search_key(),
            metric=metric,
            accuracy=accuracy,
            metrics=scored.metrics,
            execution=describe_execution(self._fp32.latency),
            environment=describe_environment(),
            checker=f"{self._checker.version}, {self._checker.origin}",
            samples=len(self._accuracy),
            calibration_samples=len(self._calibration_samples(wanted)),
            operation_types={operation.name: operation.type for operation in placement.operations},
            notes=tuple(self._notes(wanted)),
            seconds=time.perf_counter() - start,
        )
        return Prepared(reference, placement, self._pipeline.base)

    def calibrate(self, base: ModelOption) -> float:
        """See ``CellWorker``."""
        start = time.perf_counter()
        self._pipeline.prepare(base)
        return time.perf_counter() - start

    def evaluate(self, option: ModelOption) -> Measurement:
        """See ``CellWorker``."""
        started = time.perf_counter()
        candidate = self._pipeline.build(option)
        built = time.perf_counter()
        compiled = compile_pair(candidate, self._cell.device, self._benchmark)
        compiled_at = time.perf_counter()
        scored = self._accuracy.score(compiled.throughput)
        scored_at = time.perf_counter()
        latency = self._measure(compiled.latency, budget=1)
        measured_at = time.perf_counter()
        metric = self._cell.model.metric
        per_sample = scored.per_sample.get(metric)
        seconds = Seconds(built - started, compiled_at - built, scored_at - compiled_at, measured_at - scored_at)
        return Measurement(
            accuracy=mean_estimate(scored.metrics[metric], per_sample),
            metrics=scored.metrics,
            per_sample=per_sample,
            latency=latency,
            execution=describe_execution(compiled.latency),
            seconds=seconds,
        )

    def finish(self, option: ModelOption, path: Path) -> PairedLatency:
        """See ``CellWorker``."""
        save_model(self._pipeline.build(option, self._original), path)
        compiled = compile_pair(self._pipeline.build(option), self._cell.device, self._benchmark)
        return self._measure(compiled.latency, budget=CONFIRMATION_BUDGET)

    def _notes(self, wanted: int | None) -> Iterator[str]:
        samples = len(self._accuracy)
        if wanted is not None and wanted > samples:
            yield f"stat_subset_size {wanted} is larger than the dataset: all {samples} samples are used"
        for name in self._pipeline.placement.bodies:
            yield f"the body of {name!r} is left as it is: operations in it are not quantized"

    def _calibration_samples(self, size: int | None) -> Samples:
        return self._accuracy.inputs(size)

    def _collect(
        self, model: ov.Model, requests: Iterable[Request], size: int | None, variant: str
    ) -> ActivationStatistics:
        """Collect statistics, or take those that an earlier search on the same model and data has left."""
        requests = list(dict.fromkeys(requests))
        environment = describe_environment()
        samples = self._calibration_samples(size)
        depends_on = [
            content_hash(self._cell.model.model),
            self._accuracy.fingerprint(),
            str(len(samples)),
            variant and self._cell.model.compression.model_dump_json(include={"algorithms"}),
            f"{variant} {environment.openvino} {environment.isa_limit}",
            requests_text(requests),
        ]
        path = self._statistics / f"{hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()}.npz"
        known = read_statistics(path, requests)
        if known is not None:
            return known
        collected = collect_statistics(model, requests, samples)
        try:
            write_statistics(path, collected, requests)
        except OSError as error:
            print(f"statistics are not kept: {error}")  # to the cell's log; the search goes on without
        return collected

    def _measure(self, candidate: Any, *, budget: int) -> PairedLatency:
        benchmark = self._benchmark
        sample = {
            name: np.repeat(value, benchmark.batch_size, axis=0) for name, value in self._accuracy.inputs(1)[0].items()
        }
        seconds = benchmark.duration_seconds * budget
        return measure_in_turns(
            self._fp32.latency, candidate, sample, benchmark.model_copy(update={"duration_seconds": seconds})
        )

    def _search_key(self) -> str:
        """What a search belongs to: model, data, metric, pipeline, hardware configuration, device and measurement.

        Not the scopes, presets and overrides of TunableQuantization: fine_tune may go on with others.
        """
        compression = self._cell.model.compression
        parts = [
            content_hash(self._cell.model.model),
            self._accuracy.fingerprint(),
            self._cell.model.metric,
            self._hardware.model_dump_json(),
            *(each.model_dump_json() for each in compression.algorithms if each.name != "TunableQuantization"),
            compression.tunable.model_dump_json(include=_PART_OF_A_SEARCH),
            self._cell.device.model_dump_json(),
            self._benchmark.model_dump_json(exclude={"duration_seconds"}),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
