"""``prune``: old nights go, and what only they needed."""

from __future__ import annotations

from typing import Annotated

import typer

from quantize_zoo.commands.lines import say
from quantize_zoo.commands.options import ReportsOption, StoreOption
from quantize_zoo.commands.places import existing_store
from quantize_zoo.terms import DEFAULT_REPORTS, LARGEST


def prune(
    keep_nights: Annotated[
        int, typer.Option(min=1, max=LARGEST, help="How many nights stay: runs in which a cell ended.")
    ],
    keep_baselines: Annotated[
        bool, typer.Option("--keep-baselines", help="So do the runs that baselines were accepted from.")
    ] = False,
    store: StoreOption = None,
    reports: ReportsOption = DEFAULT_REPORTS,
) -> None:
    """Remove old runs with their reports, and what only they needed: folders, trials, models, former baselines."""
    from quantize_zoo.matrix import prune as prune_history

    opened = existing_store(store, reports)
    say(prune_history(opened, reports, keep_nights, keep_baselines=keep_baselines).text)
