"""The overview's parts: the answer in one line, tiles, the matrix, and lines over the last nights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from quantize_zoo.report.gate_lines import waived_cells
from quantize_zoo.report.run_report import STATUS_ORDER, CellReport, RunReport
from quantize_zoo.text.counts import counted

_NIGHTS = 30
_WIDTH, _HEIGHT = 90, 22
_TARGETS = {
    "met": ("meets its targets", "meet their targets"),
    "keep-fp32": ("should keep FP32", "should keep FP32"),
    "missed": ("misses a target", "miss a target"),
    "undecided": ("is near a target", "are near a target"),
    "failed": ("failed", "failed"),
    "interrupted": ("interrupted", "interrupted"),
    "unavailable": ("unavailable", "unavailable"),
}
_REQUIRED = ("misses a required target", "miss a required target")
_ENDED = {
    "interrupted": "was interrupted before its first cell",
    "running": "has not come to its first cell",
    "finished": "has none",
}


@dataclass(frozen=True)
class Tile:
    """How many cells are what."""

    status: str
    count: int


@dataclass(frozen=True)
class Spark:
    """A line over the last nights: points of an SVG polyline, and what it shows in words."""

    points: str
    text: str
    width: int = _WIDTH
    height: int = _HEIGHT


@dataclass(frozen=True)
class Matrix:
    """Models by devices; a model that does not run on a device has None there."""

    devices: tuple[str, ...]
    rows: tuple[tuple[str, tuple[CellReport | None, ...]], ...]


def answer(report: RunReport) -> str:
    """Answer "are we fine?" in one line: against the baselines where there are any, else against the targets."""
    count = len(report.cells)
    if not count:
        return f"No cell was run: the run {_ENDED[report.run.status]}"
    cells = counted(count, "cell")
    absent = Counter(str(cell.status) for cell in report.absent)
    statuses = Counter(str(cell.status) for cell in report.cells)
    statuses["interrupted"] += absent["interrupted"]
    missing = [f"{absent['missing']} missing"] if absent["missing"] else []
    if all(cell.gate is None for cell in report.cells):
        found = Counter(str(cell.verdict.target_status) for cell in report.cells)
        found["interrupted"] += absent["interrupted"]
        texts = (f"{found[each]} {text[found[each] > 1]}" for each, text in _TARGETS.items() if found[each])
        return f"{cells}: " + ", ".join([*texts, *missing])
    bad = [f"{statuses[each]} {each}" for each in ("regressed", "failed", "interrupted") if statuses[each]]
    missed = [name for cell in report.cells for name in missed_targets(cell)]
    count_missed = sum("missed target" in cell.verdict.alarms for cell in report.cells)
    if count_missed:
        bad.append(f"{count_missed} {_REQUIRED[count_missed > 1]} ({', '.join(dict.fromkeys(missed))})")
    compared = sum(cell.gate is not None for cell in report.cells)
    rest = [
        f"{statuses[each]} {each}" for each in ("data-changed", "inconclusive", "changed", "improved") if statuses[each]
    ]
    waived = waived_cells(report)
    rest += [f"{waived} waived"] if waived else []
    rest += missing
    unclear = f", {statuses['inconclusive']} to look at" if statuses["inconclusive"] else ""
    first = ", ".join(bad) if bad else f"No regression found{unclear}" if unclear else "No regression"
    return f"{first}: {compared} of {cells} compared with a baseline" + (f", {', '.join(rest)}" if rest else "")


def missed_targets(cell: CellReport) -> list[str]:
    """Return the required targets that a cell misses, by name."""
    if "missed target" not in cell.verdict.alarms:
        return []
    return [target.name for target in cell.verdict.targets if target.status == "missed"]


def tiles(report: RunReport) -> list[Tile]:
    """Count the cells by what they are, the worst first."""
    found = Counter(str(cell.status) for cell in report.cells)
    found.update(str(cell.status) for cell in report.absent)
    return [Tile(status, found[status]) for status in STATUS_ORDER if found[status]]


def matrix(report: RunReport) -> Matrix:
    """Arrange the cells as models by devices, each in the order of the run."""
    devices = tuple(dict.fromkeys(cell.record.device for cell in report.cells))
    models = dict.fromkeys(cell.record.model for cell in report.cells)
    cells = {(cell.record.model, cell.record.device): cell for cell in report.cells}
    return Matrix(devices, tuple((model, tuple(cells.get((model, each)) for each in devices)) for model in models))


def sparks(cell: CellReport) -> list[Spark]:
    """Draw the latency ratio and the accuracy of the last nights; nothing where there is but one."""
    series = {
        "FP32 / INT8 time": [night.speedup for night in cell.nights if night.speedup is not None],
        "INT8 on the holdout": [night.holdout for night in cell.nights if night.holdout is not None],
    }
    return [_spark(name, values[-_NIGHTS:]) for name, values in series.items() if len(values) > 1]


def _spark(name: str, values: Sequence[float]) -> Spark:
    low, high = min(values), max(values)
    # A line that hardly moves is drawn as one that hardly moves: the height is at least 5 % of the value.
    span = max(high - low, 0.05 * abs(high)) or 1.0
    middle = (low + high) / 2
    points = (
        f"{2 + index * (_WIDTH - 4) / (len(values) - 1):.1f},{_HEIGHT * (0.5 - 0.8 * (value - middle) / span):.1f}"
        for index, value in enumerate(values)
    )
    text = f"{name}, {len(values)} nights: {values[0]:.4g} to {values[-1]:.4g}, between {low:.4g} and {high:.4g}"
    return Spark(" ".join(points), text)
