"""``benchmark.json``: the measured latencies in pytest-benchmark's format, for tools that read it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quantize_zoo.report.run_report import CellReport, RunReport
from quantize_zoo.text.plain import json_text

_FORMAT_VERSION = "5.0.0"  # of pytest-benchmark, whose fields these are


def render_benchmark(report: RunReport) -> str:
    """Return the JSON document: FP32 and INT8 of each cell whose best model was measured over several compilations."""
    environments = [cell.record.reference.environment for cell in report.cells if cell.record.reference]
    document: dict[str, Any] = {
        "machine_info": environments[0] if environments else {},
        "commit_info": {},
        "benchmarks": [entry for cell in report.cells for entry in _entries(cell)],
        "datetime": report.run.started_at.isoformat(),
        "version": _FORMAT_VERSION,
    }
    return json_text(document, indent=1) + "\n"


def _entries(cell: CellReport) -> list[dict[str, Any]]:
    times = cell.latency.compilations if cell.latency else ()
    if not all(math.isfinite(each) for pair in times for each in pair):
        return []  # what pytest-benchmark would read has no null
    sides = zip(("FP32", "INT8"), zip(*times, strict=True), strict=False)
    return [_entry(cell, side, 1e-6 * np.array(column)) for side, column in sides]


def _entry(cell: CellReport, side: str, seconds: Any) -> dict[str, Any]:
    first, median, third = np.quantile(seconds, [0.25, 0.5, 0.75])
    spread, mean, deviation = third - first, seconds.mean(), seconds.std(ddof=1)
    low, high = first - 1.5 * spread, third + 1.5 * spread
    beyond = int(((seconds < low) | (seconds > high)).sum())
    far = int((np.abs(seconds - mean) > deviation).sum())
    stats = {
        "min": seconds.min(),
        "max": seconds.max(),
        "mean": mean,
        "stddev": deviation,
        "rounds": len(seconds),
        "median": median,
        "iqr": spread,
        "q1": first,
        "q3": third,
        "iqr_outliers": beyond,
        "stddev_outliers": far,
        "outliers": f"{far};{beyond}",
        "ld15iqr": seconds[seconds >= low].min(),
        "hd15iqr": seconds[seconds <= high].max(),
        "ops": 1 / mean,
        "total": seconds.sum(),
        "iterations": 1,
    }
    name = f"{cell.record.name}[{side}]"
    return {
        "group": cell.record.name,
        "name": name,
        "fullname": f"quantize-zoo::{name}",
        "params": {"model": cell.record.model, "device": cell.record.device, "side": side},
        "param": side,
        "extra_info": {"seconds are": "times of one inference, each the trimmed mean of one compilation"},
        "options": {},
        "stats": {key: value if isinstance(value, str | int) else float(value) for key, value in stats.items()},
    }
