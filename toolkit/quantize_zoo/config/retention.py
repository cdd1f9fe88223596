"""What a matrix keeps of its history: at the end of a run older ones go."""

from __future__ import annotations

from pydantic import Field

from quantize_zoo.config.numbers import Flag, Nights
from quantize_zoo.config.strict import Strict


class Retention(Strict):
    """How many of the newest nights stay, and whether those stay that baselines were accepted from."""

    keep_nights: Nights = Field(
        description="how many of the newest nights stay: runs in which a cell ended, in the store and in the reports"
    )
    keep_baselines: Flag = Field(default=True, description="so do the runs that baselines were accepted from")
