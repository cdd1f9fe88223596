"""Engines: where the work of cells is done. Each opens a worker for a cell; ``protocol`` says what that answers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.engines.cluster_options import ROLES, ClusterOptions, SchedulerAddress, find_scheduler
    from quantize_zoo.engines.local import LocalEngine
    from quantize_zoo.engines.protocol import CellWork, Engine
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "ROLES",
    "CellWork",
    "ClusterOptions",
    "Engine",
    "LocalEngine",
    "SchedulerAddress",
    "find_scheduler",
]
