"""Models as files: read, write, hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import openvino as ov
from defusedxml import ElementTree

from quantize_zoo import errors
from quantize_zoo.graph.runtime import core
from quantize_zoo.text.files import drafts_for, place


def read_model(path: Path) -> ov.Model:
    """Read an IR or an ONNX file; ONNX goes through OpenVINO's converter, which fuses what it can.

    Raises:
        CellError: OpenVINO cannot read the file.

    """
    try:
        return core().read_model(path) if path.suffix == ".xml" else ov.convert_model(path)
    except Exception as error:  # OpenVINO raises RuntimeError and others, by release and frontend
        raise errors.model_unreadable(path, errors.message_of(error)) from error


def weights_file_bytes(path: Path) -> int | None:
    """Return how many bytes the constants of an IR take in its file of weights; None if the file is no IR.

    OpenVINO reads from a longer file of another model whatever lies there.
    """
    try:
        root = ElementTree.parse(path).getroot()
        constants = [each.find("data") for each in root.iter("layer") if each.get("type") == "Const"]
        ends = [int(each.get("offset")) + int(each.get("size")) for each in constants if each is not None]
    except (OSError, TypeError, ValueError, ElementTree.ParseError):  # unreadable, no numbers, no XML
        return None
    return max(ends, default=0) if root.tag == "net" else None


def save_model(model: ov.Model, path: Path) -> None:
    """Write the IR (``.xml`` and ``.bin``) at full precision; it appears whole, or not at all.

    Raises:
        CellError: it cannot be written.

    """
    try:
        with drafts_for(path.parent) as drafts:
            ov.save_model(model, drafts / path.name, compress_to_fp16=False)
            place(drafts, path.parent, [each.name for each in sorted(drafts.iterdir())])  # the weights first
    except Exception as error:
        raise errors.model_export_failed(path, errors.message_of(error)) from error


def content_hash(path: Path) -> str:
    """SHA-256 of a model: of its file, of an IR with its weights, of all files of a folder with their names."""
    if path.is_dir():
        digest = hashlib.sha256()
        for each in sorted(path.rglob("*")):
            if each.is_file():
                digest.update(each.relative_to(path).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(each.read_bytes()).digest())
        return digest.hexdigest()
    digest = hashlib.sha256(path.read_bytes())
    weights = path.with_suffix(".bin")
    if path.suffix == ".xml" and weights.is_file():
        digest.update(weights.read_bytes())
    return digest.hexdigest()
