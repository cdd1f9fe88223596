"""Costs that grow with what users have: a figure at several sizes, and the power of the size by which it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Row:
    """A cost: what it is, the sizes at which it is looked at, and what returns its figure at a size, in a unit."""

    what: str
    sizes: Sequence[int]
    measure: Callable[[int], float]
    unit: str


def figures_of(row: Row) -> dict[int, float]:
    """Return a row's figure at each of its sizes, the smallest size first."""
    return {size: row.measure(size) for size in sorted(row.sizes)}


def exponent(figures: Mapping[int, float]) -> float:
    """Return the slope of log(figure) over log(size), by least squares: 1 is linear, 2 is quadratic growth.

    Raises:
        ValueError: there are fewer than two sizes, or a figure is not positive.

    """
    if len(figures) < 2 or min(figures.values()) <= 0:
        raise ValueError(f"growth needs positive figures of two sizes at least: {dict(figures)}")
    slope, _ = np.polyfit(np.log(list(figures)), np.log(list(figures.values())), 1)
    return float(slope)


def told(rows: Iterable[Row]) -> Iterable[str]:
    """Measure rows one after another, and tell each as a line of a Markdown table once it is known."""
    yield "| cost | size: figure | grows with the power |"
    yield "| --- | --- | --- |"
    for row in rows:
        figures = figures_of(row)
        shown = ", ".join(f"{size:,}: {figure:.3g} {row.unit}" for size, figure in figures.items())
        yield f"| {row.what} | {shown} | {exponent(figures):.2f} |"
