"""``waive``: a known regression is no alarm until a date."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from quantize_zoo import errors
from quantize_zoo.commands.lines import say
from quantize_zoo.commands.places import matrix_at


def waive(
    cell: Annotated[str, typer.Argument(help="Name of a cell, MODEL-DEVICE.")],
    check: Annotated[str, typer.Argument(help="Such as 'search latency', or 'latency' for that of any cause.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day on which it is no alarm.")],
    reason: Annotated[str, typer.Option(help="Why; it is shown with the check.")],
    matrix: Annotated[Path | None, typer.Option(help="The matrix; default: the embedded zoo.")] = None,
) -> None:
    """Write a waiver into a matrix: a known regression is no alarm until a date, and is shown as waived."""
    from quantize_zoo.config import WAIVED_CHECKS, Waiver, add_waiver, default_matrix_path
    from quantize_zoo.matrix import expand

    path = matrix or default_matrix_path()
    cells = [each.key.label for each in expand(matrix_at(path, [], [], {}))]
    if cell not in cells:
        raise errors.unknown_waived("cell", cell, cells)
    if check not in WAIVED_CHECKS:
        raise errors.unknown_waived("check", check, WAIVED_CHECKS)
    if until.date() < datetime.now(timezone.utc).date():
        raise errors.waiver_is_over(until.date())
    if not reason.strip():
        raise errors.waiver_without_reason()
    add_waiver(path, Waiver(cell=cell, check=check, reason=reason, until=until.date()))
    say(f"waived: {check} of {cell} until {until.date()}")
