"""OpenVINO's operation set, wherever the installed release keeps it."""

try:
    from openvino import opset13
except ImportError:  # 2023.3
    from openvino.runtime import opset13

__all__ = ["opset13"]
