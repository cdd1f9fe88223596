"""The trial store: runs, cells, trials and per-sample results in a database, by SQLAlchemy."""

from quantize_zoo.store.records import (
    Baseline,
    CellRecord,
    CellStatus,
    ErrorRecord,
    Figures,
    Final,
    Holdout,
    OtherMetric,
    Reference,
    ReferencePoint,
    RunnerUp,
    RunRecord,
    RunStatus,
    StoredBaseline,
    StoredSearch,
    WorkerUse,
    current_baselines,
)
from quantize_zoo.store.store import Store

__all__ = [
    "Baseline",
    "CellRecord",
    "CellStatus",
    "ErrorRecord",
    "Figures",
    "Final",
    "Holdout",
    "OtherMetric",
    "Reference",
    "ReferencePoint",
    "RunRecord",
    "RunStatus",
    "RunnerUp",
    "Store",
    "StoredBaseline",
    "StoredSearch",
    "WorkerUse",
    "current_baselines",
]
