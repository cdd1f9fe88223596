"""Which of a model's outputs one of the accuracy checker's adapters reads: its parameters that name outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_NAMES_AN_OUTPUT = re.compile(r"(?:^|_)(?:out|output|output_name|output_blob)$")

# Of both checkers: they look up the output that their configuration names, and read the first one all the same.
_READ_THE_FIRST = frozenset({"classification", "ctc_greedy_decoder", "ctc_beam_search_decoder"})


@dataclass(frozen=True)
class OutputRead:
    """The one of several outputs that an adapter reads, and its parameter that names one.

    ``obeys`` tells whether it reads what that names, ``is_named`` whether that is why it reads this one.
    """

    name: str
    key: str
    obeys: bool
    is_named: bool

    @property
    def how_to_choose(self) -> str:
        """What makes the adapter read another output."""
        if not self.obeys:
            return f"it reads the first one, whatever {self.key} names: write the model with another one first"
        return f"{self.key} names another"


def obeys(adapter: Any) -> bool:
    """Tell whether an adapter that reads one output reads the one that its configuration names."""
    return str(adapter.__provider__) not in _READ_THE_FIRST


def output_keys(adapter: Any) -> list[str]:
    """Return the parameters of an adapter that name one output each."""
    fields: Mapping[str, Any] = adapter.parameters()
    return [key for key, field in fields.items() if _NAMES_AN_OUTPUT.search(key) and field.type is str]


def named_output(adapter: Any) -> str | None:
    """Return what an adapter that reads one output is told to read; None if it is told nothing, or reads several."""
    keys, config = output_keys(adapter), adapter.launcher_config
    value = config.get(keys[0]) if len(keys) == 1 and isinstance(config, Mapping) else None
    return value if isinstance(value, str) else None
