"""What the store keeps and gives back: plain values, as JSON in the database, never as code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from quantize_zoo.config import OptimizerParams, TrialsLoadMethod, cell_label
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Environment, Estimate, Executed, Execution, LayerTime, PairedLatency
from quantize_zoo.search import Survey, Trial

RunStatus = Literal["running", "finished", "interrupted"]
CellStatus = Literal["running", "done", "unavailable", "failed", "interrupted"]
CellEnd = Literal["unavailable", "failed", "interrupted"]  # how a cell ends that is not done


@dataclass(frozen=True)
class ErrorRecord:
    """An error as its three texts."""

    what: str
    where: str
    remedy: str


@dataclass(frozen=True)
class FleetMember:
    """A member of a fleet: FP32's metric there, the precision that it ran in; ``unavailable`` tells why it is not here.

    ``share`` is that among the members which are here, and 0 of the others. ``machine`` names the CPU, or the device
    beside a CPU, that it runs on: the machine of the member that leads, or ``elsewhere`` another one of its kind. A
    member is ``played`` where the machine is held to an instruction set below its own. One that is not here is
    ``scored_on`` another device where the matrix asks for that.
    """

    name: str
    share: float
    accuracy: Estimate | None = None
    precision: str = ""
    played: bool = False
    unavailable: str = ""
    machine: str = ""
    elsewhere: bool = False
    scored_on: str = ""

    @property
    def place(self) -> str:
        """Where it runs, and whether that is what it asks for."""
        how = "played by a limit" if self.played else "on a machine of its kind"
        how = f"not here, scored on {self.scored_on}" if self.scored_on else how
        return f"{how}: {self.machine}{', another worker' if self.elsewhere else ''}" if self.machine else how


def lead_of(members: Iterable[FleetMember]) -> str:
    """Return the member of a fleet that leads: the first on the machine of the cell's process.

    One that is only scored on another device leads where none of the others is there.
    """
    known = [each for each in members if not each.unavailable and not each.elsewhere]
    return next((each.name for each in known if not each.scored_on), known[0].name if known else "")


@dataclass(frozen=True)
class Reference:
    """What is known of a cell before its first trial: the FP32 model's scores and what it ran on.

    ``identity`` is what a search belongs to: model, data, metric, hardware configuration, device and so on, by name.
    ``samples`` are those that the search sees. ``notes`` tell what the user should know of how the cell was treated.
    ``scored_on`` is the device that stood in for the cell's own, which was not there; empty otherwise. ``model_path``
    is the canonical FP32 model's file, ``model_hash`` its content, ``inputs`` the shapes of its inputs, with which
    everything was scored and measured. ``executed`` is what the device, where it is here, makes of the preset's base,
    ``survey`` what was found out of its operations before they were chosen. Of a fleet's cell ``fleet`` are its
    members, and the rest is of the one that leads.
    """

    identity: dict[str, str]
    metric: str
    accuracy: Estimate
    metrics: dict[str, float | None]
    execution: Execution
    environment: Environment
    checker: str
    samples: int
    calibration_samples: int
    operation_types: dict[str, str]
    seconds: float
    notes: tuple[str, ...] = ()
    holdout_samples: int = 0
    higher_is_better: bool = True
    scored_on: str = ""
    model_path: str = ""
    model_hash: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    executed: Executed | None = None
    survey: Survey | None = None
    fleet: tuple[FleetMember, ...] = ()


@dataclass(frozen=True)
class OtherMetric:
    """A metric on another dataset than the one that is tuned on; None where it is not a finite number."""

    dataset: str
    metric: str
    fp32: float | None
    int8: float | None


@dataclass(frozen=True)
class Holdout:
    """The tuned metric on the samples that the search never saw; the loss is relative, from both models' answers."""

    fp32: Estimate
    int8: Estimate
    accuracy_loss: Estimate


