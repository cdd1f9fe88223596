"""OpenVINO's operation set, wherever the installed release keeps it, and its operations as types."""

from __future__ import annotations

from typing import Any

try:
    from openvino import opset13
except ImportError:  # 2023.3
    from openvino.runtime import opset13

Node = Any  # openvino.Node; its Python class has moved between releases
Output = Any  # openvino.Output

__all__ = ["Node", "Output", "opset13"]
