"""Which layers a regression is in: what was found of them, as values that are stored, shown and put into words."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from quantize_zoo.errors import QuantizeZooError, message_of
from quantize_zoo.scoring import Estimate


@dataclass(frozen=True)
class LayerTimeChange:
    """Microseconds of one layer on both sides, and how many more they are in the candidate, with the 95 % interval.

    A side that does not execute it by itself has None, and takes 0 in the difference; ``note`` says why.
    """

    name: str
    baseline_us: float | None
    candidate_us: float | None
    difference_us: Estimate
    baseline_kernel: str = ""
    candidate_kernel: str = ""
    note: str = ""

    @property
    def is_slower(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.difference_us.low is not None and self.difference_us.low > 0


@dataclass(frozen=True)
class LayerTimes:
    """The layers of both sides of a latency, the one that got slowest first; ``skipped`` tells why there are none.

    ``baseline_us`` and ``candidate_us`` are the sums over all layers.
    """

    layers: tuple[LayerTimeChange, ...] = ()
    baseline_us: float = 0.0
    candidate_us: float = 0.0
    rounds: int = 0
    skipped: str = ""

    @property
    def text(self) -> str:
        """What was found, in words."""
        if self.skipped:
            return f"layers are not compared: {self.skipped}"
        worst = self.layers[0]
        if not worst.is_slower:
            return "no single layer is measurably slower"
        more, all_layers = worst.difference_us, self.candidate_us - self.baseline_us
        text = f"most of it in {worst.name}: {more.value:+.1f} us [{more.low:.1f}, {more.high:.1f}]"
        text += f" ({worst.note})" if worst.note else ""
        return f"{text}, all layers {all_layers:+.1f} us"


@dataclass(frozen=True)
class LayerDeviation:
    """How much a layer's output differs between two models: |candidate - baseline| / |the larger of both|, as norms.

    ``rounding`` is the most that rounding gives, ``inputs`` the largest deviation of the layers that it computes with
    (None for those that compute with none). A deviation of None is no finite number, or of outputs of other shapes; a
    rounding of None has no limit.
    """

    name: str
    type: str
    deviation: float | None
    rounding: float | None
    inputs: float | None = None

    @property
    def is_beyond(self) -> bool:
        """Whether rounding does not explain it."""
        return self.rounding is not None and (self.deviation is None or self.deviation > self.rounding)


@dataclass(frozen=True)
class PrecisionTrace:
    """The layers that both models have, in the order of the baseline's graph, computed in one precision.

    ``outputs`` is how much the outputs of the models as they are differ, where no layer's output is read. Reading them
    keeps the plugin from fusing layers; ``notes`` tell where that moves what a model computes.
    """

    precision: str
    layers: tuple[LayerDeviation, ...]
    outputs: LayerDeviation
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> LayerDeviation | None:
        """The first layer that differs beyond rounding."""
        return next((layer for layer in self.layers if layer.is_beyond), None)

    @property
    def steepest(self) -> LayerDeviation | None:
        """The layer that adds most to what the layers before it differ by; None if none differs beyond rounding."""
        beyond = [layer for layer in self.layers if layer.is_beyond and layer.deviation is not None]
        return max(beyond, key=lambda layer: (layer.deviation or 0.0) - (layer.inputs or 0.0), default=None)

    @property
    def text(self) -> str:
        """What was found, in words."""
        first, steepest = self.first, self.steepest
        outputs = f"the outputs differ by {share_text(self.outputs.deviation)}"
        if first is None:
            if self.outputs.is_beyond:
                return f"no layer differs beyond rounding where each is read, but {outputs}: fusing makes that"
            return f"no layer differs beyond rounding, {outputs}"
        text = f"the first layer that differs beyond rounding is {first.name}"
        text += f" (by {share_text(first.deviation)}, rounding {share_text(first.rounding)})"
        if steepest is not None and steepest.name != first.name:
            before = f"{share_text(steepest.inputs)} to " if steepest.inputs is not None else ""
            text += f", the largest step is {steepest.name} ({before}{share_text(steepest.deviation)})"
        return f"{text}; {outputs}"


@dataclass(frozen=True)
class LayerDeviations:
    """Where two models begin to differ on samples that they answer differently; ``skipped`` tells why nowhere.

    One trace for the cell's own precision, and one in f32 where that is another.
    """

    samples: tuple[str, ...] = ()
    traces: tuple[PrecisionTrace, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def text(self) -> str:
        """What was found, in words."""
        if self.skipped:
            return f"layers are not compared: {self.skipped}"
        return "; ".join(
            f"in {trace.precision} {trace.text}" if len(self.traces) > 1 else trace.text for trace in self.traces
        )


def share_text(share: float | None) -> str:
    """``0.0000123`` as ``0.0012 %``: two digits, however small."""
    if share is None:
        return "no number or another shape"
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def reason_of(error: Exception) -> str:
    """Return why layers are not compared, in one line; the cell's log has more of what nobody foresaw."""
    if isinstance(error, QuantizeZooError):
        return error.what
    traceback.print_exception(error)
    return f"{type(error).__name__}: {message_of(error)}"
