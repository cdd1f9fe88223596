"""A model's YAML made complete: what it leaves to Open Model Zoo, and the metric that is tuned."""

from __future__ import annotations

from typing import Any

from quantize_zoo.config import MatrixConfig, ModelConfig, load_pot_compression
from quantize_zoo.scoring.checker_config import checker_metrics, require_metric
from quantize_zoo.zoo.open_model_zoo import zoo_files


def complete_matrix(matrix: MatrixConfig) -> MatrixConfig:
    """Return the matrix with complete models; see ``complete_model``."""
    return matrix.model_copy(update={"models": tuple(complete_model(model) for model in matrix.models)})


def complete_model(config: ModelConfig) -> ModelConfig:
    """Return the configuration with everything but the downloaded model.

    Raises:
        ConfigurationError: Open Model Zoo has no such model, or the accuracy checker's configuration lacks something.

    """
    if config.zoo_name is not None:
        files = zoo_files(config.zoo_name)
        changes: dict[str, Any] = {}
        if "accuracy_checker" not in config.model_fields_set:
            changes |= {
                "accuracy_checker": files.accuracy_check,
                "definitions": config.definitions or files.definitions,
            }
        if "compression" not in config.model_fields_set and files.quantization is not None:
            changes["compression"] = load_pot_compression(files.quantization)
        config = config.model_copy(update=changes)
    if not config.metric:
        config = config.model_copy(update={"metric": checker_metrics(config)[0]})
    return config.model_copy(update={"metric": require_metric(config)})
