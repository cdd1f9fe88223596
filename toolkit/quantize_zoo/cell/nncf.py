"""NNCF's models as reference points of a cell: what one call of another tool gives (extra ``nncf``)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import openvino as ov

from quantize_zoo import errors
from quantize_zoo.config import CompressionParams
from quantize_zoo.quantization import Samples


def require_nncf() -> None:
    """Check that NNCF is installed.

    Raises:
        ConfigurationError: it is not.

    """
    if importlib.util.find_spec("nncf") is None:
        raise errors.no_nncf()


def nncf_models(
    tool: str, model: ov.Model, samples: Samples, compression: CompressionParams
) -> dict[str, Callable[[], ov.Model]]:
    """Return what makes NNCF's models, by their names: one of ``nncf``, two of ``nncf-weights``.

    What they return raises CellError if NNCF fails.
    """
    if tool == "nncf":
        return {"nncf": partial(quantize_with_nncf, model, samples, compression)}
    return {
        f"{tool} INT8": partial(compress_with_nncf, model, "INT8_ASYM"),
        # A scale a channel, as groups of its default size leave the layers uncompressed that they do not divide.
        f"{tool} INT4": partial(compress_with_nncf, model, "INT4_SYM", group_size=-1),
    }


def quantize_with_nncf(model: ov.Model, samples: Samples, compression: CompressionParams) -> ov.Model:
    """Return the model that ``nncf.quantize`` makes with the same calibration samples and preset.

    Raises:
        CellError: NNCF fails.

    """
    import nncf  # optional, and slow to import

    tunable = compression.tunable
    dataset = nncf.Dataset([dict(sample) for sample in samples])
    preset = nncf.QuantizationPreset.PERFORMANCE if tunable.preset == "performance" else nncf.QuantizationPreset.MIXED
    transformer = nncf.ModelType.TRANSFORMER if tunable.model_type == "transformer" else None
    try:
        return nncf.quantize(model.clone(), dataset, preset=preset, subset_size=len(samples), model_type=transformer)
    except Exception as error:  # whatever NNCF raises of its own
        raise errors.reference_failed("nncf", f"{type(error).__name__}: {errors.message_of(error)}") from error


def compress_with_nncf(model: ov.Model, mode: str, **params: Any) -> ov.Model:
    """Return the model that ``nncf.compress_weights`` makes in one of its modes; it looks at no samples.

    Raises:
        CellError: NNCF fails.

    """
    import nncf  # optional, and slow to import

    try:
        return nncf.compress_weights(model.clone(), mode=nncf.CompressWeightsMode[mode], **params)
    except Exception as error:  # whatever NNCF raises of its own
        raise errors.reference_failed("nncf-weights", f"{type(error).__name__}: {errors.message_of(error)}") from error
