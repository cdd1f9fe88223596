"""The trial store: runs, cells, trials and per-sample results in a database, by SQLAlchemy."""

from quantize_zoo.store.records import (
    CellRecord,
    CellStatus,
    ErrorRecord,
    Final,
    Holdout,
    OtherMetric,
    Reference,
    ReferencePoint,
    RunnerUp,
    RunRecord,
    RunStatus,
    StoredSearch,
)
from quantize_zoo.store.store import Store

__all__ = [
    "CellRecord",
    "CellStatus",
    "ErrorRecord",
    "Final",
    "Holdout",
    "OtherMetric",
    "Reference",
    "ReferencePoint",
    "RunRecord",
    "RunStatus",
    "RunnerUp",
    "Store",
    "StoredSearch",
]
