"""OpenVINO's operation set, wherever the installed release keeps it, and its operations as types."""

from __future__ import annotations

from typing import Any

try:
    from openvino import opset13
    from openvino.op import Constant
except ImportError:  # 2023.3
    from openvino.runtime import opset13
    from openvino.runtime.op import Constant

Node = Any  # openvino.Node; its Python class has moved between releases
Output = Any  # openvino.Output

__all__ = ["Constant", "Node", "Output", "opset13"]
