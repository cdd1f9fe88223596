"""Scores of a model: accuracy by OpenVINO's accuracy checker, latency by measuring in turns, and what it ran on."""

from quantize_zoo.scoring.accuracy import AccuracyResult, AccuracySession, checker_metrics, require_metric
from quantize_zoo.scoring.checker import Checker, find_checker, install_overlay
from quantize_zoo.scoring.compilation import CompiledPair, Execution, compile_pair, describe_execution
from quantize_zoo.scoring.devices import available_devices, hardware_target, require_device
from quantize_zoo.scoring.environment import Environment, describe_environment
from quantize_zoo.scoring.estimate import Estimate, mean_estimate, median_estimate
from quantize_zoo.scoring.images import read_images
from quantize_zoo.scoring.latency import PairedLatency, measure_in_turns

__all__ = [
    "AccuracyResult",
    "AccuracySession",
    "Checker",
    "CompiledPair",
    "Environment",
    "Estimate",
    "Execution",
    "PairedLatency",
    "available_devices",
    "checker_metrics",
    "compile_pair",
    "describe_environment",
    "describe_execution",
    "find_checker",
    "hardware_target",
    "install_overlay",
    "mean_estimate",
    "measure_in_turns",
    "median_estimate",
    "read_images",
    "require_device",
    "require_metric",
]
