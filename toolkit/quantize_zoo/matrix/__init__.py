"""The matrix: its cells, the process that each runs in, and the flow of a run."""

from quantize_zoo.matrix.baselines import accept, baseline_rows, baselines_folder, export_baselines, import_baselines
from quantize_zoo.matrix.cells import Cell, expand
from quantize_zoo.matrix.compare import Compared, compare_pairs, pairs_of_files, pairs_of_runs
from quantize_zoo.matrix.executor import CellWorker, Executor
from quantize_zoo.matrix.local import LocalExecutor
from quantize_zoo.matrix.nncf_reference import require_nncf
from quantize_zoo.matrix.pot import copy_best, pot_matrix, quantize_once
from quantize_zoo.matrix.run import RunObserver, RunRequest, new_run_folder, run_matrix

__all__ = [
    "Cell",
    "CellWorker",
    "Compared",
    "Executor",
    "LocalExecutor",
    "RunObserver",
    "RunRequest",
    "accept",
    "baseline_rows",
    "baselines_folder",
    "compare_pairs",
    "copy_best",
    "expand",
    "export_baselines",
    "import_baselines",
    "new_run_folder",
    "pairs_of_files",
    "pairs_of_runs",
    "pot_matrix",
    "quantize_once",
    "require_nncf",
    "run_matrix",
]
