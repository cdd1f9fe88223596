"""The matrix: its cells, the night in which they are run, and what is done with stored runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantize_zoo.matrix.baselines import (
        accept,
        baseline_rows,
        baselines_folder,
        export_baselines,
        import_baselines,
        models_folder,
        read_exported,
        taken_unverified,
    )
    from quantize_zoo.matrix.bisection import Answer, Bisection, Step, baseline_of, planned_cell
    from quantize_zoo.matrix.commit_bisection import CommitNights, bisect_commits, limits_of
    from quantize_zoo.matrix.compare import (
        Compared,
        Pair,
        as_baselines,
        compare_pairs,
        pairs_of_files,
        pairs_of_runs,
        with_comparison,
    )
    from quantize_zoo.matrix.expansion import expand
    from quantize_zoo.matrix.export import copy_model, export_trial
    from quantize_zoo.matrix.night import run_in
    from quantize_zoo.matrix.observer import RunObserver
    from quantize_zoo.matrix.planning import (
        NIGHTS_LOOKED_AT,
        PlannedCell,
        expected_seconds,
        overrun,
        plan_night,
        stored_trials,
    )
    from quantize_zoo.matrix.pot import quantize_once
    from quantize_zoo.matrix.pot_model import require_usable, with_weights_beside
    from quantize_zoo.matrix.pot_search import pot_matrix
    from quantize_zoo.matrix.release_bisection import bisect_releases
    from quantize_zoo.matrix.resolutions import counted_as, unresolved
    from quantize_zoo.matrix.retention import Pruned, prune
    from quantize_zoo.matrix.stand_ins import as_run_here
else:
    from quantize_zoo.exports import exports_of

    __getattr__ = exports_of(__name__)

__all__ = [
    "NIGHTS_LOOKED_AT",
    "Answer",
    "Bisection",
    "CommitNights",
    "Compared",
    "Pair",
    "PlannedCell",
    "Pruned",
    "RunObserver",
    "Step",
    "accept",
    "as_baselines",
    "as_run_here",
    "baseline_of",
    "baseline_rows",
    "baselines_folder",
    "bisect_commits",
    "bisect_releases",
    "compare_pairs",
    "copy_model",
    "counted_as",
    "expand",
    "expected_seconds",
    "export_baselines",
    "export_trial",
    "import_baselines",
    "limits_of",
    "models_folder",
    "overrun",
    "pairs_of_files",
    "pairs_of_runs",
    "plan_night",
    "planned_cell",
    "pot_matrix",
    "prune",
    "quantize_once",
    "read_exported",
    "require_usable",
    "run_in",
    "stored_trials",
    "taken_unverified",
    "unresolved",
    "with_comparison",
    "with_weights_beside",
]
