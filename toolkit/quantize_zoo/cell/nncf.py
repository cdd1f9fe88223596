"""NNCF's model as a reference point of a cell: what one call of another tool gives (extra ``nncf``)."""

from __future__ import annotations

import importlib.util

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
