"""What a cell's process tells: of the reference, of calibration, and of the best model in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quantize_zoo.graph import Placement
from quantize_zoo.quantization import ModelOption
from quantize_zoo.scoring import Answers, Estimate, Executed, LayerTime, PairedLatency
from quantize_zoo.store import Elsewhere, Figures, Holdout, OtherMetric, Proof, Reference


@dataclass(frozen=True)
class Prepared:
    """What a worker knows before the first trial: the reference, what can be quantized, and the preset's option.

    ``former`` is what releases up to 0.1.0 called parts of the reference's identity.
    """

    reference: Reference
    placement: Placement
    base: ModelOption
    former: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibration:
    """The seconds spent on statistics, and how much quantizing each operation changes its output.

    ``executed`` is what the device executes of the preset's base, fully quantized; None without the device. ``notes``
    tell what the user should know of it.
    """

    seconds: float
    errors: dict[str, float]
    executed: Executed | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answered:
    """What FP32 and a model are in an environment, and what both answered there for every sample."""

    figures: Elsewhere
    fp32: Answers
    int8: Answers


@dataclass(frozen=True)
class Finished:
    """The best model's latency, measured independently of its trial, and its accuracy on other data than the search's.

    ``latency`` is None without the cell's device, ``loss`` where the metric is not that of single samples. The hashes
    are those of the files of the model and of its answers. Of a fleet ``members`` and ``slower`` are as in ``Final``.
    """

    latency: PairedLatency | None
    holdout: Holdout | None
    others: tuple[OtherMetric, ...] = ()
    figures: Figures | None = None
    layers: tuple[LayerTime, ...] = ()
    proof: Proof | None = None
    fp32_figures: Figures | None = None
    loss: Estimate | None = None
    model_hash: str = ""
    answers_hash: str = ""
    members: tuple[Elsewhere, ...] = ()
    slower: tuple[str, ...] = ()
