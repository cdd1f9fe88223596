"""What is known of a model's operations before the first trial: what quantizing each of them saves, and changes.

An operation's time depends on its neighbours: where quantized and floating point meet, tensors are converted.
"""

from __future__ import annotations

from dataclasses import dataclass

from quantize_zoo.scoring import Estimate


@dataclass(frozen=True)
class OperationSurvey:
    """One quantizable operation, with whatever is computed up to the next ones; times in microseconds.

    ``fp32_us`` and ``int8_us`` are of the model that is all of it the one or the other, ``saved_us`` is their
    difference with its interval. ``entering_us`` is what it takes longer quantized behind floating point, and
    ``leaving_us`` in floating point behind what is quantized; ``before`` are the nearest quantizable operations before
    it. ``change`` is what quantizing it alone changes of the model's output, None where that is not known,
    ``saved_bytes`` what it makes the weights smaller by.
    """

    name: str
    before: tuple[str, ...]
    fp32_us: float
    int8_us: float
    saved_us: Estimate
    entering_us: float
    leaving_us: float
    change: float | None
    saved_bytes: int = 0


@dataclass(frozen=True)
class Survey:
    """The operations in graph order, and how much faster than FP32 the best choice of them is predicted to be.

    That is ``speedup``, with the interval of compilations other than those that the choice was made by. It is None
    where the device tells no times, or is not here: then each operation counts as one microsecond that quantizing it
    saves. ``seconds`` is what finding out took, ``base`` the hash of the option that was surveyed,
    ``fp32_bytes`` are those of the FP32 model's weights.
    """

    operations: tuple[OperationSurvey, ...]
    speedup: Estimate | None
    seconds: float
    base: str = ""
    fp32_bytes: int = 0
