"""Models as files: read, write, hash."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from defusedxml import ElementTree

from quantize_zoo import errors
from quantize_zoo.graph.runtime import core
from quantize_zoo.text.files import drafts_for, place

if TYPE_CHECKING:
    import openvino as ov

_STANDARD_ERROR = 2


def read_model(path: Path) -> ov.Model:
    """Read an IR or an ONNX file; ONNX goes through OpenVINO's converter, which fuses what it can.

    Raises:
        CellError: OpenVINO cannot read the file.

    """
    try:
        import openvino as ov

        with _quietly():
            return core().read_model(path) if path.suffix == ".xml" else ov.convert_model(path)
    except Exception as error:  # OpenVINO raises RuntimeError and others, by release and frontend
        raise errors.model_unreadable(path, errors.message_of(error)) from error


def require_model(path: Path, where: str) -> None:
    """Refuse a file or folder that is no model, in far less time than converting it would take; an IR is read.

    Args:
        path: what should be a model.
        where: what names it.

    Raises:
        ConfigurationError: none of OpenVINO's formats is recognized, or the IR cannot be read.

    """
    try:
        from openvino.frontend import FrontEndManager

        with _quietly():
            if FrontEndManager().load_by_model(str(path)) is None and not _is_for_torch(path):
                raise ValueError("it is in none of the formats that OpenVINO reads")
            if path.suffix == ".xml":
                core().read_model(path)
    except Exception as error:  # as above; a frontend meets the same while it looks
        raise errors.no_model(where, path, errors.message_of(error)) from error


def _is_for_torch(path: Path) -> bool:
    """Tell whether a file may be a program that PyTorch exported, which OpenVINO's converter hands over to it."""
    return path.is_file() and zipfile.is_zipfile(path) and find_spec("torch") is not None


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what converters in C++ write to standard error, and drop it if they fail: their error tells the same."""
    try:
        real = os.dup(_STANDARD_ERROR)
    except OSError:  # it is closed
        yield
        return
    kept = os.memfd_create("standard error")
    os.dup2(kept, _STANDARD_ERROR)
    try:
        yield
    except BaseException:
        os.truncate(kept, 0)
        raise
    finally:
        os.dup2(real, _STANDARD_ERROR)
        with suppress(OSError), os.fdopen(kept, "rb") as told:
            told.seek(0)
            os.write(_STANDARD_ERROR, told.read())
        os.close(real)


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
            import openvino as ov

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
