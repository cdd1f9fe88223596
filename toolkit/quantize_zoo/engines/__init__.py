"""Engines: where the work of cells is done. Each opens a worker for a cell; ``protocol`` says what that answers."""

from quantize_zoo.engines.cluster_options import ROLES, ClusterOptions, SchedulerAddress, find_scheduler
from quantize_zoo.engines.local import LocalEngine
from quantize_zoo.engines.protocol import CellWork, Engine

__all__ = [
    "ROLES",
    "CellWork",
    "ClusterOptions",
    "Engine",
    "LocalEngine",
    "SchedulerAddress",
    "find_scheduler",
]
