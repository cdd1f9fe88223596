"""What all configuration values share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A frozen value whose unknown keys are errors, and numbers that are not finite, which JSON has no word for."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
