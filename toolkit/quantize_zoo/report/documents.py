"""What ``results.json`` is made of; its JSON Schema, ``results.schema.json``, follows from these classes.

One name has one meaning, and its unit in the name: ``_us`` and ``_s`` are times, ``accuracy_loss_share`` is the share
of FP32's metric that is lost (negative where it is gained), ``speedup`` is FP32 time / INT8 time, ``time_ratio`` and
``bytes_ratio`` are a candidate's / those of what it is held against, ``objective`` is what the search minimizes. A
figure that is not a finite number is null. In trials and layers times, speedups and intervals have six digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from quantize_zoo.config import OptimizerParams, TrialsLoadMethod
from quantize_zoo.gate import Alarm, ChangedSample, GateStatus, TargetCheck, Trend, VerdictStatus
from quantize_zoo.gate.checks import Cause, CheckStatus, Quantity
from quantize_zoo.gate.layers import LayerDeviations, LayerTimes
from quantize_zoo.matrix.repository import CommitRange
from quantize_zoo.report.absent import AbsentCell
from quantize_zoo.report.findings import Finding
from quantize_zoo.report.predictions import Predictions
from quantize_zoo.report.run_report import Night
from quantize_zoo.scoring import Conversion, Environment, Estimate, ExecutedCompression, Execution
from quantize_zoo.search import Optimism, TrialKind
from quantize_zoo.store import (
    CellStatus,
    ErrorRecord,
    Figures,
    FleetMember,
    OtherMetric,
    Proof,
    Repository,
    RunStatus,
    WorkerUse,
)

SCHEMA_VERSION: Final = 6


@dataclass(frozen=True)
class OperationsDocument:
    """The operations of a cell and the layers that its device executes, column by column, each name once.

    Wherever else in the cell an ``operation`` is a number, it is the place of its name in ``name``, from 0; ``type`` is
    one in ``types``, null of what cannot be quantized; a kernel is one in ``kernels``. ``sensitivity`` is the relative
    error that quantizing makes in the operation's own output, null where it was not looked for.
    """

    name: tuple[str, ...]
    type: tuple[int | None, ...]
    sensitivity: tuple[float | None, ...]
    types: tuple[str, ...]
    kernels: tuple[str, ...]


@dataclass(frozen=True)
class LayersDocument:
    """Where the time goes, layer by layer: the columns of ``LayerTime``, in the order of execution.

    A time of 0 is below the plugin's clock, which ticks once a microsecond; null is that of a side that does not
    execute the layer. Kernels are told by their places in the cell's ``operations.kernels``.
    """

    operation: tuple[int, ...]
    reference_us: tuple[float | None, ...]
    candidate_us: tuple[float | None, ...]
    reference_kernel: tuple[int, ...]
    candidate_kernel: tuple[int, ...]


@dataclass(frozen=True)
class ExecutedDocument:
    """What the device makes of the preset's base: quantized operations column by column, conversions, compressions."""

    operation: tuple[int, ...]
    precision: tuple[str, ...]
    kernel: tuple[int, ...]
    conversions: tuple[Conversion, ...]
    compressed: tuple[ExecutedCompression, ...]


@dataclass(frozen=True)
class SurveyedMember:
    """A member of a fleet: how much faster than FP32 the best choice for it alone was predicted to be there.

    That is null where it tells no times of layers.
    """

    name: str
    speedup: Estimate | None


@dataclass(frozen=True)
class SurveyDocument:
    """What was known of operations before the first trial, column by column; see ``quantize_zoo.search.Survey``.

    ``speedup`` is that of the best choice, null where it cannot be predicted. Times are null where the device tells
    none, or they are below its clock's microsecond; ``output_change`` is where it is not known. Of a fleet times are
    means over its members, weighted by their shares; where a member tells none, each operation counts the same there.
    """

    operation: tuple[int, ...]
    fp32_us: tuple[float | None, ...]
    int8_us: tuple[float | None, ...]
    entering_us: tuple[float | None, ...]
    leaving_us: tuple[float | None, ...]
    output_change: tuple[float | None, ...]
    speedup: Estimate | None
    seconds: float
    members: tuple[SurveyedMember, ...]


