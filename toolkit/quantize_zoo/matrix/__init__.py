"""The matrix: its cells, the process that each runs in, and the flow of a run."""

from quantize_zoo.matrix.cells import Cell, expand
from quantize_zoo.matrix.executor import CellWorker, Executor
from quantize_zoo.matrix.local import LocalExecutor
from quantize_zoo.matrix.run import RunObserver, RunRequest, run_matrix

__all__ = [
    "Cell",
    "CellWorker",
    "Executor",
    "LocalExecutor",
    "RunObserver",
    "RunRequest",
    "expand",
    "run_matrix",
]
