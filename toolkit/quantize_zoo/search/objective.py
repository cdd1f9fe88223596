"""POT's loss of a trial (Tpe of openvino-dev 2021.4), and what makes a trial the best.

``accuracy_loss`` is relative, (FP32 - INT8) / |FP32|, the other way round for a metric that is better when lower;
``latency_ratio`` is FP32 time / INT8 time (POT's lat_diff).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from quantize_zoo.config import OptimizerParams

_SCALE = 10.0
_ACCURACY_PENALTY = 80.0
_LATENCY_PENALTY = 40.0
_SHARPNESS = 8


@dataclass(frozen=True)
class Score:
    """What the objective sees of a trial; without the device there is no ``latency_ratio``.

    ``size_ratio`` is FP32 bytes / bytes of the weights; None in trials of releases up to 0.1.0. Of a fleet's the loss
    is the largest of its members', the ratio the share-weighted geometric mean of theirs; ``slower`` are the members on
    which the candidate must not be slower than FP32 and surely is.
    """

    accuracy_loss: float
    latency_ratio: float | None
    quantization_ratio: float
    size_ratio: float | None = None
    slower: tuple[str, ...] = ()

    @property
    def speed(self) -> float:
        """What makes one trial faster than another: its latency ratio; where that is unknown, what is quantized."""
        return self.quantization_ratio if self.latency_ratio is None else self.latency_ratio


def relative_accuracy_loss(fp32: float, candidate: float, *, higher_is_better: bool = True) -> float:
    """Return the share of the FP32 metric that the candidate loses; negative if it gains."""
    return (fp32 - candidate if higher_is_better else candidate - fp32) / abs(fp32)


def meets_accuracy(accuracy_loss: float, params: OptimizerParams) -> bool:
    """Tell whether the loss is within the target, which is in percent."""
    return accuracy_loss <= params.accuracy_loss / 100


def meets_latency(latency_ratio: float, params: OptimizerParams) -> bool:
    """Tell whether FP32 time / INT8 time is within the target."""
    return latency_ratio >= params.latency_reduce


def meets_size(size_ratio: float | None, params: OptimizerParams) -> bool:
    """Tell whether FP32 bytes / bytes of the weights is within the target, if there is one."""
    return params.size_reduce is None or (size_ratio is not None and size_ratio >= params.size_reduce)


def is_allowed(score: Score, params: OptimizerParams) -> bool:
    """Tell whether accuracy and size are within their targets, and no member of a fleet is slower than it must be.

    Of what is allowed the fastest is the best.
    """
    within = meets_accuracy(score.accuracy_loss, params) and meets_size(score.size_ratio, params)
    return within and not score.slower


def shortfall(score: Score, params: OptimizerParams) -> tuple[float, float, int]:
    """Return how far something is from being allowed, the most important first; the lowest is best.

    The loss beyond the target, the share of the size that is lacking, on how many members of a fleet it is slower.
    """
    beyond = max(0.0, score.accuracy_loss - params.accuracy_loss / 100)
    return beyond, _oversize(score, params), len(score.slower)


def meets_targets(score: Score, params: OptimizerParams) -> bool:
    """Tell whether accuracy, size and latency are within their targets."""
    fast = score.latency_ratio is None or meets_latency(score.latency_ratio, params)
    return fast and is_allowed(score, params)


def loss(score: Score, base: Score, params: OptimizerParams) -> float:
    """Return POT's loss of a trial; ``base`` is the fully quantized model, which sets the scales.

    Where the base loses no accuracy, or is no faster than FP32, the target takes its place. Without a latency the
    share of what is quantized takes the place of its term. What ``is_allowed`` refuses for its size, or for a member of
    a fleet, is as bad as what misses the accuracy, since it is the best as little; of sizes the worse the larger.
    """
    allowed = params.accuracy_loss / 100
    exceeded = not meets_accuracy(score.accuracy_loss, params)
    accuracy_span = abs(math.exp(base.accuracy_loss) - 1) or abs(math.exp(allowed) - 1)
    accuracy_scaled = (math.exp(score.accuracy_loss) - 1) * _scale(accuracy_span)
    accuracy_weight = params.accuracy_weight if exceeded else 0.0
    if score.latency_ratio is None or base.latency_ratio is None:
        unquantized = _SCALE * (base.quantization_ratio - score.quantization_ratio)
        total = accuracy_weight * accuracy_scaled + unquantized + _oversize(score, params)
        return total + (0.0 if is_allowed(score, params) else _ACCURACY_PENALTY)
    base_ratio = base.latency_ratio if base.latency_ratio != 1 else params.latency_reduce
    latency_span = abs(_latency_term(1.0) - _latency_term(base_ratio))
    latency_scaled = (_latency_term(score.latency_ratio) - _latency_term(base_ratio)) * _scale(latency_span)

    if accuracy_weight == params.latency_weight == params.quantization_ratio_weight == 0:
        accuracy_weight = 1.0
    offset = params.expected_quantization_ratio
    steepness = 3 / min(offset, 1 - offset)
    ratio_term = 5 * math.tanh(steepness * (score.quantization_ratio - offset))

    total = accuracy_weight * accuracy_scaled
    total += params.latency_weight * latency_scaled
    total -= params.quantization_ratio_weight * ratio_term
    total += _oversize(score, params)
    if not is_allowed(score, params):
        return total + _ACCURACY_PENALTY
    return total + (0.0 if meets_latency(score.latency_ratio, params) else _LATENCY_PENALTY)


def _oversize(score: Score, params: OptimizerParams) -> float:
    """Return the part of the loss that is that of a missed target of size: the share of it that is lacking."""
    if meets_size(score.size_ratio, params):
        return 0.0
    assert params.size_reduce is not None, "without a target nothing misses it"
    return _SCALE * (1 - (score.size_ratio or 0.0) / params.size_reduce)


def _latency_term(ratio: float) -> float:
    return math.log((1 / (1000 * ratio)) ** _SHARPNESS)


def _scale(span: float) -> float:
    return _SCALE / span if span else 1.0
