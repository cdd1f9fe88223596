"""The trial store: runs, cells, trials and per-sample results in a database, by SQLAlchemy."""

from quantize_zoo.store.records import CellRecord, CellStatus, ErrorRecord, Final, Reference, RunRecord, RunStatus
from quantize_zoo.store.store import Store

__all__ = [
    "CellRecord",
    "CellStatus",
    "ErrorRecord",
    "Final",
    "Reference",
    "RunRecord",
    "RunStatus",
    "Store",
]
