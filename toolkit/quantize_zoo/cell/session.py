"""The work of a cell's process: everything that needs the model, the data and the device."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from quantize_zoo import errors
from quantize_zoo.cell import finishing
from quantize_zoo.cell.candidates import CellCandidates, Fp32
from quantize_zoo.cell.cell import Cell
from quantize_zoo.cell.elsewhere import SampleSets, score_elsewhere
from quantize_zoo.cell.executing import DeviceLook, executed_notes
from quantize_zoo.cell.fleet import Fleet
from quantize_zoo.cell.identity import former_identity, search_identity
from quantize_zoo.cell.room import batched_inputs, require_room
from quantize_zoo.cell.statistics import StatisticsCache
from quantize_zoo.cell.surveying import place_here, survey
from quantize_zoo.cell.values import Calibration, Finished, Prepared
from quantize_zoo.config import DeviceSpec, hardware_path, load_hardware, search_stages, stages_note
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.gate import Check, GateResult
from quantize_zoo.gate.bench import Bench
from quantize_zoo.gate.files import FilesRequest, compare_files
from quantize_zoo.gate.holding import GateRequest, Tonight, hold
from quantize_zoo.gate.releases import ReleaseComparison, ReleasesRequest
from quantize_zoo.graph import content_hash, make_canonical, read_model, require_memory
from quantize_zoo.graph.runtime import keep_kernels
from quantize_zoo.quantization import ModelOption, Pipeline, Samples
from quantize_zoo.scoring import (
    AccuracyResult,
    AccuracySession,
    Estimate,
    Executed,
    InputBudget,
    Split,
    compile_again,
    compile_for_accuracy,
    compile_for_latency,
    counts_answers,
    describe_environment,
    describe_execution,
    emulation_note,
    entry_notes,
    find_checker,
    hardware_target,
    integer_weights_problem,
    mean_estimate,
    open_session,
    playable_environments,
    precision_note,
    require_device,
    resolution_note,
    runtime_names,
    split_samples,
    split_sequences,
)
from quantize_zoo.scoring.far_process import Ask, nobody
from quantize_zoo.scoring.proof import write_proven
from quantize_zoo.search import Evaluation, Known, Survey, Timed, evaluate
from quantize_zoo.store import Elsewhere, Proof, Reference, ReferencePoint
from quantize_zoo.text.counts import counted


class CellSession:
    """Does the work of one cell: ``convert``, or ``prepare`` first and ``calibrate`` before whatever takes an option.

    Args:
        cell: the cell.
        statistics: the folder where collected statistics are kept.
        inputs: the folder for preprocessed inputs that do not fit into memory.
        quiet: held while the latency of a trial is measured.
        limit: the instruction set that oneDNN is limited to on this machine, beside what the cell asks for.
        ask: sends messages to members of a fleet that run on other machines; without, the cell has no such ``places``.

    """

    def __init__(
        self,
        cell: Cell,
        statistics: Path,
        inputs: Path,
        quiet: Callable[[], AbstractContextManager[object]] = nullcontext,
        limit: str = "",
        ask: Ask = nobody,
    ) -> None:
        self._cell = cell
        self._limit = limit
        self._ask = ask
        self._device = cell.scoring_device
        self._quiet = quiet
        self._budget = InputBudget(inputs, cell.input_memory_mb * 1_000_000)
        self._statistics = StatisticsCache(statistics, self._calibration_samples, self._statistics_depend_on)
        self._executed: Executed | None = None

    def convert(self, source: Path, target: Path) -> None:
        """Make the canonical model of a source; see ``make_canonical``."""
        make_canonical(source, self._cell.model.input_shapes, target)

    def prepare(self) -> Prepared:
        """Read model and data, score the FP32 model, and tell what can be quantized.

        Raises:
            QuantizeZooError: the device is missing, the model cannot be read or has nothing to quantize, or the data
                cannot be read or do not fit it.

        """
        start = time.perf_counter()
        config, benchmark = self._cell.model, self._cell.model.optimizer.params.benchmark
        require_device(self._device)
        self._open_pipeline()
        dataset, former = self._read_data()
        bench = self._bench(dataset, former)
        for_latency = compile_for_latency(self._model, self._device, benchmark)
        self._fp32_executes = runtime_names(for_latency)
        execution = describe_execution(for_latency)
        again = compile_again(for_latency, self._model, self._device, benchmark, execution)
        scored, fp32 = self._score_fp32(self._accuracy, self._split, again)
        self._work = CellCandidates(self._cell, self._pipeline, bench, self._split.scoring, fp32)
        fleet = self._cell.fleet
        self._fleet = Fleet(fleet, self._work, self._limit, self._budget.folder, self._ask) if fleet else None
        self._benches = self._fleet.benches if self._fleet else (bench,)
        self._releases = ReleaseComparison(self._benches)
        members = self._fleet.members if self._fleet else ()
        self._identity = search_identity(self._cell, self._hardware, dataset, self._split.tuning, members)
        placement = self._pipeline.placement
        reference = Reference(
            identity=self._identity,
            model_hash=content_hash(config.model),
            inputs=dict(bench.inputs),
            metric=config.metric,
            accuracy=mean_estimate(fp32.accuracy, fp32.per_sample),
            metrics=dict(scored.metrics),
            execution=execution,
            environment=describe_environment(),
            checker=f"{self._checker.version}, {self._checker.origin}",
            samples=len(self._split.tuning),
            holdout_samples=len(self._split.holdout),
            calibration_samples=len(self._calibration_samples(config.compression.tunable.stat_subset_size)),
            operation_types={operation.name: operation.type for operation in placement.operations},
            notes=tuple(self._notes(fp32)),
            seconds=time.perf_counter() - start,
            higher_is_better=fp32.higher_is_better,
            scored_on=self._device.label if self._cell.scored_on_cpu else "",
            model_path=str(config.model),
            fleet=members,
        )
        return Prepared(reference, placement, self._pipeline.base, former_identity(self._cell, former))

    def _open_pipeline(self) -> None:
        """Read the model, and find what can be quantized."""
        config = self._cell.model
        target = hardware_path(hardware_target(self._cell.device.device))
        self._hardware = load_hardware(config.compression.hardware or target)
        self._model = read_model(config.model)
        require_memory(self._model)
        self._pipeline = Pipeline(
            self._model,
            config.name,
            self._hardware,
            config.compression,
            self._statistics.collect,
            self._calibration_samples,
            [stage.compression.tunable for stage in search_stages(config)],
            config.optimizer.params.compatibility,
        )

    def _read_data(self) -> tuple[str, str]:
        """Read and split the data; return what tells them from others, and what told them in releases up to 0.1.0."""
        params = self._cell.model.optimizer.params
        self._checker = find_checker()
        self._accuracy = open_session(self._checker, self._cell.model, self._model, self._budget)
        inputs = self._accuracy.inputs()
        require_room(self._model, inputs, params.benchmark.batch_size)
        keep_kernels(inputs)
        self._fingerprint = self._accuracy.fingerprint()  # reads every input, so once
        if (sequences := self._accuracy.sequences) is not None:
            self._split = split_sequences(sequences, params.holdout, params.eval_subset_size)
        else:
            self._split = split_samples(
                self._accuracy.identifiers(), self._accuracy.labels(), params.holdout, params.eval_subset_size
            )
        self._untaken = self._pipeline.leave_untaken_branches()
        dataset, former = (
            f"{len(self._accuracy)} samples, {each[:12]}"
            for each in (self._fingerprint, self._accuracy.former_fingerprint())
        )
        return dataset, former

    def _bench(self, dataset: str, former: str) -> Bench:
        """Return what models are compared on: the cell's device, data and benchmark."""
        config, params = self._cell.model, self._cell.model.optimizer.params
        return Bench(
            accuracy=self._accuracy,
            device=self._device,
            benchmark=params.benchmark,
            metric=config.metric,
            dataset=dataset,
            former_dataset=former,
            calibration=self._split.tuning[: config.compression.tunable.stat_subset_size],
            inputs={port.get_any_name(): str(port.get_partial_shape()) for port in self._model.inputs},
            batched=batched_inputs(self._model),
            measures_latency=not self._cell.scored_on_cpu,
            holdout=self._split.holdout,
        )

    def references(self) -> tuple[ReferencePoint, ...]:
        """Score the models of other tools that the cell asks for."""
        samples = self._calibration_samples(self._cell.model.compression.tunable.stat_subset_size)

        def score(name: str) -> Iterator[ReferencePoint]:
            for point, model in finishing.score_reference(self._work, name, samples, self._split.holdout):
                yield self._fleet.reference(point, model, self._samples) if self._fleet else point

        wanted = [name for name in self._cell.references if not self._reference_problem(name)]
        return tuple(point for name in wanted for point in score(name))

    def _reference_problem(self, tool: str) -> str:
        """Tell on which device another tool's models must not be run, and why; empty where they can be."""
        if tool != "nncf-weights":
            return ""
        if problem := integer_weights_problem(self._device):
            return f"{self._device.label}: {problem}"
        return self._fleet.weights_problem() if self._fleet else ""

    def calibrate(self, base: ModelOption) -> Calibration:
        """Collect the statistics of all options of the search space around the base.

        The first time it is found out as well what the device executes of the preset's base.
        """
        start = time.perf_counter()
        self._pipeline.prepare(base)
        seconds = time.perf_counter() - start
        if self._executed is None and self._work.bench.measures_latency:
            self._executed = self._look_at_device(replace(self._pipeline.base, steps=base.steps))
        notes = (
            () if self._executed is None else executed_notes(self._executed, self._pipeline.base, self._device.label)
        )
        return Calibration(seconds, self._pipeline.errors(base), self._executed, tuple(notes))

    def _look_at_device(self, base: ModelOption) -> Executed:
        """Find out what the device executes of a base, and of compressed weights if these are to be searched."""
        bench = self._work.bench
        look = DeviceLook(self._pipeline, self._model, self._device, bench.benchmark, self._fp32_executes)
        if self._fleet is not None:
            look = replace(look, refusal=self._fleet.refusal)
        executed = look.executed(base)
        if not any("bits" in stage.compression.tunable.tuning_scope for stage in search_stages(self._cell.model)):
            return executed
        return replace(executed, compressed=look.compressed(base, bench.timed_samples()[0]))

    def survey(self, base: ModelOption) -> Survey | None:
        """Find out what quantizing each operation as the base does saves and changes; None where that fails."""
        evaluated = len(self._split.scoring)
        try:
            with self._quiet():
                if self._fleet:
                    return self._fleet.survey(base, evaluated)
                return survey(self._pipeline, self._model, base, place_here(self._work.bench), evaluated)
        except (QuantizeZooError, RuntimeError) as error:  # of graphs that are not made for it; the search goes without
            print(f"operations are not surveyed: {error}")  # to the cell's log
            return None

    def evaluate(self, option: ModelOption, known: Known, *, prune: bool, measure: bool = True) -> Evaluation:
        """Find out what an option is worth; see ``evaluate`` of the search."""
        candidates = self._fleet.candidates(known) if self._fleet else self._work
        return evaluate(candidates, option, known, prune=prune, measure=measure, quiet=self._quiet)

    def measure(self, option: ModelOption) -> Timed:
        """Measure an option's latency; another machine scored it."""
        return (self._fleet or self._work).measure(self._work.build(option)[1])

    def compare(self, first: ModelOption, second: ModelOption) -> Estimate:
        """Measure the latency of two options in turns: time of the second / time of the first."""
        one, other = (self._pipeline.build(option) for option in (first, second))
        measured = finishing.confirm(self._work.bench, other, one)
        if self._fleet:
            return self._fleet.compare(one, other, measured).ratio
        assert measured is not None, "options are compared where latency is measured"
        return measured.ratio

    def finish(self, option: ModelOption, accuracy: float, path: Path) -> Finished:
        """Write the option's model as IR, prove it, measure it again, and write its answers beside it (``.npz``).

        ``accuracy`` is what its trial found.
        """
        proof = self._write(option, accuracy, path)
        others = self._fleet.finish_others(path, self._samples) if self._fleet else {}
        finished = finishing.finish_file(self._work, path, proof, self._split.holdout, self._budget, others)
        return self._fleet.finish(finished, path, self._samples, others) if self._fleet else finished

    def elsewhere(self, path: Path, seconds: float) -> tuple[Elsewhere, ...]:
        """Score a model that ``finish`` has written in the other environments that this machine can play.

        They take no longer than so many seconds; those that the time does not suffice for say so.

        Raises:
            CellError: its network cannot run in another process.

        """
        cpus = [each for each in self._precisions if each[0].device == "CPU"]
        environments = playable_environments(*cpus[0], self._limit, members=cpus) if cpus else ()
        return tuple(score_elsewhere(self._work, environments, self._limit, path, self._samples, seconds))

    def identify(self, option: ModelOption) -> str:
        """Return the hash by which a trial knows its candidate."""
        return self._work.build(option)[0].candidate

    def export(self, option: ModelOption, accuracy: float | None, path: Path) -> None:
        """Write the option's model as IR, and prove it."""
        self._write(option, accuracy, path)

    def _write(self, option: ModelOption, accuracy: float | None, path: Path) -> Proof:
        candidate = self._work.build(option)[1].model
        return write_proven(candidate, path, partial(finishing.prove, self._work, candidate, path, accuracy))

    def compare_files(self, request: FilesRequest) -> tuple[Check, ...]:
        """Compare two model files on the cell's data."""
        return compare_files(self._benches, request)

    def compare_releases(self, request: ReleasesRequest) -> tuple[Check, ...]:
        """Compare the baseline's models under two OpenVINO releases."""
        return self._releases.compare(request)

    def hold(self, request: GateRequest) -> GateResult:
        """Compare tonight with the cell's baseline."""
        members = self._fleet.members if self._fleet else ()
        pipeline, source = self._pipeline, self._identity["model content"]
        tonight = Tonight(self._cell.model.model, source, pipeline.build, pipeline.base, members)
        return hold(self._benches, request, tonight)

    def _score_fp32(
        self, accuracy: AccuracySession, split: Split, again: Callable[[], Any]
    ) -> tuple[AccuracyResult, Fp32]:
        """Score the FP32 model, or take what the configuration says of it."""
        config = self._cell.model
        for_accuracy = compile_for_accuracy(self._model, self._device)
        given = {metric.name: metric.baseline_value for metric in config.optimizer.params.metrics}
        scored = AccuracyResult(given, {}, 0)
        if config.metric not in given:
            scored = accuracy.score(for_accuracy, split.scoring)
        value = scored.metrics[config.metric]
        if value == 0 or not np.isfinite(value):
            raise errors.fp32_metric_unusable(config.metric, value, len(split.scoring))
        better = accuracy.higher_is_better(config.metric)
        return scored, Fp32(self._model, again, for_accuracy, value, scored.per_sample.get(config.metric), better)

    @property
    def _precisions(self) -> tuple[tuple[DeviceSpec, str], ...]:
        """The devices that models run on, each with the floating point precision that FP32 runs in there."""
        return self._fleet.precisions if self._fleet else ((self._device, self._work.precision),)

    @property
    def _samples(self) -> SampleSets:
        """Those of the search, and those of the holdout."""
        return self._split.scoring, self._split.holdout

    def _notes(self, fp32: Fp32) -> Iterator[str]:
        samples = len(self._split.tuning)
        wanted = self._cell.model.compression.tunable.stat_subset_size
        if self._cell.scored_on_cpu:
            device = f"{'member ' if self._cell.fleet else ''}{self._cell.device.label}"
            yield f"{device} is not here: quantized for it, accuracy scored on CPU, latency not measured"
        yield from self._pipeline.scope_notes()
        yield from entry_notes(self._cell.model)
        yield from filter(None, [stages_note(self._cell.model)])
        yield from self._accuracy.notes
        bad = self._accuracy.bad_samples
        if bad:
            listed = ", ".join(bad[:3]) + (", ..." if len(bad) > 3 else "")
            all_of_them = counted(len(bad) + len(self._accuracy), "sample")
            yield f"{len(bad)} of {all_of_them} cannot be read and are skipped: {listed}"
        if counts_answers(fp32.per_sample) and (
            note := resolution_note(self._cell.model.optimizer.params.accuracy_loss, samples, fp32.accuracy)
        ):
            yield note
        if wanted is not None and wanted > samples:
            yield f"stat_subset_size {wanted} is more than there are samples: all {samples} are used"
        if (sequences := self._accuracy.sequences) is not None:
            yield f"states go on along {len(set(sequences))} sequences; intervals take their steps for independent"
        timed = self._work.bench.timed_indices
        if len(timed) > 1 and self._work.bench.measures_latency:
            yield f"latency is that of {len(timed)} samples: {_shapes_text(self._work.bench.timed_inputs())}"
        if self._fleet:
            yield from self._fleet.notes()
            config = self._cell.model
            if config.metric in {given.name for given in config.optimizer.params.metrics}:
                yield f"FP32's {config.metric} is the given one on {self._device.label}; on other members it is scored"
        elif note := emulation_note(self._device, self._work.precision, self._limit):
            yield note
        yield from filter(None, (precision_note(*each) for each in self._precisions))
        for tool in self._cell.references:
            if problem := self._reference_problem(tool):
                yield f"{tool} is left out, since its models do not run on {problem}"
        for name in self._pipeline.placement.bodies:
            yield f"the body of {name!r} is left as it is: operations in it are not quantized"
        for name in self._untaken:
            yield f"no calibration sample takes the branch {name!r}: operations in it are not quantized"

    def _calibration_samples(self, size: int | None) -> Samples:
        return self._accuracy.inputs(self._split.tuning[:size])

    def _statistics_depend_on(self, size: int | None, variant: str) -> list[str]:
        model, environment = self._cell.model, describe_environment()
        return [
            content_hash(model.model),
            self._fingerprint,
            json.dumps(self._split.tuning[:size]),
            variant and model.compression.model_dump_json(include={"algorithms"}),
            f"{variant} {environment.openvino} {environment.isa_limit}",
        ]


def _shapes_text(samples: Samples) -> str:
    """Return the shapes of some samples, (1, 3, 40, 64), (1, 3, 48, 80)."""
    return ", ".join(" and ".join(str(value.shape) for value in sample.values()) for sample in samples)
