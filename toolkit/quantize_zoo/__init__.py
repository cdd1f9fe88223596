"""Tune, score and gate INT8 models of a whole zoo with OpenVINO."""

from importlib.metadata import version

__version__ = version("quantize-zoo")
