"""The trial store: runs, cells, trials and baselines in a database, by SQLAlchemy."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.store.records import (
        Baseline,
        CellEnd,
        CellRecord,
        CellStatus,
        Elsewhere,
        ErrorRecord,
        Figures,
        Final,
        FleetMember,
        Holdout,
        NightRecord,
        OtherMetric,
        PastNight,
        Proof,
        Reference,
        ReferencePoint,
        Repository,
        RunnerUp,
        RunPlan,
        RunRecord,
        RunStatus,
        StoredBaseline,
        StoredSearch,
        WorkerUse,
        current_baselines,
        lead_of,
    )
    from quantize_zoo.store.store import Store
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "Baseline",
    "CellEnd",
    "CellRecord",
    "CellStatus",
    "Elsewhere",
    "ErrorRecord",
    "Figures",
    "Final",
    "FleetMember",
    "Holdout",
    "NightRecord",
    "OtherMetric",
    "PastNight",
    "Proof",
    "Reference",
    "ReferencePoint",
    "Repository",
    "RunPlan",
    "RunRecord",
    "RunStatus",
    "RunnerUp",
    "Store",
    "StoredBaseline",
    "StoredSearch",
    "WorkerUse",
    "current_baselines",
    "lead_of",
]
