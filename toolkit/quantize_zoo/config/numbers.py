"""Every number that a file or an option can have: what it counts, and from where to where that makes sense.

A file's text in quotes, ``true`` or ``5.0`` is no whole number. The limits are far beyond what anybody needs; they keep
what is computed from a number finite, and what is stored of it within 64 bits.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from quantize_zoo.terms import LARGEST, MOST_MINUTES, MOST_TRIALS

MOST_MODELS, MOST_DEVICES = 10_000, 1_000  # of a matrix
_MOST_PERCENT = 10_000
_MOST_RATIO = 10_000
_MOST_WEIGHT = 1_000_000
_SMALLEST_METRIC = 1e-9  # what is lost is told in percent of it
_LARGEST_BORDER = 1e30  # of a range, whose width has to be one of f32


def _whole(value: object) -> object:
    if type(value) is not int:  # 4.0 is equal to 4, and True to 1
        raise ValueError("must be a whole number")
    return value


Trials = Annotated[int, Field(strict=True, gt=0, le=MOST_TRIALS)]
Nights = Annotated[int, Field(strict=True, gt=0, le=LARGEST)]
Samples = Annotated[int, Field(strict=True, gt=0, le=LARGEST)]
Threads = Annotated[int, Field(strict=True, gt=0, le=4096)]
BatchSize = Annotated[int, Field(strict=True, gt=0, le=65_536)]
Megabytes = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
Bits = Annotated[int, Field(strict=True, ge=2, le=8)]
WeightBits = Annotated[Literal[4, 8], BeforeValidator(_whole)]
GroupSize = Annotated[Literal[32, 64, 128], BeforeValidator(_whole)]
Minutes = Annotated[float, Field(strict=True, gt=0, le=MOST_MINUTES)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=3600)]
Percent = Annotated[float, Field(strict=True, ge=0, le=_MOST_PERCENT)]
PercentAboveZero = Annotated[float, Field(strict=True, gt=0, le=_MOST_PERCENT)]
SpeedRatio = Annotated[float, Field(strict=True, ge=1 / _MOST_RATIO, le=_MOST_RATIO)]
Weight = Annotated[float, Field(strict=True, ge=0, le=_MOST_WEIGHT)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
ShareAboveZero = Annotated[float, Field(strict=True, gt=0, le=1)]
ShareBelowOne = Annotated[float, Field(strict=True, ge=0, lt=1)]
ShareBetween = Annotated[float, Field(strict=True, ge=0.001, le=0.999)]
Chance = Annotated[float, Field(strict=True, ge=1e-9, lt=1)]
OutlierProbability = Annotated[float, Field(strict=True, ge=1e-9, lt=0.5)]
RelativeChange = Annotated[float, Field(strict=True, gt=0, le=1e12)]
Metric = Annotated[float, Field(strict=True, ge=_SMALLEST_METRIC, le=1e9)]
Border = Annotated[float, Field(strict=True, ge=-_LARGEST_BORDER, le=_LARGEST_BORDER)]
Flag = Annotated[bool, Field(strict=True)]


def _is_size(value: int) -> int:
    if value == 0:
        raise ValueError("a dimension has at least one element, or is dynamic (-1)")
    return value


Dimension = Annotated[int, Field(strict=True, ge=-1, le=LARGEST), AfterValidator(_is_size)]
# Of a device's plugin, which knows itself what makes sense.
PropertyValue = (
    Annotated[str, Field(strict=True)]
    | Flag
    | Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
    | Annotated[float, Field(strict=True, ge=-1e300, le=1e300)]
)
