"""The work of a cell's process: everything that needs the model, the data and the device."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from quantize_zoo import errors
from quantize_zoo.cell.cell import Cell
from quantize_zoo.cell.nncf import quantize_with_nncf
from quantize_zoo.cell.values import Calibration, Finished, Prepared
from quantize_zoo.config import hardware_path, load_hardware, search_stages
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import Check, GateResult
from quantize_zoo.gate.holding import Bench, FilesRequest, GateRequest, compare_files, hold, measure_figures
from quantize_zoo.graph import (
    content_hash,
    ranges_hash,
    read_model,
    save_model,
    structural_signature,
    with_batch,
)
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
    AccuracyResult,
    AccuracySession,
    Environment,
    Estimate,
    InputBudget,
    LayerTime,
    PairedLatency,
    Watch,
    checker_entry,
    compile_for_accuracy,
    compile_for_latency,
    describe_environment,
    describe_execution,
    find_checker,
    hardware_target,
    mean_estimate,
    measure_compilations,
    measure_in_turns,
    paired_loss,
    profile_layers,
    require_device,
    split_samples,
    write_answers,
)
from quantize_zoo.search import Built, Scored, SequentialTest, Timed, can_prune
from quantize_zoo.store import Holdout, OtherMetric, Reference, ReferencePoint

_PART_OF_A_SEARCH = {"ignored", "model_type", "saturation_fix", "stat_subset_size"}


class CellSession:
    """Implements ``CellWorker`` in this process.

    Raises:
        QuantizeZooError: the device is missing, or the model cannot be read or has nothing to quantize.

    """

    def __init__(self, cell: Cell, statistics: Path, inputs: Path) -> None:
        self._cell = cell
        self._device = cell.scoring_device
        self._statistics = statistics
        self._budget = InputBudget(inputs, cell.input_memory_mb * 1_000_000)
        self._params = cell.model.optimizer.params
        self._stages = search_stages(cell.model)
        compression = cell.model.compression
        require_device(self._device)
        target = hardware_path(hardware_target(cell.device.device))
        self._hardware = load_hardware(compression.hardware or target)
        self._original = read_model(cell.model.model)
        self._model = with_batch(self._original, 1)
        self._pipeline = Pipeline(
            self._model,
            cell.model.name,
            self._hardware,
            compression,
            self._collect,
            self._calibration_samples,
            [stage.compression.tunable for stage in self._stages],
        )
        self._checker = find_checker()

    def prepare(self) -> Prepared:
        """See ``CellWorker``."""
        start = time.perf_counter()
        self._accuracy = AccuracySession(self._checker, self._cell.model, self._model, self._budget)
        self._dataset = self._accuracy.fingerprint()  # reads every input, so once
        self._split = split_samples(
            self._accuracy.identifiers(),
            self._accuracy.labels(),
            self._params.holdout,
            self._params.eval_subset_size,
        )
        identity = self._identity()
        self._bench = Bench(
            accuracy=self._accuracy,
            device=self._device,
            benchmark=self._params.benchmark,
            metric=self._cell.model.metric,
            dataset=identity["dataset"],
            inputs={port.get_any_name(): str(port.get_partial_shape()) for port in self._model.inputs},
            measures_latency=not self._cell.scored_on_cpu,
        )
        self._fp32 = compile_for_latency(self._model, self._device, self._params.benchmark)
        self._fp32_throughput = compile_for_accuracy(self._model, self._device)
        scored = self._score_fp32()
        metric = self._cell.model.metric
        self._higher_is_better = self._accuracy.higher_is_better(metric)
        self._fp32_samples = scored.per_sample.get(metric)
        accuracy = mean_estimate(scored.metrics[metric], self._fp32_samples)
        if accuracy.value == 0 or not np.isfinite(accuracy.value):
            raise errors.fp32_metric_unusable(metric, accuracy.value)
        self._fp32_accuracy = accuracy.value
        wanted = self._cell.model.compression.tunable.stat_subset_size
        placement = self._pipeline.placement
        reference = Reference(
            identity=identity,
            metric=metric,
            accuracy=accuracy,
            metrics=dict(scored.metrics),
            execution=describe_execution(self._fp32),
            environment=describe_environment(),
            checker=f"{self._checker.version}, {self._checker.origin}",
            samples=len(self._split.tuning),
            holdout_samples=len(self._split.holdout),
            calibration_samples=len(self._calibration_samples(wanted)),
            operation_types={operation.name: operation.type for operation in placement.operations},
            notes=tuple(self._notes(wanted)),
            seconds=time.perf_counter() - start,
            higher_is_better=self._higher_is_better,
            scored_on=self._device.label if self._cell.scored_on_cpu else "",
            model_path=str(self._cell.model.model),
        )
        return Prepared(reference, placement, self._pipeline.base)

    def references(self) -> tuple[ReferencePoint, ...]:
        """See ``CellWorker``."""
        return tuple(self._reference_point(name) for name in self._cell.references)

    def calibrate(self, base: ModelOption) -> Calibration:
        """See ``CellWorker``."""
        start = time.perf_counter()
        self._pipeline.prepare(base)
        return Calibration(time.perf_counter() - start, self._pipeline.errors(base))

    def build(self, option: ModelOption) -> Built:
        """See ``CellWorker``."""
        start = time.perf_counter()
        self._candidate = self._pipeline.build(option)
        candidate, structure = ranges_hash(self._candidate, option.steps), structural_signature(self._candidate)
        return Built(candidate, structure, time.perf_counter() - start)

    def score(self, *, prune: bool) -> Scored:
        """See ``CellWorker``."""
        start = time.perf_counter()
        compiled = compile_for_accuracy(self._candidate, self._device)
        compiled_at = time.perf_counter()
        metric = self._cell.model.metric
        scored = self._accuracy.score(compiled, self._split.tuning, self._watch() if prune else None)
        hopeless = scored.samples < len(self._split.tuning)
        per_sample = scored.per_sample.get(metric)
        if hopeless:
            assert per_sample is not None, "only metrics with a value for each sample are watched"
            value = float(per_sample.mean())
        else:
            value = scored.metrics[metric]
        del compiled  # taking it down is a part of its cost
        return Scored(
            accuracy=mean_estimate(value, per_sample),
            metrics=scored.metrics,
            per_sample=per_sample,
            hopeless=hopeless,
            compile_seconds=compiled_at - start,
            seconds=time.perf_counter() - compiled_at,
        )

    def measure(self) -> Timed:
        """See ``CellWorker``."""
        return self._time(self._candidate)

    def compare(self, first: ModelOption, second: ModelOption) -> Estimate:
        """See ``CellWorker``."""
        one, other = (self._pipeline.build(option) for option in (first, second))
        return self._confirm(other, one).ratio

    def finish(self, option: ModelOption, path: Path) -> Finished:
        """See ``CellWorker``."""
        self.export(option, path)
        candidate = with_batch(read_model(path), 1)  # what is told is told of the file
        latency = None if self._cell.scored_on_cpu else self._confirm(self._model, candidate)
        answers = {"fp32": self._bench.answers(self._model), "int8": self._bench.answers(candidate)}
        write_answers(path.with_suffix(".npz"), answers)
        return Finished(
            latency,
            self._score_holdout(candidate),
            tuple(self._score_other_datasets(candidate)),
            measure_figures(self._bench, path),
            () if self._cell.scored_on_cpu else self._profile(candidate),
        )

    def export(self, option: ModelOption, path: Path) -> None:
        """See ``CellWorker``."""
        save_model(self._pipeline.build(option, self._original), path)

    def compare_files(self, request: FilesRequest) -> tuple[Check, ...]:
        """See ``CellWorker``."""
        return compare_files(self._bench, request)

    def hold(self, request: GateRequest) -> GateResult:
        """See ``CellWorker``."""

        def build(option: ModelOption) -> ov.Model:
            return self._pipeline.build(option, self._original)

        return hold(self._bench, request, build)

    def _score_fp32(self) -> AccuracyResult:
        """Score the FP32 model, or take what the configuration says of it."""
        given = {metric.name: metric.baseline_value for metric in self._params.metrics}
        if self._cell.model.metric in given:
            return AccuracyResult(given, {}, 0)
        return self._accuracy.score(self._fp32_throughput, self._split.tuning)

    def _watch(self) -> Watch | None:
        """Return what ends a hopeless pass, if the metric is one that can be judged from a part of the samples."""
        reference = self._fp32_samples
        if reference is None or not self._higher_is_better or not can_prune(reference, self._fp32_accuracy):
            return None
        test = SequentialTest(reference, self._params.accuracy_loss / 100 * self._fp32_accuracy)
        metric = self._cell.model.metric

        def watch(values: Mapping[str, Any]) -> bool:
            return test.is_hopeless(float(values[metric]))

        return watch

    def _score_holdout(self, candidate: ov.Model) -> Holdout | None:
        if not self._split.holdout:
            return None
        metric = self._cell.model.metric
        fp32, int8 = (
            self._accuracy.score(compiled, self._split.holdout)
            for compiled in (self._fp32_throughput, compile_for_accuracy(candidate, self._device))
        )
        values = (fp32.per_sample.get(metric), int8.per_sample.get(metric))
        return Holdout(
            fp32=mean_estimate(fp32.metrics[metric], values[0]),
            int8=mean_estimate(int8.metrics[metric], values[1]),
            accuracy_loss=paired_loss(
                fp32.metrics[metric], int8.metrics[metric], *values, higher_is_better=self._higher_is_better
            ),
        )

    def _score_other_datasets(self, candidate: ov.Model) -> Iterator[OtherMetric]:
        """Score both models on the datasets that are not tuned on."""
        datasets = checker_entry(self._cell.model)["datasets"]
        for number in range(1, len(datasets)):
            session = AccuracySession(self._checker, self._cell.model, self._model, self._budget, number)
            fp32, int8 = (
                session.score(compile_for_accuracy(model, self._device)).metrics for model in (self._model, candidate)
            )
            for name, value in fp32.items():
                yield OtherMetric(str(datasets[number].get("name")), name, value, int8[name])

    def _reference_point(self, name: str) -> ReferencePoint:
        start = time.perf_counter()
        wanted = self._cell.model.compression.tunable.stat_subset_size
        model = quantize_with_nncf(self._model, self._calibration_samples(wanted), self._cell.model.compression)
        seconds = time.perf_counter() - start
        metric = self._cell.model.metric
        scored = self._accuracy.score(compile_for_accuracy(model, self._device), self._split.tuning)
        accuracy = mean_estimate(scored.metrics[metric], scored.per_sample.get(metric))
        latency = None if self._cell.scored_on_cpu else self._confirm(self._model, model)
        return ReferencePoint(name, accuracy, latency, self._score_holdout(model), seconds)

    def _notes(self, wanted: int | None) -> Iterator[str]:
        samples = len(self._split.tuning)
        if self._cell.scored_on_cpu:
            device = self._cell.device.label
            yield f"{device} is not here: quantized for it, accuracy scored on CPU, latency not measured"
        bad = self._accuracy.bad_samples
        if bad:
            listed = ", ".join(bad[:3]) + (", ..." if len(bad) > 3 else "")
            yield f"{len(bad)} of {len(bad) + len(self._accuracy)} samples cannot be read and are skipped: {listed}"
        if wanted is not None and wanted > samples:
            yield f"stat_subset_size {wanted} is more than there are samples: all {samples} are used"
        for name in self._pipeline.placement.bodies:
            yield f"the body of {name!r} is left as it is: operations in it are not quantized"

    def _calibration_samples(self, size: int | None) -> Samples:
        return self._accuracy.inputs(self._split.tuning[:size])

    def _collect(
        self, model: ov.Model, requests: Iterable[Request], size: int | None, variant: str
    ) -> ActivationStatistics:
        """Collect statistics, or take those that an earlier search on the same model and data has left."""
        requests = list(dict.fromkeys(requests))
        environment = describe_environment()
        depends_on = [
            content_hash(self._cell.model.model),
            self._dataset,
            json.dumps(self._split.tuning[:size]),
            variant and self._cell.model.compression.model_dump_json(include={"algorithms"}),
            f"{variant} {environment.openvino} {environment.isa_limit}",
            requests_text(requests),
        ]
        path = self._statistics / f"{_short_hash(depends_on)}.npz"
        known = read_statistics(path, requests)
        if known is not None:
            return known
        collected = collect_statistics(model, requests, self._calibration_samples(size))
        try:
            write_statistics(path, collected, requests)
        except OSError as error:
            print(f"statistics are not kept: {error}")  # to the cell's log; the search goes on without
        return collected

    def _confirm(self, reference: ov.Model, candidate: ov.Model) -> PairedLatency:
        """Measure two models over several compilations of both."""
        benchmark = self._params.benchmark

        def compile_both() -> tuple[Any, Any]:
            one, other = (compile_for_latency(model, self._device, benchmark) for model in (reference, candidate))
            return one, other

        return measure_compilations(compile_both, self._bench.sample(), benchmark)

    def _profile(self, candidate: ov.Model) -> tuple[LayerTime, ...]:
        """Return where the time goes; a device that cannot tell is no reason to lose the cell."""
        try:
            fp32, int8 = (
                compile_for_latency(model, self._device, self._params.benchmark, profiled=True)
                for model in (self._model, candidate)
            )
            return profile_layers(fp32, int8, self._bench.sample())
        except QuantizeZooError as error:
            print(f"layers are not profiled: {error}")  # to the cell's log
            return ()

    def _time(self, candidate: ov.Model) -> Timed:
        start = time.perf_counter()
        compiled = compile_for_latency(candidate, self._device, self._params.benchmark)
        compiled_at = time.perf_counter()
        latency = None if self._cell.scored_on_cpu else self._measure(self._fp32, compiled)
        execution = describe_execution(compiled)
        del compiled  # taking it down is a part of its cost
        return Timed(latency, execution, compiled_at - start, time.perf_counter() - compiled_at)

    def _measure(self, reference: Any, candidate: Any) -> PairedLatency:
        return measure_in_turns(reference, candidate, self._bench.sample(), self._params.benchmark)

    def _identity(self) -> dict[str, str]:
        """What a search belongs to, by what a user would call it.

        The scopes, presets and overrides of TunableQuantization are apart: fine_tune may go on with others.
        """
        compression, environment = self._cell.model.compression, describe_environment()
        steps = [each.model_dump(mode="json") for each in compression.algorithms if each.name != "TunableQuantization"]
        fixed = compression.tunable.model_dump(mode="json", include=_PART_OF_A_SEARCH)
        scopes = [stage.compression.tunable.model_dump(mode="json") for stage in self._stages]
        return {
            "model content": content_hash(self._cell.model.model)[:12],
            "dataset": f"{len(self._accuracy)} samples, {self._dataset[:12]}",
            "samples of the search": _short_hash(self._split.tuning)[:12],
            "metric": self._cell.model.metric,
            "device": self._cell.device.label + (" scored on CPU" if self._cell.scored_on_cpu else ""),
            "hardware configuration": f"{self._hardware.target} {_short_hash(self._hardware.model_dump(mode='json'))}",
            "pipeline": _short_hash([steps, fixed]),
            "device configuration": json.dumps(self._device.device_config, sort_keys=True),
            "benchmark": self._params.benchmark.model_dump_json(exclude={"duration_seconds"}),
            "search space": _short_hash([scopes, self._params.compatibility]),
            "environment": _environment_text(environment),
        }


def _short_hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


def _environment_text(environment: Environment) -> str:
    limited = f" limited to {environment.isa_limit}" if environment.isa_limit else ""
    sets = " ".join(environment.instruction_sets)
    return f"{environment.cpu} ({sets}{limited}), OpenVINO {environment.openvino}"
