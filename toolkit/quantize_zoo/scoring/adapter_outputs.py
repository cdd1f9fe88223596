"""Which of a model's outputs one of the accuracy checker's adapters reads: its parameters that name outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NAMES_AN_OUTPUT = re.compile(r"(?:^|_)(?:out|output|output_name|output_blob)$")

# The adapters of both checkers look such an output up, and read the first one all the same.
NOT_READ = frozenset({"classification_output"})


@dataclass(frozen=True)
class OutputRead:
    """The one of several outputs that an adapter reads, its parameter that names one, and whether that was obeyed."""

    name: str
    key: str
    is_named: bool

    @property
    def how_to_choose(self) -> str:
        """What makes the adapter read another output."""
        if self.key in NOT_READ:
            return f"it reads the first one, whatever {self.key} names: write the model with another one first"
        return f"{self.key} names another"


def output_keys(adapter: Any) -> list[str]:
    """Return the parameters of an adapter that name one output each."""
    fields: Mapping[str, Any] = adapter.parameters()
    return [key for key, field in fields.items() if _NAMES_AN_OUTPUT.search(key) and field.type is str]


def named_output(adapter: Any) -> str | None:
    """Return what an adapter that reads one output is told to read; None if it is told nothing, or reads several."""
    keys, config = output_keys(adapter), adapter.launcher_config
    value = config.get(keys[0]) if len(keys) == 1 and isinstance(config, Mapping) else None
    return value if isinstance(value, str) else None
