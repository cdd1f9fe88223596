"""Models as files: read, give a batch size, write, hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import openvino as ov

from quantize_zoo import errors


def read_model(path: Path) -> ov.Model:
    """Read an IR or an ONNX file; ONNX goes through OpenVINO's converter, which fuses what it can.

    Raises:
        CellError: OpenVINO cannot read the file.

    """
    try:
        return ov.Core().read_model(path) if path.suffix == ".xml" else ov.convert_model(path)
    except Exception as error:  # OpenVINO raises RuntimeError and others, by release and frontend
        raise errors.model_unreadable(path, errors.message_of(error)) from error


def with_batch(model: ov.Model, batch: int) -> ov.Model:
    """Return a copy whose inputs have this batch size; all other dimensions must be static.

    Raises:
        CellError: a dimension other than the first is dynamic, or the model cannot take this batch.

    """
    copy = model.clone()
    shapes = {}
    for port in copy.inputs:
        shape = port.partial_shape
        name = port.get_any_name()
        if shape.rank.is_dynamic or any(dimension.is_dynamic for dimension in list(shape)[1:]):
            raise errors.dynamic_shape(name, str(shape))
        if shape.rank.get_length() > 0:
            shape[0] = batch
        shapes[port] = shape
    try:
        copy.reshape(shapes)
    except RuntimeError as error:
        raise errors.inference_failed(f"giving the model batch size {batch}", errors.message_of(error)) from error
    return copy


def save_model(model: ov.Model, path: Path) -> None:
    """Write the IR (``.xml`` and ``.bin``) at full precision.

    Raises:
        CellError: it cannot be written.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ov.save_model(model, path, compress_to_fp16=False)
    except Exception as error:
        raise errors.model_export_failed(path, errors.message_of(error)) from error


def content_hash(path: Path) -> str:
    """SHA-256 of a model file, of an IR with its weights."""
    digest = hashlib.sha256(path.read_bytes())
    weights = path.with_suffix(".bin")
    if path.suffix == ".xml" and weights.is_file():
        digest.update(weights.read_bytes())
    return digest.hexdigest()