@dataclass(frozen=True)
class ReferencePoint:
    """The model of another tool, scored as a trial is; ``seconds`` is what the tool took to make it.

    ``size_bytes`` are those of its weights; None in runs of 0.1.0.
    """

    name: str
    accuracy: Estimate
    latency: PairedLatency | None
    holdout: Holdout | None
    seconds: float
    size_bytes: int | None = None
    members: tuple[Elsewhere, ...] = ()


@dataclass(frozen=True)
class RunnerUp:
    """The trial that came second, and its time / the best one's, measured in turns after the search."""

    trial: int
    ratio: Estimate


@dataclass(frozen=True)
class Figures:
    """What a model costs beside its latency: bytes of its weights, seconds to compile it, peak bytes of the process.

    The compile time has its 95 % interval, where that is stored.
    """

    size_bytes: int
    compile_s: float
    peak_bytes: int
    compile_low_s: float | None = None
    compile_high_s: float | None = None

    @property
    def compile_time(self) -> Estimate:
        """The seconds to compile it, with their interval."""
        return Estimate(self.compile_s, self.compile_low_s, self.compile_high_s, "s", 0)


@dataclass(frozen=True)
class Proof:
    """What the exported file was seen to compute, read back and compiled: what its trial did.

    ``identical`` samples gave the same outputs as the model in memory, bit by bit, or within the last bits where the
    device does not repeat itself (``repeats``). ``metric`` is the tuned metric on the samples of the search.
    """

    identical: int
    metric: float
    repeats: bool
    seconds: float


@dataclass(frozen=True)
class Elsewhere:
    """FP32 and the best model in another environment than the cell's, which this machine played.

    ``environment`` is written as a device is, ``precision`` the one that FP32 ran in there. ``accuracy_loss`` is that
    against FP32 in the same environment, on the samples of the search. ``skipped`` tells why there are no figures.
    """

    environment: str
    precision: str = ""
    fp32: Estimate | None = None
    int8: Estimate | None = None
    accuracy_loss: Estimate | None = None
    holdout: Holdout | None = None
    latency: PairedLatency | None = None
    seconds: float = 0.0
    skipped: str = ""


@dataclass(frozen=True)
class Final:
    """The best trial of a cell, measured once more after the search, and the model's file in the run.

    ``answers`` is the file with what FP32 and the best model answered for every sample, ``figures`` the best model's.
    ``layers`` tells where the time of FP32 and of the best model goes; it is empty without a device that profiles.
    ``loss`` is that on the samples of the search, where the metric is one of single samples. ``model_hash`` and
    ``answers_hash`` are what the files had in them when they were written; empty in runs of 0.1.0. ``portability`` is
    what the model is in other environments. Of a fleet's model ``members`` tell what it is on each, ``latency`` is the
    share-weighted geometric mean over them, ``holdout`` and ``loss`` are of the member that loses most, and ``slower``
    are members on which it is surely slower than FP32 and must not be.
    """

    trial: int
    latency: PairedLatency | None
    model: str
    holdout: Holdout | None = None
    runner_up: RunnerUp | None = None
    others: tuple[OtherMetric, ...] = ()
    answers: str = ""
    figures: Figures | None = None
    layers: tuple[LayerTime, ...] = ()
    proof: Proof | None = None
    fp32_figures: Figures | None = None
    loss: Estimate | None = None
    model_hash: str = ""
    answers_hash: str = ""
    portability: tuple[Elsewhere, ...] = ()
    members: tuple[Elsewhere, ...] = ()
    slower: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkerUse:
    """What a worker of a cluster did for a cell.

    It ``scored`` and ``measured`` so many trials, and was busy with the cell for some ``seconds``, which is a ``share``
    of the cell's.
    """

    name: str
    host: str
    cpu: str
    scored: int
    measured: int
    seconds: float
    share: float


