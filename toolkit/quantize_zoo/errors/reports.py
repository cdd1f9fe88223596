"""What a report cannot show."""

from __future__ import annotations

from quantize_zoo.errors.kinds import CellError


def cell_unreportable(part: str, cause: str, place: str) -> CellError:
    """A part of a cell's report raised something, which is a fault of ours or of the stored record."""
    return CellError(
        f"{part} of this cell cannot be made: {cause}",
        where=f"report, {place}",
        remedy="what was measured is in the store; report this message as a fault of quantize-zoo",
    )
