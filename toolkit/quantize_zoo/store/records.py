"""What the store keeps and gives back: plain values, as JSON in the database, never as code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from quantize_zoo.config import OptimizerParams, TrialsLoadMethod
from quantize_zoo.scoring import Environment, Estimate, Execution, PairedLatency
from quantize_zoo.search import Trial

RunStatus = Literal["running", "finished", "interrupted"]
CellStatus = Literal["running", "done", "unavailable", "failed", "interrupted"]


@dataclass(frozen=True)
class ErrorRecord:
    """An error as its three texts."""

    what: str
    where: str
    remedy: str


@dataclass(frozen=True)
class Reference:
    """What is known of a cell before its first trial: the FP32 model's scores and what it ran on.

    ``search_key`` identifies what a search belongs to: model, data, metric, hardware configuration and device.
    ``notes`` tell what the user should know of how the cell was treated.
    """

    search_key: str
    metric: str
    accuracy: Estimate
    metrics: dict[str, float]
    execution: Execution
    environment: Environment
    checker: str
    samples: int
    calibration_samples: int
    operation_types: dict[str, str]
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Final:
    """The best trial of a cell, its latency measured once more after the search, and the model's file in the run."""

    trial: int
    latency: PairedLatency
    model: str


@dataclass(frozen=True)
class CellRecord:
    """One cell of a run with its trials in order."""

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

    @property
    def name(self) -> str:
        """Name for tables and files."""
        return f"{self.model}-{self.device}"


@dataclass(frozen=True)
class RunRecord:
    """One run with its cells in the matrix's order."""

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
