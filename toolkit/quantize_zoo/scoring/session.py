"""The session that a model's configuration asks for."""

from __future__ import annotations

import openvino as ov

from quantize_zoo.config import ModelConfig
from quantize_zoo.scoring.accuracy import AccuracySession
from quantize_zoo.scoring.checker import Checker
from quantize_zoo.scoring.checker_config import checker_entry
from quantize_zoo.scoring.custom_session import CustomSession
from quantize_zoo.scoring.inputs import IN_MEMORY, InputBudget


def open_session(
    checker: Checker,
    config: ModelConfig,
    model: ov.Model,
    budget: InputBudget = IN_MEMORY,
    dataset: int = 0,
    first: int | None = None,
) -> AccuracySession:
    """Return a session of a model, of a custom evaluator's network where that is configured; see both classes."""
    kind = CustomSession if "evaluation" in checker_entry(config) else AccuracySession
    return kind(checker, config, model, budget, dataset, first)
