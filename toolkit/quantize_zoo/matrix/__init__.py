"""The matrix: its cells, the process that each runs in, and the flow of a run."""

from quantize_zoo.matrix.baselines import accept, baseline_rows, baselines_folder, export_baselines, import_baselines
from quantize_zoo.matrix.cells import Cell, expand
from quantize_zoo.matrix.cluster_options import ROLES, ClusterOptions, LatencyMode
from quantize_zoo.matrix.compare import (
    Compared,
    Pair,
    as_baselines,
    compare_pairs,
    pairs_of_files,
    pairs_of_runs,
    with_comparison,
)
from quantize_zoo.matrix.executor import CellWorker, Executor
from quantize_zoo.matrix.export import copy_model, export_trial
from quantize_zoo.matrix.local import LocalExecutor
from quantize_zoo.matrix.nncf_reference import require_nncf
from quantize_zoo.matrix.pot import pot_matrix, quantize_once
from quantize_zoo.matrix.run import RunObserver, RunRequest, run_in, run_matrix

__all__ = [
    "ROLES",
    "Cell",
    "CellWorker",
    "ClusterOptions",
    "Compared",
    "Executor",
    "LatencyMode",
    "LocalExecutor",
    "Pair",
    "RunObserver",
    "RunRequest",
    "accept",
    "as_baselines",
    "baseline_rows",
    "baselines_folder",
    "compare_pairs",
    "copy_model",
    "expand",
    "export_baselines",
    "export_trial",
    "import_baselines",
    "pairs_of_files",
    "pairs_of_runs",
    "pot_matrix",
    "quantize_once",
    "require_nncf",
    "run_in",
    "run_matrix",
    "with_comparison",
]
