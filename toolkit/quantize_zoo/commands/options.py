"""Options that several commands have, each defined once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from quantize_zoo.terms import LARGEST, MOST_MINUTES, MOST_TRIALS, MOST_WORKERS

CLUSTER = "Dask"


def _number(value: float | None) -> float | None:
    """Refuse what is no number: it is neither below a limit nor above one."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is not a number")
    return value


MatrixArgument = Annotated[Path | None, typer.Argument(help="A matrix or one model's YAML; default: the embedded zoo.")]
RunArgument = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Id of a stored run; default: the newest.")]
CellsOption = Annotated[list[str] | None, typer.Option(help="Only this cell; may be repeated.")]
StoreOption = Annotated[
    str | None,
    typer.Option(envvar="QUANTIZE_ZOO_STORE", help="Database URL of the store; default: store.db in the reports."),
]
ReportsOption = Annotated[Path, typer.Option(help="Folder for the reports.")]
DefinitionsOption = Annotated[
    Path | None, typer.Option(help="The accuracy checker's definitions of datasets and launchers, for every model.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
SeedOption = Annotated[int, typer.Option(min=0, max=LARGEST, help="Seed of the search.")]
MaxTrialsOption = Annotated[int | None, typer.Option(min=1, max=MOST_TRIALS, help="Trials a cell.")]
MaxMinutesOption = Annotated[
    float | None, typer.Option(min=0.01, max=MOST_MINUTES, callback=_number, help="Minutes a cell.")
]
SchedulerOption = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler, tcp://HOST:8786.", rich_help_panel=CLUSTER)
]
SchedulerFileOption = Annotated[
    Path | None, typer.Option(help="File that a Dask scheduler wrote.", rich_help_panel=CLUSTER)
]
WorkersOption = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_WORKERS, help="Start so many workers here instead.", rich_help_panel=CLUSTER),
]
CacheOption = Annotated[
    int,
    typer.Option(min=0, max=LARGEST, help="What a worker may keep of files sent to it.", rich_help_panel=CLUSTER),
]
TlsCaOption = Annotated[Path | None, typer.Option(help="Certificate authority.", rich_help_panel=CLUSTER)]
TlsCertOption = Annotated[Path | None, typer.Option(help="Certificate.", rich_help_panel=CLUSTER)]
TlsKeyOption = Annotated[Path | None, typer.Option(help="Its key.", rich_help_panel=CLUSTER)]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Without TLS beyond this machine.", rich_help_panel=CLUSTER)
]