@dataclass(frozen=True)
class ReferenceDocument:
    """FP32, and how the cell was treated; see ``quantize_zoo.store.Reference``. Types are in ``operations``."""

    identity: dict[str, str]
    metric: str
    accuracy: Estimate
    metrics: dict[str, float | None]
    execution: Execution
    environment: Environment
    checker: str
    samples: int
    calibration_samples: int
    seconds: float
    notes: tuple[str, ...]
    holdout_samples: int
    higher_is_better: bool
    scored_on: str
    model_path: str
    model_hash: str
    inputs: dict[str, str]
    executed: ExecutedDocument | None
    fleet: tuple[FleetMember, ...]
    survey: SurveyDocument | None = None


@dataclass(frozen=True)
class ScoreDocument:
    """What the objective sees of a trial; ``quantization_ratio`` is the share of the operations that is quantized.

    ``size_ratio`` is FP32 bytes / bytes of the weights. Of a fleet's trial the loss is the largest of its members', the
    speedup the share-weighted geometric mean of theirs; ``slower`` are members on which it is surely slower than FP32
    and must not be.
    """

    accuracy_loss_share: float
    speedup: float | None
    quantization_ratio: float
    size_ratio: float | None
    slower: tuple[str, ...] = ()


@dataclass(frozen=True)
class PrunedDocument:
    """What is known of a trial that was ended early: its accuracy on the samples seen so far."""

    accuracy: Estimate
    accuracy_loss_share: float


@dataclass(frozen=True)
class MemberScoreDocument:
    """What a trial is on a member of a fleet; its loss is that of the samples seen where the pass was ``ended``."""

    name: str
    accuracy: Estimate
    accuracy_loss_share: float
    ended: bool
    speedup: Estimate | None


@dataclass(frozen=True)
class TrialDocument:
    """One trial; times end in ``_s``, and are in seconds. Of a fleet's ``members`` are those asked, in that order."""

    number: int
    stage: int
    kind: TrialKind
    option_hash: str
    pruned: PrunedDocument | None
    accuracy: Estimate | None
    metrics: Mapping[str, float | None] | None
    latency_us: Estimate | None
    fp32_latency_us: Estimate | None
    speedup: Estimate | None
    latency_from: int | None
    score: ScoreDocument | None
    objective: float | None
    reused_from: int | None
    where: str
    failure: str | None
    build_s: float
    compile_s: float
    accuracy_s: float
    latency_s: float
    overhead_s: float
    accuracy_loss_share: Estimate | None = None
    members: tuple[MemberScoreDocument, ...] = ()


@dataclass(frozen=True)
class LatencyDocument:
    """FP32 and INT8 measured in turns.

    ``compilations_us`` are the times of both, FP32 first, compilation by compilation; in ``distribution_us`` a share of
    the inferences, and the microseconds that so many of FP32's and of INT8's took at most.
    """

    fp32_us: Estimate
    int8_us: Estimate
    speedup: Estimate
    compilations_us: tuple[tuple[float, float], ...]
    distribution_us: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class HoldoutDocument:
    """The tuned metric on the samples that the search never saw."""

    fp32: Estimate
    int8: Estimate
    accuracy_loss_share: Estimate


@dataclass(frozen=True)
class ElsewhereDocument:
    """FP32 and a model in another environment than the cell's, which this machine played, or on a member of a fleet.

    ``precision`` is the one that FP32 ran in there, ``accuracy_loss_share`` that against FP32 in the same environment,
    on the samples of the search. ``skipped`` tells why there are no figures.
    """

    environment: str
    precision: str
    fp32: Estimate | None
    int8: Estimate | None
    accuracy_loss_share: Estimate | None
    holdout: HoldoutDocument | None
    latency: LatencyDocument | None
    seconds: float
    skipped: str


@dataclass(frozen=True)
class ReferencePointDocument:
    """The model of another tool, scored as a trial is; ``seconds`` is what the tool took to make it."""

    name: str
    accuracy: Estimate
    latency: LatencyDocument | None
    holdout: HoldoutDocument | None
    seconds: float
    size_bytes: int | None
    members: tuple[ElsewhereDocument, ...] = ()


@dataclass(frozen=True)
class RunnerUpDocument:
    """The trial that came second; ``time_ratio`` is its time / the best one's."""

    trial: int
    time_ratio: Estimate