@dataclass(frozen=True)
class Baseline:
    """An accepted cell. ``fp32``, ``int8`` and ``answers`` name files in the folder of baselines by their content.

    ``accuracy`` is the INT8 model's on the samples of the search, as it was accepted.
    """

    model: str
    device: str
    accepted_by: str
    reason: str
    expected_change: str
    run_id: str
    option: ModelOption
    metric: str
    dataset: str
    reference: Reference
    latency: PairedLatency | None
    figures: Figures | None
    fp32: str
    int8: str
    answers: str
    accuracy: Estimate | None = None


@dataclass(frozen=True)
class StoredBaseline:
    """A baseline in the store."""

    id: int
    accepted_at: datetime
    dropped_at: datetime | None
    content: Baseline

    @property
    def name(self) -> str:
        """The cell's name."""
        return cell_label(self.content.model, self.content.device)


def current_baselines(rows: Iterable[StoredBaseline]) -> list[StoredBaseline]:
    """Return each cell's baseline by name: the newest of all that there ever were, unless it was dropped."""
    newest = {row.name: row for row in sorted(rows, key=lambda row: row.id)}
    return sorted((row for row in newest.values() if row.dropped_at is None), key=lambda row: row.name)


@dataclass(frozen=True)
class StoredSearch:
    """A cell that has trials, or goes on from one that has; ``best`` is the one that its run called best in the end.

    That is not always the one of least loss: it was measured again against the runner-up.
    """

    cell_id: int
    method: TrialsLoadMethod
    identity: dict[str, str]
    best: int | None = None


@dataclass(frozen=True)
class NightRecord:
    """A finished cell in one run, in figures; ``gate_status`` is what it was against its baseline, if it had one.

    ``fp32`` is FP32's metric on the samples of the search, ``holdout`` INT8's on those that the search never saw,
    ``speedup`` FP32 time / INT8 time.
    """

    run_id: str
    fp32: float | None
    holdout: float | None
    speedup: float | None
    gate_status: str | None = None


@dataclass(frozen=True)
class PastNight:
    """What a night had of a cell, for planning the next.

    ``seconds`` are the whole cell's, ``search_seconds`` those of its search, which made so many ``trials``; ``best`` is
    the hash of the option that was called best, ``speedup`` FP32's time / INT8's. ``alarmed`` tells that the cell
    failed or regressed, ``ended`` that its search ended before its limits, since nothing was left to try or can pay.
    """

    seconds: float
    search_seconds: float
    trials: int
    method: TrialsLoadMethod
    best: str | None
    speedup: float | None
    alarmed: bool
    ended: bool = False


@dataclass(frozen=True)
class CellRecord:
    """One cell of a run with its trials in order.

    ``sensitivity`` is the relative error that quantizing makes in each operation's own output, by its name.
    ``workers`` tells who worked at it, where that was a cluster.
    """

    id: int
    run_id: str
    model: str
    device: str
    status: CellStatus
    method: TrialsLoadMethod
    params: OptimizerParams
    error: ErrorRecord | None
    reference: Reference | None
    calibration_seconds: float | None
    final: Final | None
    trials: tuple[Trial, ...]
    references: tuple[ReferencePoint, ...] = ()
    gate: dict[str, Any] | None = None  # the gate's own record; its layer is above this one
    sensitivity: dict[str, float] = field(default_factory=dict)
    workers: tuple[WorkerUse, ...] = ()

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return cell_label(self.model, self.device)


@dataclass(frozen=True)
class RunPlan:
    """The cells that a run is to run, by name; ``whole`` tells whether these are all of its matrix."""

    cells: tuple[str, ...]
    whole: bool


@dataclass(frozen=True)
class Repository:
    """The git repository that a run's matrix lay in: its folder, the commit, and whether tracked files differed."""

    folder: str
    commit: str
    dirty: bool


@dataclass(frozen=True)
class RunRecord:
    """One run with its cells in the matrix's order; those that it did not come to are in the plan only.

    There is no ``plan`` of a run of 0.1.0, and no ``repository`` where the matrix lay in none.
    """

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
    cells: tuple[CellRecord, ...]
    plan: RunPlan | None = None
    repository: Repository | None = None
