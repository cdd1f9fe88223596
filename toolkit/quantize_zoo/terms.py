"""Words, limits and defaults that options of commands share with what reads them.

Help and usage errors need no more than these, so nothing is imported for them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

MOST_TRIALS = 1_000_000
MOST_MINUTES = 525_600  # a year
MOST_WORKERS = 1024  # that this machine starts
LARGEST = 2**31 - 1  # what a database's integer holds

DEFAULT_REPORTS = Path("reports")
LATEST = "latest"  # the newest run, and the link to its reports

TrialsLoadMethod = Literal["cold_start", "warm_start", "fine_tune", "eval"]
LatencyMode = Literal["master", "peer"]
Over = Literal["openvino", "git"]  # what a regression is looked for in: releases, or commits


def default_store_file(reports: Path) -> Path:
    """Return the store's file where it lies in a folder of reports."""
    return reports / "store.db"


def default_store(reports: Path) -> str:
    """Return the URL of the store that lies in a folder of reports."""
    return f"sqlite:///{default_store_file(reports)}"