@dataclass(frozen=True)
class FinalDocument:
    """The best trial, measured once more after the search, and its files in the run.

    Of a fleet's model ``members`` tell
    what it is on each; ``latency`` is the share-weighted geometric mean over them, ``holdout`` and the loss are of the
    member that loses most, and ``slower`` are members on which it is surely slower than FP32 and must not be.
    """

    trial: int
    latency: LatencyDocument | None
    model: str
    holdout: HoldoutDocument | None
    runner_up: RunnerUpDocument | None
    others: tuple[OtherMetric, ...]
    answers: str
    figures: Figures | None
    layers: LayersDocument
    proof: Proof | None
    fp32_figures: Figures | None
    accuracy_loss_share: Estimate | None
    portability: tuple[ElsewhereDocument, ...] = ()
    members: tuple[ElsewhereDocument, ...] = ()
    slower: tuple[str, ...] = ()


@dataclass(frozen=True)
class VerdictDocument:
    """What the cell is in one word, why, and what somebody has to look at; see ``quantize_zoo.gate.Verdict``."""

    status: VerdictStatus
    reason: str
    cause: str
    alarms: tuple[Alarm, ...]
    targets: tuple[TargetCheck, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckDocument:
    """One comparison with the baseline; of the three changes the one that the quantity has.

    ``margin`` is a share as well: of the baseline's metric, or by which a time, a size or a memory may grow.
    ``more_samples`` would decide an accuracy that is inconclusive, if the loss stayed as it is. ``in_layers`` tells in
    which layers it got worse, ``layer_times`` and ``layer_deviations`` have the numbers: differences of times are the
    candidate's - the baseline's; a deviation is a norm relative to that of the larger output, beyond rounding where it
    is above ``rounding``, and null where it is no number (a rounding of null has no limit).
    """

    cause: Cause
    quantity: Quantity
    subject: str
    status: CheckStatus
    text: str
    accuracy_loss_share: Estimate | None
    time_ratio: Estimate | None
    bytes_ratio: Estimate | None
    margin: float | None
    level: float | None
    p_value: float | None
    changed: tuple[ChangedSample, ...]
    changed_count: int
    waived: str
    more_samples: int | None
    why: str
    in_layers: str
    layer_times: LayerTimes | None
    layer_deviations: LayerDeviations | None


@dataclass(frozen=True)
class GateDocument:
    """The comparison of a cell with its baseline; ``interrupted`` tells that it was cut short."""

    baseline: int
    accepted_at: str
    checks: tuple[CheckDocument, ...]
    notes: tuple[str, ...]
    interrupted: bool


@dataclass(frozen=True)
class CellDocument:
    """One cell: what it is, what was found, and all of its trials.

    ``page`` is its page in the run's folder, ``params`` are as the model's YAML has them: there ``accuracy_loss`` is in
    percent, and ``latency_reduce`` a speedup. ``nights`` are those up to this run, ``commits`` of a regressed cell
    those since the last good night.
    """

    name: str
    page: str
    model: str
    device: str
    status: CellStatus
    method: TrialsLoadMethod
    params: OptimizerParams
    error: ErrorRecord | None
    verdict: VerdictDocument
    gate_status: GateStatus | None
    gate: GateDocument | None
    operations: OperationsDocument
    reference: ReferenceDocument | None
    references: tuple[ReferencePointDocument, ...]
    calibration_seconds: float | None
    workers: tuple[WorkerUse, ...]
    best: int | None
    final: FinalDocument | None
    pareto: tuple[int, ...]
    trials_per_minute: float | None
    overhead_share: float | None
    nights: tuple[Night, ...]
    trends: tuple[Trend, ...]
    commits: CommitRange | None
    trials: tuple[TrialDocument, ...]
    optimism: Optimism | None = None
    predictions: Predictions | None = None


@dataclass(frozen=True)
class RunDocument:
    """One run, as the store has it; ``repository`` is the git repository that the matrix lay in, if it did in one."""

    id: str
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None
    matrix: str
    command: str
    seed: int
    require_targets: bool
    on_missing_device: str
    version: str
    repository: Repository | None


@dataclass(frozen=True)
class ResultsDocument:
    """All numbers of a run; ``absent`` are cells that have a baseline, or were to be run, and are not in it.

    ``findings`` are what somebody has to look at, cause by cause: cells of one cause are one of them.
    ``schema_version`` grows with every change that a reader could stumble over.
    """

    schema_version: Literal[6]
    exit_status: int
    run: RunDocument
    cells: tuple[CellDocument, ...]
    absent: tuple[AbsentCell, ...]
    findings: tuple[Finding, ...]
