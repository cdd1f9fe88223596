"""Who is told at the end of a run: a webhook, whose address is a secret and so never stands in a file."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from quantize_zoo.config.strict import Strict

_VARIABLE = r"^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$"


class Notify(Strict):
    """A webhook, and what it takes: the run as JSON, or a text as Slack and others take it."""

    url: str = Field(
        description="an environment variable that has the address: ${QUANTIZE_ZOO_WEBHOOK}",
        json_schema_extra={"pattern": _VARIABLE},
    )
    format: Literal["json", "slack"] = "json"

    @field_validator("url")
    @classmethod
    def _names_a_variable(cls, value: str) -> str:
        if not re.match(_VARIABLE, value):
            raise ValueError("name an environment variable that has the address, such as ${QUANTIZE_ZOO_WEBHOOK}")
        return value

    @property
    def variable(self) -> str:
        """The name of the environment variable."""
        return self.url[2:-1]
