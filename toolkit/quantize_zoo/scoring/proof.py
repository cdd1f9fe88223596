"""Whether a model file computes what a model in memory does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from quantize_zoo import errors
from quantize_zoo.config import DeviceSpec
from quantize_zoo.errors import QuantizeZooError
from quantize_zoo.graph import read_model, save_model, with_integer_weights
from quantize_zoo.graph.states import infer_in_order
from quantize_zoo.scoring.compilation import compile_for_accuracy

PROVEN_SAMPLES = 16  # whose outputs are compared
LAST_BITS = 1e-5  # relative; of a device that does not repeat itself
SUMMED_OTHERWISE = 1e-12  # relative; of a metric's mean over the same samples in another order

Arrays = Mapping[str, NDArray[Any]]
Found = TypeVar("Found")


def require_same_outputs(
    model: ov.Model, path: Path, device: DeviceSpec, samples: Sequence[Arrays]
) -> tuple[Any, bool]:
    """Read a file back and see that it computes what the model does.

    Return the file, compiled, and whether the device repeats itself.

    A device that does not, for which the model in memory gives other bits the second time, may differ in the last ones.

    Raises:
        CellError: the file cannot be read or run, or computes something else.

    """
    written, compiled = (compile_for_accuracy(each, device) for each in (read_model(path), model))
    expected, again, found = (_outputs(each, samples) for each in (compiled, compiled, written))
    repeats = _same(expected, again, exactly=True)
    if not _same(expected, found, exactly=repeats):
        raise errors.file_computes_otherwise(
            path, f"outputs of {len(samples)} samples", "in memory", "others in the file"
        )
    return written, repeats


def write_proven(candidate: ov.Model, path: Path, prove: Callable[[], Found]) -> Found:
    """Write a candidate as IR, with integers for its symmetric weights, and see that the file computes the same.

    Where it does not with integers, weights stay what they are; where it does not either, nothing is left of it.

    Args:
        candidate: the model in memory.
        path: where to write it.
        prove: looks at the file, and raises CellError if it computes something else.

    Raises:
        CellError: the file cannot be written, or computes something else.

    """
    try:
        save_model(with_integer_weights(candidate), path)
        return prove()
    except QuantizeZooError as error:
        print(f"weights are not written as integers: {error}", file=sys.stderr)
    save_model(candidate, path)
    try:
        return prove()
    except QuantizeZooError:
        for suffix in (".xml", ".bin"):
            path.with_suffix(suffix).unlink(missing_ok=True)
        raise


def _outputs(compiled: Any, samples: Sequence[Arrays]) -> list[list[NDArray[Any]]]:
    try:
        return list(infer_in_order(compiled, samples))
    except RuntimeError as error:
        raise errors.inference_failed("inference", errors.message_of(error)) from error


def _same(first: list[list[NDArray[Any]]], second: list[list[NDArray[Any]]], *, exactly: bool) -> bool:
    pairs = zip(first, second, strict=True)
    return all(_agree(*each, exactly=exactly) for one, other in pairs for each in zip(one, other, strict=True))


def _agree(one: NDArray[Any], other: NDArray[Any], *, exactly: bool) -> bool:
    if exactly or not np.issubdtype(one.dtype, np.floating):
        return one.shape == other.shape and one.tobytes() == other.tobytes()
    largest = float(np.abs(one).max(initial=0.0))
    return bool(np.allclose(one, other, rtol=LAST_BITS, atol=LAST_BITS * largest))
