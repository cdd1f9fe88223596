"""Names of operation types: those of OpenVINO's operation sets, and those that hardware configurations add."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# Kinds of an operation that a device treats on its own, and POT's names of what OpenVINO has no operation for.
_ADDED = frozenset({"DepthWiseConvolution", "Embedding", "Crop", "Flatten"})
# Those with one constant that a device can read compressed; recurrent sequences have two.
COMPRESSIBLE = frozenset(
    {
        "Convolution", "GroupConvolution", "DepthWiseConvolution", "ConvolutionBackpropData",
        "GroupConvolutionBackpropData", "MatMul", "Embedding",
    }
)  # fmt: skip
_CREATED = re.compile(r'\.create\(\s*"(\w+)"')


@cache
def operation_types() -> frozenset[str]:
    """Return every type that an operation of the installed OpenVINO can have, and what is added to them.

    They are read from the functions that make operations, since its Python interface has no list of them.
    """
    spec = find_spec("openvino")
    assert spec is not None, "it is a dependency"
    folders = map(Path, spec.submodule_search_locations or ())
    sources = [path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("opset*/ops.py")]
    return _ADDED.union(*map(_CREATED.findall, sources))
